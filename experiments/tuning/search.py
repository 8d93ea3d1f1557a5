"""The search for a throttle's best options, for several preferences at once: Optuna's TPE, seeded.

A set of options costs at every preference what its one run over the migrations says, so that the searches for all
preferences learn from each trial; they take turns in choosing the next one. Each trial is sampled with a seed of its
own from those before it: a search that goes on from the trials kept in a file ends like one that was never interrupted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import create_trial

from dqgym.throttles.options import TunedValue
from experiments.resuming import Records
from experiments.tuning.spaces import Space

Options = Mapping[str, TunedValue]
Objective = Callable[[Options], Sequence[float]]
"""The cost of a set of options at each preference."""
SIGNIFICANT_DIGITS = 4
"""Of tuned options; the cost does not tell more apart."""


@dataclass(frozen=True)
class Trial:
    """A set of options, and its cost at each preference."""

    options: dict[str, TunedValue]
    costs: tuple[float, ...]


def open_trials(path: Path, setting: Mapping[str, Any], resume: bool) -> Records[Trial]:
    """The trials of a search, in a file that is whole after each of them. BadInputError: see ``Records``."""
    return Records(path, setting, resume, Trial, "search")


@dataclass(frozen=True)
class Goal:
    """What is searched.

    Attributes:
        objective: is minimised, for each preference.
        preferences: how many costs it gives.
        space: the options and their bounds.
        starts: sets of options that are tried first.
    """

    objective: Objective
    preferences: int
    space: Space
    starts: Sequence[Options] = ()


def search(kept: Records[Trial], goal: Goal, trials: int, seed: int, on_trial: Callable[[int], None]) -> list[Trial]:
    """The best trial for each preference.

    Args:
        kept: trials that are complete already; the others are added.
        goal: what is searched.
        trials: how many in all.
        seed: decides everything.
        on_trial: called before the first and after each trial with the number of those that are complete.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    studies = [optuna.create_study() for _ in range(goal.preferences)]
    for trial in kept.all:
        _learn(studies, trial, goal.space)
    on_trial(len(kept.all))
    for number in range(len(kept.all), trials):
        if number < len(goal.starts):
            options = dict(goal.starts[number])
        else:
            options = _suggestion(studies[number % goal.preferences], goal.space, seed + number)
        trial = Trial(options, tuple(goal.objective(options)))
        _learn(studies, trial, goal.space)
        kept.add(trial)
        on_trial(number + 1)
    return [min(kept.all, key=lambda trial: trial.costs[index]) for index in range(goal.preferences)]


def _learn(studies: Sequence[optuna.Study], trial: Trial, space: Space) -> None:
    for study, cost in zip(studies, trial.costs, strict=True):
        study.add_trial(create_trial(params=trial.options, distributions=dict(space), value=cost))


def _suggestion(study: optuna.Study, space: Space, seed: int) -> dict[str, TunedValue]:
    """The options to try next, without meaningless digits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # its interface may change
        # The options depend on each other: one by one, the search ends in the wrong valley.
        study.sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
    trial = study.ask(dict(space))
    study.tell(trial, state=optuna.trial.TrialState.FAIL)  # what it costs is learned from the trial as it is kept
    return {name: _rounded(value) for name, value in trial.params.items()}


def _rounded(value: TunedValue) -> TunedValue:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
