"""The report of an evaluation: its tables, and a Markdown page with them and the pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dqgym.results.rows import Summary, TakeoverCount
from experiments.reporting.letter_rows import Cell, LetterComparison, ModelDeviation, configuration, row_label
from experiments.reporting.tables import Table
from experiments.results.comparisons import DOMINATION_MARGIN, WORST_RUNTIME, WORST_TIME, Front, Standing
from experiments.results.statistics import TIE, Estimate
from experiments.results.summary import EvaluationSummary

ONE_SCENARIO = "The intervals have no width: one scenario does not say how others would end."
CONFIGURATION_HEADER = ("memory", "writers", "dirty rate", "bandwidth")


@dataclass(frozen=True)
class Picture:
    """A picture beside the report: ``file`` relative to it."""

    file: str
    caption: str


def evaluation_tables(
    summary: EvaluationSummary,
    paired: Sequence[Standing],
    takeovers: Sequence[TakeoverCount],
    comparison: LetterComparison | None,
) -> list[Table]:
    """All tables of an evaluation, in the order in which they are shown; ``paired``: policies against baselines."""
    tables = summary_tables(summary.means, takeovers)
    if summary.opponent is not None:
        tables += standings_tables(summary.opponent, summary.standings)
    tables.append(fronts_table(summary.fronts))
    if paired:
        tables.append(paired_table(paired))
    if comparison is not None:
        tables.append(comparison_table(comparison))
    return tables


def summary_tables(summaries: Sequence[Summary], takeovers: Sequence[TakeoverCount] = ()) -> list[Table]:
    """One table for each suite: every throttle at every preference, cheapest first."""
    return [
        _summary_table(
            suite,
            [summary for summary in summaries if summary.suite == suite],
            [takeover for takeover in takeovers if takeover.suite == suite],
        )
        for suite in dict.fromkeys(summary.suite for summary in summaries)
    ]


def _summary_table(suite: str, summaries: Sequence[Summary], takeovers: Sequence[TakeoverCount]) -> Table:
    ordered = sorted(summaries, key=lambda summary: (summary.preference, summary.cost))
    scenarios = ordered[0].scenarios
    return Table.of(
        title=f"{suite}: means over {scenarios} scenarios" if scenarios > 1 else f"{suite}: one migration",
        header=("c", "throttle", "cost J", "95 % interval", "T / T0", "guest runtime", "worst vCPU", "converged"),
        rows=[
            (
                f"{summary.preference:g}",
                summary.throttle,
                f"{summary.cost:.3f}",
                f"{summary.cost_low:.3f} .. {summary.cost_high:.3f}",
                f"{summary.time_over_t0:.2f}",
                f"{summary.guest_runtime:.3f}",
                f"{summary.worst_vcpu_runtime:.3f}",
                f"{summary.converged_share:.0%}",
            )
            for summary in ordered
        ],
        notes=[
            *(
                f"{one.throttle}, c = {one.preference:g}: {one.forced_share:.0%} converged by force: their guests were"
                " paused, at the deadline or after the last round"
                for one in ordered
                if one.forced_share > 0
            ),
            *(
                f"{throttle}: {seeds} training seeds, each on all {ordered[0].scenarios} scenarios"
                for throttle, seeds in dict.fromkeys((one.throttle, one.training_seeds) for one in ordered)
                if seeds > 1
            ),
            *([ONE_SCENARIO] if all(math.isclose(one.cost_low, one.cost_high) for one in ordered) else []),
            *_takeover_notes(ordered, takeovers),
        ],
        text_columns=2,
        expendable=("worst vCPU", "T / T0"),
    )


def _takeover_notes(summaries: Sequence[Summary], takeovers: Sequence[TakeoverCount]) -> list[str]:
    """One for each policy, preference and reason, over all training seeds."""
    migrations = {one.throttle: one.scenarios * one.training_seeds for one in summaries}
    counts: dict[tuple[str, float, str], int] = {}
    for one in takeovers:
        key = (one.throttle, one.preference, one.reason)
        counts[key] = counts.get(key, 0) + one.migrations
    return [
        f"{throttle}, c = {preference:g}: the guard took over {count} of {migrations[throttle]} migrations ({reason})"
        for (throttle, preference, reason), count in counts.items()
    ]


def standings_tables(opponent: str, standings: Sequence[Standing]) -> list[Table]:
    """Everybody against the opponent, with intervals over training seeds and scenarios: ratios, then what is beside.

    Two tables, so that neither is wider than a page.
    """
    return [_ratios_table(opponent, standings), _spread_table(opponent, standings)]


def _ratios_table(opponent: str, standings: Sequence[Standing]) -> Table:
    with_oracle = any(one.closed_gap is not None for one in standings)
    return Table.of(
        title=f"Against {opponent}: cost J / its cost on the same migrations (below 1: better)",
        header=(
            "suite", "c", "throttle", "mean ratio", "ratio of means", "P(better)",
            *(["gap closed"] if with_oracle else []),
        ),
        rows=[
            (
                one.suite,
                preference_cell(one.preference),
                one.throttle,
                interval(one.mean_ratio),
                interval(one.ratio_of_means),
                interval(one.improvement, 2),
                *([interval(one.closed_gap, 2)] if with_oracle else []),
            )
            for one in standings
        ],
        notes=(
            "Intervals: 95 %, bootstrap over training seeds and scenarios. P(better): the probability of a lower cost"
            f" on the same migration; ties (J within {TIE:f}) count half. Pooled, every suite and every c has the same"
            " weight."
            + (" Gap closed: of what lies between the rule and the oracle." if with_oracle else ""),
        ),
        text_columns=3,
        expendable=("P(better)", "ratio of means"),
    )  # fmt: skip


def _spread_table(opponent: str, standings: Sequence[Standing]) -> Table:
    return Table.of(
        title=f"Against {opponent}: J itself, and how far the ratio spreads",
        header=("suite", "c", "throttle", "seeds", "IQM of J", "median", "95th percentile", "worse in both"),
        rows=[
            (
                one.suite,
                preference_cell(one.preference),
                one.throttle,
                str(one.training_seeds),
                interval(one.iqm),
                f"{one.median:.3f}",
                f"{one.percentile_95:.3f}",
                f"{one.dominated} of {one.migrations}",
            )
            for one in standings
        ],
        notes=(
            "IQM: interquartile mean. Median, 95th percentile: of the ratio. Worse in both: migrations that take longer"
            f" and let the guest run less, by {100 * DOMINATION_MARGIN:g} % each.",
        ),
        text_columns=3,
        expendable=("seeds", "IQM of J", "median", "95th percentile"),
    )


def preference_cell(preference: float | None) -> str:
    """A preference, or ``all``."""
    return "all" if preference is None else f"{preference:g}"


def interval(estimate: Estimate | None, digits: int = 3) -> str:
    """A number and its interval; nothing for None."""
    if estimate is None:
        return ""
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f} {estimate.high:.{digits}f}]"


def fronts_table(fronts: Sequence[Front]) -> Table:
    """The reach of each throttle over the preferences."""
    return Table.of(
        title="Time against guest runtime over the preferences",
        header=("suite", "throttle", "hypervolume", "monotone", "c: T / T0, guest runtime"),
        rows=[
            (
                front.suite,
                front.throttle,
                f"{front.hypervolume:.3f}",
                "yes" if front.monotone else "no",
                "; ".join(_front_points(front)),
            )
            for front in fronts
        ],
        notes=(
            f"Means at each preference. Hypervolume: the area between the front and {WORST_TIME:g} T0 with a guest"
            f" runtime of {WORST_RUNTIME:g}; larger is better. Monotone: T / T0 and guest runtime never fall as c"
            " grows. *: another point of the same throttle is as good in both.",
        ),
        text_columns=2,
        expendable=("c: T / T0, guest runtime",),
    )


def _front_points(front: Front) -> list[str]:
    """Each point once: a throttle that does not know the preference has the same one for all."""
    points = list(zip(front.time_over_t0, front.guest_runtime, strict=True))
    if len(set(points)) == 1:
        return [f"{points[0][0]:.2f}, {points[0][1]:.3f}"]
    return [
        f"{preference:g}: {time:.2f}, {runtime:.3f}" + ("" if efficient else " *")
        for preference, (time, runtime), efficient in zip(front.preferences, points, front.efficient, strict=True)
    ]


def paired_table(standings: Sequence[Standing]) -> Table:
    """Cost of the policies over that of the baselines, scenario by scenario."""
    return Table.of(
        title="Cost of a policy / cost of a baseline on the same scenario (below 1: the policy is better)",
        header=("suite", "policy", "baseline", "c", "mean", "95 % interval", "median", "95th percentile"),
        rows=[
            (
                one.suite,
                one.throttle,
                one.opponent,
                preference_cell(one.preference),
                f"{one.mean_ratio.value:.3f}",
                f"{one.mean_ratio.low:.3f} .. {one.mean_ratio.high:.3f}",
                f"{one.median:.3f}",
                f"{one.percentile_95:.3f}",
            )
            for one in standings
        ],
        text_columns=3,
        expendable=("median", "95th percentile"),
    )


def comparison_table(comparison: LetterComparison) -> Table:
    """The letter's rows: migration time and, where it is known, guest runtime in per cent."""
    notes = ["Cells: migration time, guest runtime. The letter gives no guest runtime for these rows."]
    if any(row.likely_misprint for row in comparison.rows):
        notes.append(
            "* Row 9 as printed: its bandwidth contradicts both of its times. ** Read as 128 MiB/s it fits both."
            " Probably a misprint; no source confirms it."
        )
    return Table.of(
        title="The letter's fifteen configurations",
        header=(
            "row",
            "memory",
            "writers",
            "dirty rate",
            "bandwidth",
            *(column.title for column in comparison.columns),
        ),
        rows=[
            (row_label(row), *configuration(row), *map(_cell, cells))
            for row, *cells in zip(comparison.rows, *(column.cells for column in comparison.columns), strict=True)
        ],
        notes=[*notes, *(_error_note(error) for error in comparison.errors)],
        expendable=_expendable(comparison),
    )


def _expendable(comparison: LetterComparison) -> list[str]:
    """The configuration first, then a policy's preferences but the last one, then auto-converge."""
    last_rank = {column.throttle: column.preference_rank for column in comparison.columns}
    columns = [column for column in comparison.columns if column.preference_rank < last_rank[column.throttle]]
    columns += [column for column in comparison.columns if column.throttle == "auto-converge"]
    return ["writers", "memory", "dirty rate", "bandwidth", *(column.title for column in columns)]


def _cell(cell: Cell) -> str:
    seconds = f"{cell.total_time_s:.1f}" if cell.total_time_s < 1000 else f"{cell.total_time_s:.0f}"
    time = f"{seconds} s" if math.isfinite(cell.total_time_s) else "unconverged"
    return time if math.isnan(cell.guest_runtime) else f"{time} {cell.guest_runtime:4.0%}"


def _error_note(error: ModelDeviation) -> str:
    verdicts = (
        f"wrong convergence in {', '.join(error.wrong_verdicts)}"
        if error.wrong_verdicts
        else "convergence right in all rows"
    )
    row_9 = ", ".join(
        f"{name} {'unconverged' if math.isnan(value) else f'{value:+.0%}'}" for name, value in error.row_9.items()
    )
    return (
        f"Model's {error.throttle} against the letter: error {error.median:.1%} in the median, {error.largest:.1%} at"
        f" most, over {error.rows} rows; {verdicts}." + (f" Both readings of row 9: {row_9}." if row_9 else "")
    )


def markdown_report(command: str, tables: Sequence[Table], pictures: Sequence[Picture]) -> str:
    """The page: the command that made it, tables, pictures, and how to read them."""
    return "\n".join(
        (
            f"# Evaluation\n\n```\n{command}\n```\n",
            *(f"## {table.title}\n\n{table.markdown()}" for table in tables),
            *(f"## {picture.caption}\n\n![{picture.caption}]({picture.file})\n" for picture in pictures),
            READING,
        )
    )


READING = """## How to read this

- T / T0: migration time over memory / nominal bandwidth, which is the least that a pre-copy migration can take unless
  its link gets faster; the deadline where it was missed.
- guest runtime: share of the migration in which a vCPU runs, mean over the vCPUs; worst vCPU: the one that ran least.
- cost J = T / T0 + c / T0 * integral of mean_i min(5.3, -ln max(run share of vCPU i, 0.005)) dt; c is the operator's
  preference (0.2 fast, 0.6 gentle). A missed deadline costs double.
- All throttles migrate the same scenarios with the same seeds. Runs of one config with several seeds are one method;
  only then do the intervals cover the chance of another training run. The letter's configurations and the time lines
  show the first of them.
- A policy and a tuned baseline know c and are run at each; other baselines are run once and costed at each.
"""
