"""The tables of the results page: one or more for each question, over all evaluations that are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from dqgym.results.rows import Summary
from dqgym.throttles.roles import MAINLINE, ORACLE, RULE, USUAL
from dqgym.throttles.table import without_options
from experiments.reporting.report import interval, preference_cell
from experiments.reporting.tables import Table
from experiments.results.comparisons import ALL, DOMINATION_MARGIN, WORST_RUNTIME, WORST_TIME, Standing
from experiments.results.statistics import Estimate
from experiments.results.summary import EvaluationSummary


@dataclass(frozen=True)
class Stored:
    """The summary of an evaluation under the name of its folder.

    Attributes:
        ablations: how the names of policies begin that are there to be compared with the others; None: no name does.
    """

    name: str
    summary: EvaluationSummary
    ablations: str | None = None

    @property
    def ablated(self) -> list[str]:
        """The policies that are ablations."""
        return [name for name in self.summary.learned if self.ablations and name.startswith(self.ablations)]

    @property
    def policies(self) -> list[str]:
        """The others."""
        return [name for name in self.summary.learned if name not in self.ablated]

    @property
    def baselines(self) -> list[str]:
        """Throttles that are no policies."""
        throttles = dict.fromkeys(one.throttle for one in self.summary.means)
        return [name for name in throttles if name not in self.summary.learned]

    def standings(self, throttles: Iterable[str]) -> list[Standing]:
        """Those of some throttles, against the opponent."""
        return [one for one in self.summary.standings if one.throttle in throttles]


def sources_table(stored: Sequence[Stored]) -> Table:
    """The evaluations and their settings."""
    return Table.of(
        title="What was run",
        header=("evaluation", "date", "backend", "migrations", "policies: training seeds", "command"),
        rows=[
            (
                one.name,
                one.summary.origin.date,
                one.summary.origin.backend,
                ", ".join(f"{suite}: {count}" for suite, count in one.summary.migrations.items()),
                ", ".join(
                    f"{policy}: {', '.join(map(str, seeds))}" for policy, seeds in one.summary.training_seeds.items()
                ),
                f"`{one.summary.origin.command}`",
            )
            for one in stored
        ],
        text_columns=6,
    )


def winners_table(stored: Sequence[Stored]) -> Table:
    """The cheapest throttle of each suite at each preference, and its ratio to the opponent."""
    preferences = sorted({mean.preference for one in stored for mean in one.summary.means})
    rows = []
    for one in stored:
        ratios = {(s.suite, s.preference, s.throttle): s.mean_ratio for s in one.summary.standings}
        for suite in one.summary.migrations:
            cells = []
            for preference in preferences:
                here = [m for m in one.summary.means if (m.suite, m.preference) == (suite, preference)]
                best = min((m for m in here if m.throttle != ORACLE), key=lambda m: m.cost, default=None)
                ratio = ratios.get((suite, preference, best.throttle)) if best else None
                alone = best is None or ratio is None or best.throttle == one.summary.opponent
                cells.append((best.throttle if best else "") + ("" if alone else f" {interval(ratio)}"))
            rows.append((one.name, suite, one.summary.opponent or "", *cells))
    return Table.of(
        title="The cheapest throttle",
        header=("evaluation", "suite", "opponent", *(f"c = {preference:g}" for preference in preferences)),
        rows=rows,
        notes=["By mean J, the oracle left out; with its mean ratio to the opponent, migration by migration."],
        text_columns=3 + len(preferences),
    )


def against_tables(stored: Sequence[Stored]) -> list[Table]:
    """For each evaluation: its policies against the opponent, in every group."""
    return [
        Table.of(
            title=f"{one.name}: policies against {one.summary.opponent}",
            header=("suite", "c", "policy", "mean ratio", "ratio of means", "P(better)", "median", "95th percentile",
                    "IQM of J", f"IQM of {one.summary.opponent}"),
            rows=[
                (
                    standing.suite,
                    preference_cell(standing.preference),
                    standing.throttle,
                    interval(standing.mean_ratio),
                    interval(standing.ratio_of_means),
                    interval(standing.improvement, 2),
                    f"{standing.median:.3f}",
                    f"{standing.percentile_95:.3f}",
                    interval(standing.iqm),
                    f"{opponents[standing.suite, standing.preference].iqm.value:.3f}",
                )
                for standing in one.standings(one.policies)
            ],
            text_columns=3,
        )
        for one in stored
        if one.summary.opponent is not None and one.policies
        for opponents in [{(s.suite, s.preference): s for s in one.standings([one.summary.opponent])}]
    ]  # fmt: skip


def no_gain_table(stored: Sequence[Stored]) -> Table:
    """Suites and preferences in which a policy's interval reaches up to 1, or lies above it."""
    return Table.of(
        title="Where learning gains nothing",
        header=("evaluation", "suite", "c", "policy", "opponent", "mean ratio", "that is"),
        rows=[
            (
                one.name,
                standing.suite,
                preference_cell(standing.preference),
                standing.throttle,
                standing.opponent,
                interval(standing.mean_ratio),
                "costs more" if standing.mean_ratio.low > 1 else "no difference that can be shown",
            )
            for one in stored
            for standing in one.standings(one.policies)
            if standing.suite != ALL and standing.preference is not None and standing.mean_ratio.high >= 1
        ],
        text_columns=5,
    )


def baselines_table(stored: Sequence[Stored]) -> Table:
    """All other throttles against the opponent, over all preferences."""
    return _by_suite(
        "Baselines: mean ratio to the opponent, over all c",
        ("opponent", "throttle"),
        [(one, _over_preferences(one, one.standings(one.baselines))) for one in stored],
        lambda standing: (standing.opponent, standing.throttle),
        lambda standing: interval(standing.mean_ratio),
    )


def gap_table(stored: Sequence[Stored]) -> Table:
    """The part of the way from the rule to the oracle that each throttle has gone."""
    return _by_suite(
        f"Share of the gap between {RULE} and {ORACLE} that is closed",
        ("throttle", "c"),
        [(one, [s for s in one.summary.standings if s.closed_gap is not None]) for one in stored],
        lambda standing: (standing.throttle, preference_cell(standing.preference)),
        lambda standing: interval(standing.closed_gap, 2),
        [f"(J of {RULE} - J) / (J of {RULE} - J of {ORACLE}), of means: 0 is no better than the rule, 1 as good as"
         " knowing the future. Empty where the oracle is not surely cheaper than the rule."],
    )  # fmt: skip


def ablations_table(stored: Sequence[Stored]) -> Table:
    """Ablations beside the policies of the same evaluation, over all preferences; the cheapest first."""
    compared = []
    for one in stored:
        if one.ablated:
            standings = _over_preferences(one, one.standings(one.summary.learned))
            widest = {standing.throttle: standing.mean_ratio.value for standing in standings}  # the last group: all
            compared.append((one, sorted(standings, key=lambda s: widest[s.throttle])))
    return _by_suite(
        "Ablations: mean ratio to the opponent, over all c",
        ("opponent", "policy", "seeds"),
        compared,
        lambda standing: (standing.opponent, standing.throttle, str(standing.training_seeds)),
        lambda standing: interval(standing.mean_ratio),
    )


def dominated_table(stored: Sequence[Stored]) -> Table:
    """In how many migrations a policy is worse than auto-converge in time and guest runtime."""
    return _by_suite(
        f"Migrations that are worse than under {USUAL} in time and in guest runtime",
        ("throttle",),
        [(one, [s for s in one.summary.against_baselines if s.opponent == USUAL]) for one in stored],
        lambda standing: (standing.throttle,),
        lambda standing: f"{standing.dominated} of {standing.migrations}",
        [f"By more than {100 * DOMINATION_MARGIN:g} % each, over all c and training seeds."],
    )


def hypervolume_table(stored: Sequence[Stored]) -> Table:
    """The part of the plane of time and guest runtime that each throttle reaches over the preferences."""
    return _by_suite(
        "Hypervolume of the front over c",
        ("throttle",),
        [(one, one.summary.fronts) for one in stored],
        lambda front: (front.throttle,),
        lambda front: f"{front.hypervolume:.3f}" + ("" if front.monotone else " *"),
        [f"The area that the means at all c dominate, up to {WORST_TIME:g} T0 and a guest runtime of"
         f" {WORST_RUNTIME:g}; larger is better. *: T / T0 or guest runtime falls somewhere as c grows."],
    )  # fmt: skip


def points_table(stored: Sequence[Stored]) -> Table:
    """The points of the policies' fronts."""
    return Table.of(
        title="T / T0 and guest runtime by c",
        header=("evaluation", "suite", "throttle", "c", "T / T0", "guest runtime"),
        rows=[
            (one.name, front.suite, front.throttle, f"{preference:g}", f"{time:.3f}", f"{runtime:.3f}")
            for one in stored
            for front in one.summary.fronts
            if front.throttle in one.policies and _is_widest(one, front.suite)
            for preference, time, runtime in zip(
                front.preferences, front.time_over_t0, front.guest_runtime, strict=True
            )
        ],
        text_columns=3,
    )


def mainline_table(stored: Sequence[Stored]) -> Table:
    """Auto-converge, dirty limit and dirty quota, stock and tuned."""
    preferences = sorted({mean.preference for one in stored for mean in one.summary.means})
    rows = []
    for one in stored:
        runs: dict[tuple[str, ...], list[Summary]] = {}
        for mean in one.summary.means:
            if without_options(mean.throttle) in MAINLINE:
                runs.setdefault(
                    (one.name, mean.suite, mean.throttle, f"{mean.time_over_t0:.2f}", f"{mean.guest_runtime:.3f}",
                     f"{mean.worst_vcpu_runtime:.3f}", f"{100 * mean.converged_share:.0f} %"), [],
                ).append(mean)  # fmt: skip
        for cells, means in runs.items():
            costs = {mean.preference: interval(_cost(mean)) for mean in means}
            rows.append((*cells, *(costs.get(preference, "") for preference in preferences)))
    return Table.of(
        title="Means, and the cost at each c",
        header=("evaluation", "suite", "throttle", "T / T0", "guest runtime", "worst vCPU", "converged",
                *(f"J, c = {preference:g}" for preference in preferences)),
        rows=rows,
        notes=["Means. `NAME:DISTRIBUTION`: with options that were tuned to that distribution at each c."],
        text_columns=3,
    )  # fmt: skip


def _cost(mean: Summary) -> Estimate:
    return Estimate(mean.cost, mean.cost_low, mean.cost_high)


def _over_preferences(one: Stored, standings: Iterable[Standing]) -> list[Standing]:
    """Those over all preferences; over the only one where there is one."""
    several = len({mean.preference for mean in one.summary.means}) > 1
    return [standing for standing in standings if (standing.preference is None) == several]


def _is_widest(one: Stored, suite: str) -> bool:
    """True where it stands for all suites of an evaluation."""
    return suite == ALL or len(one.summary.migrations) == 1


class _OfSuite(Protocol):
    @property
    def suite(self) -> str: ...


Item = TypeVar("Item", bound=_OfSuite)


def _by_suite(
    title: str,
    row_header: Sequence[str],
    found: Sequence[tuple[Stored, Sequence[Item]]],
    row_of: Callable[[Item], tuple[str, ...]],
    cell: Callable[[Item], str],
    notes: Sequence[str] = (),
) -> Table:
    """A table with a column for each suite, those of all evaluations; ``all`` is the last."""
    suites = list(dict.fromkeys(item.suite for _, items in found for item in items))
    suites.sort(key=lambda suite: suite == ALL)
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for one, items in found:
        for item in items:
            rows.setdefault((one.name, *row_of(item)), {})[item.suite] = cell(item)
    return Table.of(
        title=title,
        header=("evaluation", *row_header, *suites),
        rows=[(*key, *(cells.get(suite, "") for suite in suites)) for key, cells in rows.items()],
        notes=notes,
        text_columns=1 + len(row_header),
    )
