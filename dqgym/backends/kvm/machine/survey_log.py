"""The survey of a real guest: before its migration begins it runs free under dirty logging, and nothing is sent."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dqgym.backends.kvm.machine.machine import Machine
from dqgym.backends.kvm.machine.vcpu_clocks import TICK_S
from dqgym.telemetry.survey import MARKS

TICKS_TO_FIRST_MARK = 50
"""A guest gets its accesses in batches: so many, if the host can, should come before anyone looks."""
LEAST_TICK_S = 0.25e-3
"""For each vCPU: a batch keeps a processor busy for half as long."""
LONGEST_S = 60.0
"""The destination has accepted by then, and waits no longer than twice this for pages."""


@dataclass(frozen=True)
class Surveyed:
    """The findings of a survey.

    Attributes:
        length_s: from its beginning to the beginning of the migration proper.
        dirtied_pages: by mark and then by vCPU, distinct pages dirtied up to then.
        run_s: by vCPU, for how long of it it could run; while its ring was emptied it could not.
    """

    length_s: float
    dirtied_pages: tuple[tuple[float, ...], ...]
    run_s: tuple[float, ...]


def begin_survey(machine: Machine, length_s: float) -> None:
    """Start to log the stores of a guest that is paused; ``survey`` has to follow.

    It gets its accesses in smaller batches than usual: every 10 ms they would decide what a short survey finds.
    """
    machine.log.begin_survey()
    machine.tick_every(_tick_s(length_s, len(machine.vcpus)))


def _tick_s(length_s: float, vcpus: int) -> float:
    return min(max(MARKS[0] * length_s / TICKS_TO_FIRST_MARK, LEAST_TICK_S * vcpus), TICK_S)


def survey(machine: Machine, length_s: float, began_s: float) -> Surveyed:
    """Survey a guest that runs again since ``began_s`` of the monotonic clock, after ``begin_survey``.

    Ends with ``PageLog.begin``: every page is to send.

    Raises:
        MachineFailedError: a vCPU failed.
        LostPagesError: KVM did not protect again what was harvested.
    """
    log, vcpus = machine.log, len(machine.vcpus)
    first_writes, halted_s = np.array(log.first_writes), _halted_s(machine)
    times_s, pages = np.zeros((1 + len(MARKS), vcpus)), np.zeros((1 + len(MARKS), vcpus))
    for k, mark in enumerate(MARKS, start=1):
        time.sleep(max(began_s + mark * length_s - time.monotonic(), 0.0))
        machine.require_sound()
        for vcpu in range(vcpus):
            times_s[k, vcpu] = time.monotonic() - began_s
            log.flush(vcpu)
            pages[k, vcpu] = log.first_writes[vcpu] - first_writes[vcpu]
    log.begin()
    took_s = time.monotonic() - began_s
    machine.tick_every()
    run_s = np.clip(took_s - (_halted_s(machine) - halted_s), 0.0, took_s)
    return Surveyed(took_s, _at_marks(times_s, pages, took_s), tuple(run_s.tolist()))


def _at_marks(times_s: NDArray[np.float64], pages: NDArray[np.float64], took_s: float) -> tuple[tuple[float, ...], ...]:
    """Counts taken at times [K, V] as they were at the marks: a busy host takes them late."""
    marks_s = np.array(MARKS) * took_s
    counts = [np.interp(marks_s, *series) for series in zip(times_s.T, pages.T, strict=True)]
    return tuple(map(tuple, np.array(counts).T.tolist()))


def _halted_s(machine: Machine) -> NDArray[np.float64]:
    return np.array([each.halted_s for each in machine.counts()])
