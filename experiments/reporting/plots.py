"""The pictures of a report, drawn without a display; each function returns a matplotlib figure.

Every throttle keeps its colour and marker in all pictures: those of ``dqgym.throttles.table``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dqgym.envs.rendering.frames import MigrationFigure
from dqgym.files import replacing
from dqgym.results.rows import Row
from dqgym.throttles.roles import ORACLE
from dqgym.throttles.styles import POLICY_STYLES, Style, spare_style
from dqgym.throttles.table import table_styles
from experiments.reporting.letter_rows import LetterComparison, configuration, row_label
from experiments.results.comparisons import ALL, Front
from experiments.results.rows import Stratum, grouped, strata_of
from experiments.results.statistics import pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from dqgym.controller.timeline import Timeline
    from dqgym.scenario.suites.cover_letter import LetterRow


DPI = 110
FONT: dict[Any, Any] = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}


def throttle_styles(throttles: Sequence[str], learned: Collection[str]) -> dict[str, Style]:
    """A style for each throttle: the table's, or in turn for policies, or a spare one for those of neither.

    Args:
        throttles: what is drawn.
        learned: the policies among them. A throttle that the table does not have is none for that.
    """
    known = table_styles()
    policies = [name for name in throttles if name in learned]
    found: dict[str, Style] = {}
    for name in throttles:
        if name in learned:
            found[name] = POLICY_STYLES[policies.index(name) % len(POLICY_STYLES)]
        else:
            found[name] = known.get(name) or spare_style(name, {*known.values(), *found.values()})
    return found


def tradeoff_figure(rows: Sequence[Row], suite: str, learned: Collection[str]) -> Figure:
    """Guest runtime against T/T0 in one suite: a point for each migration, a large one for each throttle's mean.

    A throttle that was run once for all preferences is one mean; one of the ``learned`` policies is a line over its
    preferences.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    by_throttle = grouped((row for row in rows if row.suite == suite), lambda row: row.throttle)
    styles = throttle_styles(list(by_throttle), learned)
    with mpl.rc_context(FONT):
        figure = Figure(figsize=(9.5, 5.5), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        axes.set_xscale("log")
        for name in sorted(by_throttle, key=lambda name: name in learned):  # policies on top
            _draw_throttle(axes, name, by_throttle[name], styles[name])
        axes.axvline(1, color="#999999", linewidth=1, linestyle=":")
        axes.set_xlabel("migration time T / T0  (T0 = memory / nominal bandwidth)")
        axes.set_ylabel("guest runtime: share of time in which the vCPUs run")
        axes.set_ylim(-0.03, 1.03)
        label_log_axis(axes.xaxis)
        axes.grid(alpha=0.25, which="both")
        axes.set_title(f"{suite}: towards the upper left is better", loc="left")
        figure.legend(loc="outside right center", frameon=False, title="mean (small: one migration)")
        return figure


def _draw_throttle(axes: Axes, name: str, rows: Sequence[Row], style: Style) -> None:
    points = {(row.scenario, row.seed, row.time_over_t0, row.guest_runtime): row.converged for row in rows}
    for converged, marker in ((True, style.marker), (False, "x")):
        shown = np.array([key[2:] for key, value in points.items() if value is converged]).reshape(-1, 2)
        axes.scatter(
            shown[:, 0],
            shown[:, 1],
            s=22,
            alpha=_alpha(len(points)),
            color=style.colour,
            marker=marker,
            linewidths=0 if converged else 1,
        )
    strata = {key.preference: stratum for key, stratum in strata_of(rows).items()}
    means = {(float(one.time_over_t0.mean()), float(one.guest_runtime.mean())): c for c, one in strata.items()}
    _draw_line(axes, style, means, _legend_label(name, list(strata.values())))
    _name_ends(axes, style, means)


def _draw_line(axes: Axes, style: Style, points: Iterable[tuple[float, float]], label: str) -> None:
    """Points (T / T0, guest runtime), joined in their order."""
    time, runtime = zip(*points, strict=True)
    axes.plot(
        time,
        runtime,
        color=style.colour,
        marker=style.marker,
        markersize=12,
        markeredgecolor="white",
        markeredgewidth=1.2,
        linewidth=2 if len(time) > 1 else 0,
        zorder=3,
        label=label,
    )


def _name_ends(axes: Axes, style: Style, points: Mapping[tuple[float, float], float]) -> None:
    """Write the preference at the first of several points, and at the last one."""
    from matplotlib.patheffects import withStroke

    ends = list(points.items())[:: len(points) - 1] if len(points) > 1 else []
    for (point, preference), height in zip(ends, (-20, 10), strict=False):  # the ends may lie close together
        axes.annotate(
            f"c = {preference:g}",
            point,
            (0, height),
            ha="center",
            color=style.colour,
            textcoords="offset points",
            fontweight="bold",
            path_effects=[withStroke(linewidth=3, foreground="white")],
            zorder=4,
        )


def _alpha(points: int) -> float:
    return float(np.clip(20 / points, 0.05, 0.5))


def _legend_label(name: str, strata: Sequence[Stratum]) -> str:
    missed = max(int((stratum.converged == 0).sum()) for stratum in strata)
    return f"{name}\n({missed} of {strata[0].converged.size} missed\nthe deadline: x)" if missed else name


def fronts_figure(fronts: Sequence[Front], learned: Collection[str]) -> Figure:
    """Mean guest runtime against mean T/T0 over the preferences: a panel for each suite, a line for each throttle.

    The grey stairs are the front of all throttles but the oracle: nothing lies above them.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    suites = list(dict.fromkeys(front.suite for front in fronts))
    styles = throttle_styles(list(dict.fromkeys(front.throttle for front in fronts)), learned)
    ordered = sorted(fronts, key=lambda front: front.throttle in learned)  # policies on top
    columns = math.ceil(math.sqrt(len(suites)))
    rows = -(-len(suites) // columns)
    with mpl.rc_context(FONT):
        figure = Figure(figsize=(3 + 5.5 * columns, 0.7 + 4.5 * rows), dpi=DPI, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, suite in zip(panels, suites, strict=False):
            _draw_fronts(axes, [front for front in ordered if front.suite == suite], styles)
            axes.set_title("all suites" if suite == ALL else suite, loc="left")
        for axes in panels[len(suites) :]:
            axes.remove()
        least, most = fronts[0].preferences[0], fronts[0].preferences[-1]
        lines = f"; lines: c = {least:g} to {most:g}" if most > least else ""
        figure.supxlabel(f"mean migration time T / T0{lines}")
        figure.supylabel("mean guest runtime")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
        return figure


def _draw_fronts(axes: Axes, fronts: Sequence[Front], styles: Mapping[str, Style]) -> None:
    axes.set_xscale("log")
    rivals = [front for front in fronts if front.throttle != ORACLE]
    time = np.concatenate([front.time_over_t0 for front in rivals])
    runtime = np.concatenate([front.guest_runtime for front in rivals])
    best = pareto_front(time, runtime)
    axes.step(time[best], runtime[best], where="post", color="#BBBBBB", linewidth=5, zorder=1)
    for front in fronts:
        points = dict.fromkeys(zip(front.time_over_t0, front.guest_runtime, strict=True))
        _draw_line(axes, styles[front.throttle], points, front.throttle)
    axes.margins(0.12)
    label_log_axis(axes.xaxis)
    axes.grid(alpha=0.25, which="both")


def cover_letter_figure(comparison: LetterComparison) -> Figure:
    """Migration time of each row on a logarithmic axis: the letter's measurements outlined, the model's filled."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    columns = comparison.columns
    styles = throttle_styles([column.throttle for column in columns], comparison.learned)
    times = np.array([[cell.total_time_s for cell in column.cells] for column in columns])
    shortest, longest = float(np.min(times)), float(np.max(times, where=np.isfinite(times), initial=0))
    top = 3 * longest
    with mpl.rc_context(FONT):
        figure = Figure(figsize=(15, 6), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        places = np.arange(len(comparison.rows))
        width = 0.84 / len(columns)
        for index, column in enumerate(columns):
            style = styles[column.throttle]
            left = places + (index - (len(columns) - 1) / 2) * width
            missed = np.isinf(times[index])
            bars = axes.bar(
                left,
                np.where(missed, top, times[index]),
                width * 0.9,
                label=column.title,
                color="white" if column.measured else _shade(style.colour, column.preference_rank),
                edgecolor=style.colour,
                linewidth=1.2,
            )
            for bar, unconverged in zip(bars, missed, strict=True):
                if unconverged:
                    bar.set(facecolor="white", hatch="////", linewidth=0.6)
                    axes.annotate(
                        "∞",
                        (bar.get_x() + bar.get_width() / 2, top),
                        (0, 1),
                        ha="center",
                        textcoords="offset points",
                        color=style.colour,
                        fontsize=12,
                    )
        axes.set_yscale("log")
        axes.set_ylim(shortest / 2, 1.5 * top)
        label_log_axis(axes.yaxis)
        axes.set_xlim(-0.6, len(places) - 0.4)
        axes.set_xticks(places, [_tick_label(row) for row in comparison.rows])
        axes.tick_params(axis="x", length=0, labelsize=9.5)
        axes.set_ylabel("migration time [s]")
        axes.set_xlabel("row (9 *: as printed, 9 **: as probably meant); ∞ and hatched: unconverged")
        axes.grid(axis="y", alpha=0.25)
        axes.set_axisbelow(True)
        figure.legend(loc="outside upper left", frameon=False, ncols=len(columns))
        return figure


def _shade(colour: str, rank: int) -> tuple[float, float, float]:
    """The colour itself for rank 0, lighter for each rank after it."""
    from matplotlib.colors import to_rgb

    red, green, blue = (1 - (1 - part) * 0.45**rank for part in to_rgb(colour))
    return red, green, blue


def _tick_label(row: LetterRow) -> str:
    return "\n".join((row_label(row), *configuration(row)))


def timeline_figure(timeline: Timeline, title: str) -> Figure:
    """One migration over time: remaining bytes, rates, and per-vCPU limits and run shares."""
    drawing = MigrationFigure((1000, 760))
    drawing.update(timeline, title)
    return drawing.figure


def label_log_axis(axis: Axis, within_decade: Sequence[float] = (1.0, 2.0, 5.0)) -> None:
    """Plain numbers (1, 2, 5, 10, ...) instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=within_decade))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure as PNG; the file is whole or not there."""
    with replacing(path) as temporary:
        figure.savefig(temporary)
