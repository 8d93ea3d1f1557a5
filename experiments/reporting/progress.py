"""Signs that a command is at work: on standard error, where somebody watches; nothing else is written there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dqgym.arrays import FloatArray
    from dqgym.controller.loop import Observer, OnProgress
    from dqgym.scenario import Scenario
    from dqgym.telemetry.command import Command
    from dqgym.telemetry.telemetry import Telemetry


@contextmanager
def showing_progress(runs: int, show: bool = True) -> Iterator[Callable[[str, str], OnProgress]]:
    """A progress bar; yields what is called before each of the runs, with its suite and throttle."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from experiments.reporting.tables import terminal

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("migrations"),
        TimeElapsedColumn(),
    )  # fmt: skip
    console = terminal(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not (show and console.is_terminal)) as progress:
        bar = progress.add_task("")
        started = 0

        def on_run(suite: str, throttle: str) -> OnProgress:
            nonlocal started
            started += 1
            progress.reset(bar, description=f"{started}/{runs} {suite}: {throttle}")
            return lambda done, total: progress.update(bar, completed=done, total=total)

        yield on_run


@contextmanager
def showing_migration(scenario: Scenario, throttle: str, show: bool = True) -> Iterator[Observer]:
    """A line about one migration: its clock, its round, what is left to send; yields the observer that updates it."""
    from dqgym.telemetry.telemetry import VmField
    from experiments.reporting.tables import terminal

    console = terminal(stderr=True)
    if not (show and console.is_terminal):
        yield lambda interval_s, command, telemetry: None
        return
    title = f"{scenario.name} under {throttle}"
    with console.status(title) as status:

        def update(interval_s: FloatArray, command: Command, telemetry: Telemetry) -> None:
            vm = telemetry.vm[0]
            status.update(
                f"{title}: {vm[VmField.TIME_S]:,.1f} s of at most {scenario.latest_end_s:,.0f} s, round"
                f" {vm[VmField.ROUND]:.0f}, {vm[VmField.REMAINING_BYTES] / 1e9:,.2f} GB to send"
                f"{', the guest is paused' if vm[VmField.PAUSED] > 0 else ''}"
            )

        yield update


@contextmanager
def showing_steps(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar with the time that is left; yields what is called with the number of steps that are done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from experiments.reporting.tables import terminal

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = terminal(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=total)
        yield lambda done: progress.update(bar, completed=done)


@contextmanager
def showing_status(title: str) -> Iterator[Callable[[str], None]]:
    """A line that says what is being done; yields what is called with its text."""
    from experiments.reporting.tables import terminal

    console = terminal(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status(title) as status:
        yield status.update
