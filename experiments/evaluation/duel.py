"""Two throttles on the same migrations, and a verdict in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dqgym.errors import BadInputError
from dqgym.results.rows import Row
from dqgym.results.rows_file import read_rows
from dqgym.results.schema import stamped
from dqgym.scenario.suites import name_of
from experiments.evaluation.backend_sources import backend_maker
from experiments.evaluation.evaluation import Task, count_runs, evaluate
from experiments.evaluation.throttle_sources import throttle_source
from experiments.reporting.progress import showing_progress
from experiments.reporting.report import interval, preference_cell
from experiments.reporting.tables import Table
from experiments.results.comparisons import Comparisons, Standing
from experiments.results.rows import json_safe, strata_of
from experiments.results.statistics import Bootstrap

SHOWN = 10
"""Migrations with the largest gains, and with the largest losses."""


@dataclass(frozen=True)
class DuelPair:
    """One migration under both throttles: means over their training seeds; ``ratio`` is of the costs."""

    suite: str
    preference: float
    scenario: str
    seed: int
    ratio: float
    own_cost: float
    other_cost: float
    own_time_over_t0: float
    other_time_over_t0: float
    own_guest_runtime: float
    other_guest_runtime: float


@dataclass(frozen=True)
class Duel:
    """Two throttles compared.

    Attributes:
        standings: the first against the other, by group; the last one is over everything.
        reverse: the other against the first, in the same order.
        gains: the migrations on which the first gains most, the largest gain first.
        losses: those on which it loses most.
    """

    own: str
    other: str
    standings: tuple[Standing, ...]
    reverse: tuple[Standing, ...]
    gains: tuple[DuelPair, ...]
    losses: tuple[DuelPair, ...]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        document: dict[str, Any] = stamped(json_safe({"verdict": self.verdict(), **asdict(self)}))
        return document

    def verdict(self) -> str:
        """Which one costs less, by how much, and on which suites it is otherwise."""
        overall = self.standings[-1]
        text = f"{_verdict(overall)} {_sureness(overall)}"
        suites = [one for one in self.standings[:-1] if one.preference == overall.preference]
        return text + "".join(f" {one.suite}: {_verdict(one)}" for one in suites if _sign(one) != _sign(overall))

    def tables(self) -> list[Table]:
        """The comparison by group, then the migrations with the largest gains and losses."""
        return [_standings_table(self), _pairs_table(self, self.gains, "gains"),
                _pairs_table(self, self.losses, "losses")]  # fmt: skip


def duel_of(rows: Iterable[Row], own: str, other: str) -> Duel:
    """The comparison of two throttles from their rows.

    Raises:
        BadInputError: they were not given the same migrations.
    """
    comparisons = Comparisons(strata_of(rows), Bootstrap())
    pairs = sorted(_pairs(comparisons, own, other), key=lambda pair: pair.ratio)
    return Duel(
        own,
        other,
        tuple(comparisons.against(other, [own], comparisons.groups)),
        tuple(comparisons.against(own, [other], comparisons.groups)),
        gains=tuple(pair for pair in pairs[:SHOWN] if pair.ratio < 1),
        losses=tuple(pair for pair in pairs[: -SHOWN - 1 : -1] if pair.ratio > 1),
    )


def rows_of_two(
    folder: Path, own: str, other: str, suites: Sequence[str] | None, preferences: Sequence[float] | None
) -> list[Row]:
    """The rows of two throttles in a folder of `dqgym evaluate`; of some suites and preferences, where they are given.

    Raises:
        BadInputError: there is no such folder, throttle, suite or preference.
    """
    rows = read_rows(folder, [own, other])
    for option, wanted, of_row in (
        ("--suite", [name_of(suite) for suite in suites or ()], lambda row: row.suite),
        ("--preference", preferences, lambda row: row.preference),
    ):
        if wanted:
            rows = _only(rows, option, wanted, of_row, folder)
    return rows


def _only(rows: list[Row], option: str, wanted: Sequence[Any], of_row: Callable[[Row], Any], folder: Path) -> list[Row]:
    there = list(dict.fromkeys(map(of_row, rows)))
    for value in wanted:
        if value not in there:
            raise BadInputError(f"{option} {value}: not in {folder}; there are: {', '.join(map(str, there))}")
    return [row for row in rows if of_row(row) in wanted]


def duel_now(own: str, other: str, tasks: Sequence[Task], preferences: Sequence[float], show_progress: bool) -> Duel:
    """Both throttles on the model, now.

    Args:
        own: a training run, policy bundle or throttle.
        other: another one.
        tasks: what both migrate.
        preferences: at which the cost is taken.
        show_progress: on standard error, where somebody watches.

    Raises:
        BadInputError: one of them is no such thing, or does not serve a scenario.
    """
    throttles = [throttle_source(own), throttle_source(other)]
    if throttles[0].name == throttles[1].name:  # two runs of one config, for example
        throttles = [replace(one, name=source) for one, source in zip(throttles, (own, other), strict=True)]
    costed_at = sorted(set(preferences))
    with showing_progress(count_runs(throttles, tasks, costed_at), show_progress) as on_run:
        rows = evaluate(throttles, tasks, costed_at, backend_maker("model"), on_run).rows
    return duel_of(rows, throttles[0].name, throttles[1].name)


def _pairs(comparisons: Comparisons, own: str, other: str) -> list[DuelPair]:
    pairs = []
    for key, stratum in comparisons.strata.items():
        if key.throttle != own:
            continue
        opponent = comparisons.strata[key._replace(throttle=other)]
        sides = [
            side for one in (stratum, opponent) for side in (one.cost, one.time_over_t0, one.guest_runtime)
        ]  # fmt: skip
        means = [side.mean(axis=0).tolist() for side in sides]
        for migration, cost, time, runtime, other_cost, other_time, other_runtime in zip(
            stratum.migrations, *means, strict=True
        ):
            pairs.append(
                DuelPair(
                    suite=key.suite,
                    preference=key.preference,
                    scenario=migration.scenario,
                    seed=migration.seed,
                    ratio=cost / other_cost,
                    own_cost=cost,
                    other_cost=other_cost,
                    own_time_over_t0=time,
                    other_time_over_t0=other_time,
                    own_guest_runtime=runtime,
                    other_guest_runtime=other_runtime,
                )
            )
    return pairs


def _sign(standing: Standing) -> int:
    """-1: surely costs less; 1: surely costs more; 0: neither can be shown."""
    return (standing.mean_ratio.low > 1) - (standing.mean_ratio.high < 1)


def _verdict(one: Standing) -> str:
    value, low, high = (100 * (ratio - 1) for ratio in one.mean_ratio)
    match _sign(one):
        case -1:
            return f"{one.throttle} costs {-value:.1f} % [{-high:.1f}, {-low:.1f}] less than {one.opponent}."
        case 1:
            return f"{one.throttle} costs {value:.1f} % [{low:.1f}, {high:.1f}] more than {one.opponent}."
        case _:
            return (
                f"No difference can be shown: {one.throttle} costs {value:+.1f} % [{low:+.1f}, {high:+.1f}] against"
                f" {one.opponent}."
            )


def _sureness(one: Standing) -> str:
    seeds = f" and {one.training_seeds} training seeds" if one.training_seeds > 1 else ""
    share, low, high = (100 * part for part in one.improvement)
    return (
        f"That is the mean over {one.migrations} migrations{seeds}, with its 95 % interval; {one.throttle} costs less"
        f" in {share:.0f} % of them [{low:.0f}, {high:.0f}], a tie counted half."
    )


def _standings_table(duel: Duel) -> Table:
    return Table.of(
        title=f"A = {duel.own} against B = {duel.other}: cost J of A / J of B on the same migrations",
        header=("suite", "c", "mean ratio", "ratio of means", "P(A better)", "median", "95th percentile", "IQM of A",
                "IQM of B", "A worse in both", "B worse in both"),
        rows=[
            (
                one.suite,
                preference_cell(one.preference),
                interval(one.mean_ratio),
                interval(one.ratio_of_means),
                interval(one.improvement, 2),
                f"{one.median:.3f}",
                f"{one.percentile_95:.3f}",
                interval(one.iqm),
                interval(back.iqm),
                f"{one.dominated} of {one.migrations}",
                f"{back.dominated} of {back.migrations}",
            )
            for one, back in zip(duel.standings, duel.reverse, strict=True)
        ],
        notes=[
            "Intervals: 95 %, over training seeds and scenarios. Worse in both: longer, and the guest runs less."
        ],
        text_columns=2,
        expendable=("B worse in both", "A worse in both", "IQM of B", "IQM of A", "median", "ratio of means"),
    )  # fmt: skip


def _pairs_table(duel: Duel, pairs: Sequence[DuelPair], what: str) -> Table:
    return Table.of(
        title=f"The largest {what} of {duel.own}" + ("" if pairs else ": none"),
        header=("suite", "scenario", "c", "ratio", "J of A", "J of B", "T / T0\nof A", "T / T0\nof B", "runtime\nof A",
                "runtime\nof B"),
        rows=[
            (
                pair.suite,
                pair.scenario,
                f"{pair.preference:g}",
                f"{pair.ratio:.3f}",
                f"{pair.own_cost:.3f}",
                f"{pair.other_cost:.3f}",
                f"{pair.own_time_over_t0:.2f}",
                f"{pair.other_time_over_t0:.2f}",
                f"{pair.own_guest_runtime:.3f}",
                f"{pair.other_guest_runtime:.3f}",
            )
            for pair in pairs
        ],
        text_columns=2,
        expendable=("runtime\nof B", "runtime\nof A", "T / T0\nof B", "T / T0\nof A"),
    )  # fmt: skip
