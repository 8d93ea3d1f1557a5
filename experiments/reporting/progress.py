"""Signs that a command is at work, on standard error: a bar where somebody watches, else a plain line a minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from experiments.reporting.progress_lines import ProgressLines

if TYPE_CHECKING:
    from dqgym.controller.loop import Observer, OnProgress
    from dqgym.scenario import Scenario
    from dqgym.telemetry.telemetry import Telemetry


@contextmanager
def showing_progress(runs: int, show: bool = True) -> Iterator[Callable[[str, str], OnProgress]]:
    """How far the runs are; yields what is called before each of them, with its suite and throttle."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from experiments.reporting.tables import terminal

    console = terminal(stderr=True)
    if show and not console.is_terminal:
        with ProgressLines("migrations", runs, "runs") as lines:
            yield _saying_runs(lines)
        return

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("migrations"),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not show) as progress:
        bar = progress.add_task("")
        started = 0

        def on_run(suite: str, throttle: str) -> OnProgress:
            nonlocal started
            started += 1
            progress.reset(bar, description=f"{started}/{runs} {suite}: {throttle}")
            return lambda done, total: progress.update(bar, completed=done, total=total)

        yield on_run


def _saying_runs(lines: ProgressLines) -> Callable[[str, str], OnProgress]:
    """What is called before each run, for lines that count runs."""
    started = 0

    def on_run(suite: str, throttle: str) -> OnProgress:
        nonlocal started
        before, title = started, f"{suite}: {throttle}"
        started += 1
        return lambda done, total: lines.update(before + done / total, title)

    return on_run


@contextmanager
def showing_migration(scenario: Scenario, throttle: str, show: bool = True) -> Iterator[Observer]:
    """A line about one migration: its clock, its round, what is left to send; yields the observer that updates it."""
    from dqgym.telemetry.telemetry import VmField
    from experiments.reporting.tables import terminal

    console = terminal(stderr=True)
    title = f"{scenario.name} under {throttle}"

    def said(telemetry: Telemetry) -> str:
        vm = telemetry.vm[0]
        return (
            f"{vm[VmField.TIME_S]:,.1f} s of at most {scenario.latest_end_s:,.0f} s, round {vm[VmField.ROUND]:.0f},"
            f" {vm[VmField.REMAINING_BYTES] / 1e9:,.2f} GB to send"
            f"{', the guest is paused' if vm[VmField.PAUSED] > 0 else ''}"
        )

    if not show:
        yield lambda interval_s, command, telemetry: None
    elif console.is_terminal:
        with console.status(title) as status:
            yield lambda interval_s, command, telemetry: status.update(f"{title}: {said(telemetry)}")
    else:
        with ProgressLines(title, begin=False) as lines:
            yield lambda interval_s, command, telemetry: lines.update(0, said(telemetry))


@contextmanager
def showing_steps(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Steps, with the time that is left; yields what is called with the number of those that are done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from experiments.reporting.tables import terminal

    console = terminal(stderr=True)
    if not console.is_terminal:
        with ProgressLines(title, total, "steps") as lines:
            yield lines.update
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(title, total=total)
        yield lambda done: progress.update(bar, completed=done)


@contextmanager
def showing_status(title: str) -> Iterator[Callable[[str], None]]:
    """A line that says what is being done; yields what is called with its text."""
    from experiments.reporting.tables import terminal

    console = terminal(stderr=True)
    if not console.is_terminal:
        with ProgressLines(title) as lines:
            yield lambda text: lines.update(0, text)
        return
    with console.status(title) as status:
        yield status.update


@contextmanager
def saying_frames(total: int, show: bool) -> Iterator[ProgressLines | None]:
    """Lines about a training where there is no terminal for its bar (``agents.algorithms.callbacks``)."""
    from experiments.reporting.tables import terminal

    if not show or terminal(stderr=True).is_terminal:
        yield None
        return
    with ProgressLines("training", total, "frames") as lines:
        yield lines
