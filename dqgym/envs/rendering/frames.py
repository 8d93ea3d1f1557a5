"""One migration as a picture: what is left to send, dirtying against bandwidth, and what each vCPU was allowed and got.

``draw_migration`` makes the frames of the environment's render mode ``rgb_array``; ``MigrationFigure`` is the same
drawing as a matplotlib figure, for reports. The figure is made once and only its data change from frame to frame.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.gridspec import SubplotSpec
    from matplotlib.image import AxesImage

    from dqgym.arrays import FloatArray
    from dqgym.controller.timeline import Timeline

GB = 1e9
MB = 1e6
COLUMNS = 400
"""Time columns of a heat map: finer ones could not be told apart."""
LIMIT_RANGE = (1e-3, 1.0)
"""Colours of the dirty limits span this range, in units of the configured bandwidth, on a logarithmic scale."""
FREE = 1.01 * LIMIT_RANGE[1]
"""Stands for all limits above the range and for none: a heat map cannot show infinity."""
DIRTY_COLOUR = "#D55E00"
BANDWIDTH_COLOUR = "#0072B2"
REMAINING_COLOUR = "#444444"


def draw_migration(timeline: Timeline, size: tuple[int, int] = (800, 600)) -> NDArray[np.uint8]:
    """A frame uint8 [height, width, 3] that shows the migration so far; ``size`` is (width, height) in pixels."""
    figure = _cached_figure(size)
    figure.update(timeline)
    return figure.image()


class MigrationFigure:
    """Four panels over a common time axis: remaining bytes, rates, per-vCPU dirty limits, per-vCPU run shares."""

    def __init__(self, size: tuple[int, int] = (800, 600)) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        dpi = 100
        self.figure = Figure(figsize=(size[0] / dpi, size[1] / dpi), dpi=dpi)
        self._canvas = FigureCanvasAgg(self.figure)
        grid = self.figure.add_gridspec(
            4, 2, width_ratios=(1, 0.02), left=0.115, right=0.9, top=0.94, bottom=0.085, hspace=0.32, wspace=0.03
        )
        self._remaining = self.figure.add_subplot(grid[0, 0])
        self._rates = self.figure.add_subplot(grid[1, 0], sharex=self._remaining)
        self._limits = self.figure.add_subplot(grid[2, 0], sharex=self._remaining)
        self._shares = self.figure.add_subplot(grid[3, 0], sharex=self._remaining)
        self._draw_line_panels()
        self._draw_heat_maps(grid[2, 1], grid[3, 1])

    def update(self, timeline: Timeline, title: str = "") -> None:
        """Show this timeline instead of the last one; ``title`` stands before the figures of the current state."""
        present = timeline.facts.present[0]
        bandwidth = float(timeline.facts.bandwidth_bytes_per_s[0])
        self.figure.suptitle(_headline(timeline, title), fontsize=11, y=0.985)
        end_s = float(timeline.time_s[-1]) if len(timeline.time_s) else float(timeline.facts.pass_time_s[0])
        self._remaining.set_xlim(0, end_s)

        memory_bytes = float(timeline.facts.memory_bytes[0])
        time_s = _from_start(timeline.time_s, 0.0)
        self._remaining_line.set_data(time_s, _from_start(timeline.remaining_bytes, memory_bytes) / GB)
        self._remaining.set_ylim(0, memory_bytes / GB * 1.05)
        self._pause_line.set_xdata([_pause_began_s(timeline)] * 2)

        floor = bandwidth / 100  # on a logarithmic axis nothing is drawn at zero
        dirty_rate = np.maximum(timeline.dirty_rate_bytes_per_s, floor)
        measured = np.maximum(timeline.bandwidth_bytes_per_s, floor)
        for line, rate in ((self._dirty_line, dirty_rate), (self._bandwidth_line, measured)):
            line.set_data(time_s, _from_start(rate, rate[0] if len(rate) else np.nan) / MB)
        highest = max(
            2 * bandwidth, 1.5 * float(np.max(dirty_rate, initial=0)), 1.5 * float(np.max(measured, initial=0))
        )
        self._rates.set_ylim(floor / MB, highest / MB)

        limits = np.minimum(timeline.dirty_limit_bytes_per_s[:, present] / bandwidth, FREE)
        _show(self._limits_image, time_columns(limits, timeline.time_s, COLUMNS), end_s)
        _show(self._shares_image, time_columns(timeline.run_share[:, present], timeline.time_s, COLUMNS), end_s)

    def image(self) -> NDArray[np.uint8]:
        """The picture as uint8 [height, width, 3]."""
        self._canvas.draw()  # type: ignore[no-untyped-call]
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]

    def _draw_line_panels(self) -> None:
        from matplotlib.ticker import LogLocator

        (self._remaining_line,) = self._remaining.plot([], [], color=REMAINING_COLOUR, linewidth=1.4)
        self._pause_line = self._remaining.axvline(np.nan, color=DIRTY_COLOUR, linewidth=1.2, linestyle="--")
        self._remaining.set_ylabel("remaining\n[GB]")
        # A rate is the mean of the interval that ends at its time.
        (self._dirty_line,) = self._rates.plot(
            [], [], drawstyle="steps-pre", color=DIRTY_COLOUR, linewidth=1.3, label="dirtied", zorder=3
        )
        (self._bandwidth_line,) = self._rates.plot(
            [], [], drawstyle="steps-pre", color=BANDWIDTH_COLOUR, linewidth=1.8, label="bandwidth"
        )
        self._rates.set_yscale("log")
        self._rates.yaxis.set_major_locator(LogLocator(numticks=6))
        self._rates.set_ylabel("rate\n[MB/s]")
        # Beside the panel, where the heat maps have their colour bars: it can hide no data there.
        self._rates.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False, handlelength=1.0)
        for axes in (self._remaining, self._rates):
            axes.grid(alpha=0.3)
        for axes in (self._remaining, self._rates, self._limits):
            axes.tick_params(labelbottom=False)

    def _draw_heat_maps(self, limits_bar: SubplotSpec, shares_bar: SubplotSpec) -> None:
        from matplotlib import colormaps
        from matplotlib.colors import LogNorm, Normalize

        limits_colours = colormaps["viridis"].with_extremes(over="#f2f2f2")
        self._limits_image = _heat_map(self._limits, limits_colours, LogNorm(*LIMIT_RANGE))
        self._shares_image = _heat_map(self._shares, colormaps["cividis"], Normalize(0, 1))
        self._limits.set_ylabel("dirty limit\nvCPU")
        self._shares.set_ylabel("run share\nvCPU")
        self._shares.set_xlabel("time since the start of the migration [s]")
        bars = (
            (limits_bar, self._limits_image, "x bandwidth\n(white: more, or none)", "max"),
            (shares_bar, self._shares_image, "share of time", "neither"),
        )
        for place, image, label, extend in bars:
            axes = self.figure.add_subplot(place)
            bar = self.figure.colorbar(image, cax=axes, extend=extend)
            bar.set_label(label, fontsize=8)
            bar.ax.tick_params(labelsize=8)


@lru_cache(maxsize=2)
def _cached_figure(size: tuple[int, int]) -> MigrationFigure:
    return MigrationFigure(size)


def _headline(timeline: Timeline, title: str) -> str:
    if not len(timeline.time_s):
        return title or "before the start"
    state = (
        f"{timeline.time_s[-1]:,.1f} s = {timeline.time_s[-1] / timeline.facts.pass_time_s[0]:.2f} T0,"
        f" round {int(timeline.round[-1])}, {timeline.remaining_bytes[-1] / GB:,.2f} GB remaining"
    )
    if timeline.paused[-1]:
        state += f", paused since {_pause_began_s(timeline):,.1f} s"
    return f"{title}: {state}" if title else state


def _pause_began_s(timeline: Timeline) -> float:
    """When the guest was paused; NaN where it was not. An interval ends where that happens."""
    paused = np.flatnonzero(timeline.paused)
    return float(timeline.time_s[paused[0]]) if len(paused) else np.nan


def _heat_map(axes: Axes, colours: Colormap, norm: Normalize) -> AxesImage:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, min_n_ticks=1))
    return axes.imshow(
        np.zeros((1, 1)),
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        cmap=colours,
        norm=norm,
    )


def _show(image: AxesImage, columns: FloatArray, end_s: float) -> None:
    """Put ``columns`` [columns, V] on a heat map of V rows that ends at ``end_s``; vCPUs count from 0."""
    vcpus = columns.shape[1]
    image.set_data(columns.T)
    image.set_extent((0.0, end_s, -0.5, vcpus - 0.5))
    image.axes.set_ylim(-0.5, vcpus - 0.5)


def _from_start(values: FloatArray, first: float) -> FloatArray:
    """[T + 1] ``values`` [T], preceded by the value at the start of the migration."""
    return np.concatenate([[first], values])


def time_columns(values: FloatArray, time_s: FloatArray, columns: int) -> FloatArray:
    """Means of ``values`` [T, V] over equal parts of the time, [columns, V]; NaN where T is 0.

    ``values[k]`` holds from ``time_s[k - 1]`` (0 for the first) to ``time_s[k]``; intervals may differ in length.
    """
    if not len(time_s):
        return np.full((columns, values.shape[1]), np.nan)
    borders_s = np.linspace(0.0, time_s[-1], columns + 1)
    times_s = _from_start(time_s, 0.0)
    integrals = np.vstack([np.zeros(values.shape[1]), np.cumsum(values * np.diff(times_s)[:, None], axis=0)])
    at_borders = np.stack([np.interp(borders_s, times_s, integral) for integral in integrals.T], axis=1)
    means: FloatArray = np.diff(at_borders, axis=0) / np.diff(borders_s)[:, None]
    return means
