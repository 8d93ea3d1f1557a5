"""Tuning a throttle's options: the best set for each preference, kept in a file of tuned options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dqgym.files import write_text
from dqgym.stopping import uninterrupted
from dqgym.throttles.registry import default_options, make_throttle
from dqgym.throttles.rules.tuned import TunedEntry, dump_tuned, read_tuned
from experiments.reporting.progress import showing_steps
from experiments.reporting.tables import Table
from experiments.resuming import Records, saying_how_to_go_on
from experiments.tuning.search import Goal, Options, Trial, open_trials, search
from experiments.tuning.spaces import SPACES, STARTS
from experiments.tuning.tuning import Tuning, cost_table


def tune_options(tuning: Tuning) -> list[Table]:
    """Search the options, put the best into the file, and return what they are and what they cost.

    Raises:
        BadInputError: the file is of another kind or cannot be written, or there is nothing to resume.
        RunInterruptedError: the user stopped it; the message says how to go on.
    """
    read_tuned(tuning.out)  # what is wrong with it shows before the search
    tuning.require_writable()
    throttle, distribution = tuning.throttle, tuning.distribution
    kept = open_trials(tuning.out.with_name(f".{tuning.out.name}.trials"), _setting(tuning), tuning.resume)
    with (
        saying_how_to_go_on(lambda: tuning.how_to_go_on() if kept.all else ""),
        showing_steps(throttle, tuning.steps) as on_trial,
    ):
        entries = best_entries(tuning, kept, on_trial)
        costs = {
            entry.preference: {
                label: distribution.costs(make_throttle(throttle, **options), entry.preference)
                for label, options in (("tuned", entry.options), ("default", default_options(throttle)))
            }
            for entry in entries
        }
    with uninterrupted():
        store(tuning.out, throttle, distribution.name, entries)
        kept.discard()
    return [_options_table(tuning, entries), cost_table(throttle, distribution, costs)]


def _setting(tuning: Tuning) -> dict[str, Any]:
    """The settings that decide the cost of options."""
    distribution = tuning.distribution
    return {
        "throttle": tuning.throttle, "preferences": list(tuning.preferences), "suites": distribution.weights,
        "scenarios": len(distribution.scenarios), "seed": distribution.seed,
        "digest of scenarios": distribution.digest,
    }  # fmt: skip


def best_entries(tuning: Tuning, kept: Records[Trial], on_trial: Callable[[int], None]) -> list[TunedEntry]:
    """The best set of options for each preference; those that are kept already are not tried again."""
    throttle, distribution = tuning.throttle, tuning.distribution

    def mean_costs(options: Options) -> list[float]:
        outcomes = distribution.migrate(make_throttle(throttle, **options))
        return [float(outcomes.cost(preference).mean()) for preference in tuning.preferences]

    goal = Goal(mean_costs, len(tuning.preferences), SPACES[throttle], STARTS.get(throttle, []))
    found = search(kept, goal, tuning.steps, distribution.seed, on_trial)
    return [
        TunedEntry(
            preference=preference,
            options=best.options,
            cost=best.costs[index],
            suites=distribution.weights,
            scenarios=len(distribution.scenarios),
            seed=distribution.seed,
            trials=tuning.steps,
        )
        for index, (preference, best) in enumerate(zip(tuning.preferences, found, strict=True))
    ]


def store(path: Path, throttle: str, distribution: str, entries: Sequence[TunedEntry]) -> None:
    """Put entries into a file, in place of those for the same throttle, distribution and preferences."""
    content = read_tuned(path)
    of_throttle = content.setdefault(throttle, {})
    merged = {entry.preference: entry for entry in [*of_throttle.get(distribution, []), *entries]}
    of_throttle[distribution] = [merged[preference] for preference in sorted(merged)]
    write_text(path, dump_tuned(content))


def _options_table(tuning: Tuning, entries: Sequence[TunedEntry]) -> Table:
    return Table.of(
        title=f"{tuning.throttle}, tuned on {tuning.distribution.name}",
        header=("c", *entries[0].options),
        rows=[(f"{entry.preference:g}", *(str(value) for value in entry.options.values())) for entry in entries],
    )
