"""The picture of a calibration: the model against what was measured, on the diagonal, and how far off it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dqgym.throttles.styles import Style
from experiments.calibration.report import Calibration, Line, comparison_lines
from experiments.reporting.plots import DPI, FONT, label_log_axis, throttle_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECADES = (1.0,)
"""The numbers within each decade that axes of times are labelled at."""
BAND = 0.1
"""Half the width of the grey band, relative."""
RUNTIME_BAND = 0.05
NEVER = 2.5
"""Migrations that do not converge are drawn at this multiple of the longest one that does."""


def calibration_figure(calibration: Calibration) -> Figure:
    """Migration times on the left, guest runtimes on the right; above the model against the record, below its error."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    lines = [line for line in comparison_lines(calibration) if line.quantity in ("time_s", "guest_runtime")]
    styles = throttle_styles(list(dict.fromkeys(line.throttle for line in lines)), learned=())
    with mpl.rc_context(FONT):
        figure = Figure(figsize=(13, 8.6), dpi=DPI, layout="constrained")
        axes = figure.subplot_mosaic(
            [["time", "runtime"], ["time error", "runtime error"]], height_ratios=[2.6, 1], width_ratios=[1.15, 1]
        )
        times = [line for line in lines if line.quantity == "time_s"]
        _draw_times(axes["time"], axes["time error"], times, styles)
        runtimes = [line for line in lines if line.quantity == "guest_runtime"]
        _draw_runtimes(axes["runtime"], axes["runtime error"], runtimes, styles)
        for one in axes.values():
            one.grid(alpha=0.25)
            one.set_axisbelow(True)
        _legend(figure, lines, styles)
        return figure


def _draw_times(axes: Axes, errors: Axes, lines: Sequence[Line], styles: dict[str, Style]) -> None:
    finite = [value for line in lines for value in (line.measured, line.model) if math.isfinite(value)]
    low, never = 0.6 * min(finite), NEVER * max(finite)
    span = np.array([low, never / 1.5])
    axes.fill_between(span, span * (1 - BAND), span * (1 + BAND), color="#DDDDDD", linewidth=0)
    axes.plot(span, span, color="#888888", linewidth=1)
    for line in lines:
        measured, model = (min(value, never) for value in (line.measured, line.model))
        _point(axes, measured, model, line, styles[line.throttle])
        if never not in (measured, model):
            _point(errors, measured, 100 * (model / measured - 1), line, styles[line.throttle])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, 1.5 * never)
    axes.set_ylim(low, 1.5 * never)
    for axis, name in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        label_log_axis(axis, DECADES)
        _mark_never(axes, never, name)
    neither = sum(not math.isfinite(line.measured) and not math.isfinite(line.model) for line in lines)
    axes.annotate(
        f"{neither} in neither", (never, never), (-12, 0), ha="right", va="center", textcoords="offset points",
        color="#777777", fontsize=10, backgroundcolor="white",
    )  # fmt: skip
    axes.set_title("Migration time: Table A and recorded QEMU runs", loc="left")
    axes.set_ylabel("model [s]")
    errors.axhspan(-100 * BAND, 100 * BAND, color="#DDDDDD", linewidth=0)
    errors.axhline(0, color="#888888", linewidth=1)
    errors.set_xscale("log")
    errors.set_xlim(low, 1.5 * never)
    label_log_axis(errors.xaxis, DECADES)
    errors.set_ylim(*_limits([line.model / line.measured - 1 for line in lines if line.counts], 100, BAND))
    errors.set_xlabel("measured [s]")
    errors.set_ylabel("error [%]")


def _draw_runtimes(axes: Axes, errors: Axes, lines: Sequence[Line], styles: dict[str, Style]) -> None:
    span = np.array([0.0, 1.03])
    axes.fill_between(span, span - RUNTIME_BAND, span + RUNTIME_BAND, color="#DDDDDD", linewidth=0)
    axes.plot(span, span, color="#888888", linewidth=1)
    for line in lines:
        _point(axes, line.measured, line.model, line, styles[line.throttle])
        _point(errors, line.measured, 100 * (line.model - line.measured), line, styles[line.throttle])
    axes.set_xlim(*span)
    axes.set_ylim(*span)
    axes.set_title("Guest runtime: Table B and recorded QEMU runs", loc="left")
    axes.set_ylabel("model, share of time")
    errors.axhspan(-100 * RUNTIME_BAND, 100 * RUNTIME_BAND, color="#DDDDDD", linewidth=0)
    errors.axhline(0, color="#888888", linewidth=1)
    errors.set_xlim(*span)
    errors.set_ylim(*_limits([line.model - line.measured for line in lines], 100, RUNTIME_BAND))
    errors.set_xlabel("measured, share of time")
    errors.set_ylabel("error [points]")


def _point(axes: Axes, x: float, y: float, line: Line, style: Style) -> None:
    """Filled where it counts, hollow otherwise; beyond the panel it is left out."""
    axes.plot(
        x, y, marker=style.marker, markersize=9 if style.marker == "*" else 8, linestyle="none",
        markerfacecolor=style.colour if line.counts else "white", markeredgecolor=style.colour,
        markeredgewidth=1.3, alpha=0.85 if line.counts else 0.7, clip_on=True, zorder=3,
    )  # fmt: skip


def _limits(errors: Sequence[float], scale: float, band: float) -> tuple[float, float]:
    """Symmetric, with room for the band and for every finite error."""
    largest = max([abs(error) for error in errors if math.isfinite(error)] + [1.2 * band])
    return -1.15 * scale * largest, 1.15 * scale * largest


def _mark_never(axes: Axes, never: float, name: str) -> None:
    """A dotted line where unconverged migrations lie, and its label."""
    line, at = (axes.axvline, (never, 0.02)) if name == "x" else (axes.axhline, (0.02, never))
    line(never, color="#AAAAAA", linewidth=1, linestyle=":")
    axes.annotate(
        "never", at, xycoords=("data", "axes fraction") if name == "x" else ("axes fraction", "data"),
        color="#777777", fontsize=10, ha="center" if name == "x" else "left", va="bottom", backgroundcolor="white",
    )  # fmt: skip


def _legend(figure: Figure, lines: Sequence[Line], styles: dict[str, Style]) -> None:
    from matplotlib.lines import Line2D

    sources = {line.throttle: line.source for line in lines}
    where = {"qemu": "QEMU", "table-a": "letter", "table-b": "letter"}
    handles = [
        Line2D([], [], color=style.colour, marker=style.marker, markersize=8, linestyle="none",
               label=f"{name} ({where[sources[name]]})")
        for name, style in styles.items()
    ]  # fmt: skip
    handles.append(
        Line2D([], [], color="#555555", marker="o", markersize=8, markerfacecolor="white", linestyle="none",
               label="hollow: does not count")
    )  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", frameon=False, ncols=len(handles))
