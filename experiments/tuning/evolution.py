"""The search for the contextual rule's network: an evolution strategy with a direction for each scenario.

A step draws scenarios, a preference and a direction in weight space for each, and migrates every scenario twice with
the same seed, with the weights moved along its direction and against it. The mean of the directions, each times what
the two costs differ by, is an estimate of the gradient (OpenAI-ES, Salimans et al. 2017), which Adam follows. Libraries
(``cmaes``, Optuna) score a candidate on all scenarios. Here a run over a thousand scenarios tries a thousand
directions, and with 420 weights that is worth more than precision along one.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from dqgym.arrays import Float32Array, FloatArray
from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.cost import PREFERENCE_RANGE
from dqgym.errors import BadInputError
from dqgym.files import read_bytes, replacing
from dqgym.scenario import Scenario
from dqgym.telemetry.interval import ControlInterval
from dqgym.throttles.rules.contextual_rule import HIDDEN, INPUTS, WEIGHTS, ContextualRule
from dqgym.throttles.rules.contextual_weights import contextual_network
from dqgym.throttles.rules.tuned import TunedEntry
from experiments.tuning.distribution import draw_distribution

ADAM_MEAN, ADAM_SQUARE, ADAM_EPSILON = 0.9, 0.99, 1e-8
SURVEY = ControlInterval(least_s=0.0, pass_times=0.005)
"""Of every second step's migrations; the others have none, so that the network serves both."""


@dataclass(frozen=True)
class Evolution:
    """The search's setting.

    Attributes:
        suites: what scenarios come from, with weights.
        seed: decides the search.
        tuned: the tuned rule's entries, from which it starts, in the order of the preferences.
        scenarios_per_weight: size of the pool that steps draw from, for each unit of weight.
        pairs: scenarios of a step, each migrated twice.
        spread: sd of a step's moves of each weight.
        learning_rate: Adam's at the first step; it falls to a tenth at the last.
        largest_difference: of a pair's costs, over the tuned rule's mean cost; larger ones (a missed deadline) count
            as this.
    """

    suites: Mapping[str, float]
    seed: int
    tuned: Sequence[TunedEntry]
    scenarios_per_weight: int = 2000
    pairs: int = 750
    spread: float = 0.1
    learning_rate: float = 0.02
    largest_difference: float = 1.0


@dataclass
class State:
    """The state of the search: the step to come, the weights, Adam's means."""

    step: int
    weights: FloatArray
    mean: FloatArray
    square: FloatArray

    def save(self, path: Path, setting: str) -> None:
        """Write it to a file, beside what decides the search."""
        with replacing(path) as temporary:
            np.savez(
                temporary, setting=setting, step=self.step, weights=self.weights, mean=self.mean, square=self.square
            )

    @classmethod
    def load(cls, path: Path, setting: str) -> State:
        """Read it. BadInputError where there is none, a damaged one, or one of another search or network."""
        if not path.exists():
            raise BadInputError(f"nothing to resume: there is no {path}")
        content = io.BytesIO(read_bytes(path, "state of a search"))
        try:
            with np.load(content) as kept:
                of = str(kept["setting"])
                state = cls(int(kept["step"]), kept["weights"], kept["mean"], kept["square"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, BadZipFile, zlib.error) as error:
            raise BadInputError(f"{path}: not the state of a search: {error!r}") from error
        if of != setting:
            raise BadInputError(f"{path}: of another search: {of}; not {setting}")
        if state.weights.shape != (WEIGHTS,):
            raise BadInputError(f"{path}: of a network of {state.weights.size} numbers, not {WEIGHTS}")
        return state


def first_state(seed: int) -> State:
    """The tuned rule: the outputs are 0."""
    weights = np.zeros(WEIGHTS)
    weights[: INPUTS * HIDDEN] = np.random.default_rng(seed).normal(0.0, INPUTS**-0.5, INPUTS * HIDDEN)
    return State(0, weights, np.zeros(WEIGHTS), np.zeros(WEIGHTS))


def evolve(search: Evolution, steps: int, kept: Path, resume: bool, on_step: Callable[[int], None]) -> Float32Array:
    """float32 [WEIGHTS] after ``steps`` steps.

    Args:
        search: the setting.
        steps: how many in all.
        kept: file with the state after each step.
        resume: go on from there.
        on_step: called after each step with their number.
    """
    # Other scenarios than the distribution's, on which the outcome is compared with the tuned rule.
    pool = draw_distribution(search.suites, None, search.scenarios_per_weight, search.seed + 1)
    # The last step decides how fast the learning rate falls.
    setting = f"{steps} steps, {search}, scenarios {pool.digest}"
    state = State.load(kept, setting) if resume else first_state(search.seed)
    while state.step < steps:
        on_step(state.step)
        gradient = estimated_gradient(search, state, pool.scenarios)
        descend(state, gradient, search.learning_rate * 0.1 ** (state.step / steps))
        state.save(kept, setting)
    on_step(state.step)
    return state.weights.astype(np.float32)


def estimated_gradient(search: Evolution, state: State, pool: Sequence[Scenario]) -> FloatArray:
    """[WEIGHTS] of the mean cost over the tuned rule's; the step number decides all that is random."""
    rng = np.random.default_rng((search.seed, state.step))
    pairs = min(search.pairs, len(pool))
    chosen = [pool[index] for index in rng.choice(len(pool), pairs, replace=False)]
    seeds = rng.integers(2**31, size=pairs).tolist()
    low, high = np.log(PREFERENCE_RANGE)
    preference = np.exp(rng.uniform(low, high, size=pairs))
    directions = rng.normal(size=(pairs, WEIGHTS)).astype(np.float32)
    moved = np.concatenate([search.spread * directions, -search.spread * directions])
    rule = ContextualRule(
        contextual_network(list(search.tuned), state.weights.astype(np.float32) + moved),
        np.tile(preference, 2),
        SURVEY if state.step % 2 else None,
    )
    outcomes = run_migrations(ModelBackend(), chosen * 2, rule, seeds * 2)
    cost = outcomes.cost(np.tile(preference, 2))
    usual = np.interp(
        np.log(preference), np.log([one.preference for one in search.tuned]), [one.cost for one in search.tuned]
    )
    most = search.largest_difference
    difference = ((cost[:pairs] - cost[pairs:]) / usual).clip(-most, most)
    return difference @ directions.astype(np.float64) / (2.0 * search.spread * pairs)


def descend(state: State, gradient: FloatArray, learning_rate: float) -> None:
    """One step of Adam."""
    state.step += 1
    state.mean = ADAM_MEAN * state.mean + (1.0 - ADAM_MEAN) * gradient
    state.square = ADAM_SQUARE * state.square + (1.0 - ADAM_SQUARE) * gradient**2
    mean = state.mean / (1.0 - ADAM_MEAN**state.step)
    square = state.square / (1.0 - ADAM_SQUARE**state.step)
    state.weights = state.weights - learning_rate * mean / (np.sqrt(square) + ADAM_EPSILON)
