"""Recorded schedules: write rates from tables, as ``numba`` code.

A table in the pool holds times and the integral of the rate factor up to each of them. Its last entry ends the table:
the integral goes on at the last slope, or, with a period, begins again.
"""

from __future__ import annotations

import numpy as np

from dqgym.jit.compile import routine
from dqgym.model.layout import Vcpu


@routine
def _integral(time_s, first, entries, period_s, times, integrals):  # type: ignore[no-untyped-def]
    """Integral of the rate factor from 0 to ``time_s``, s."""
    whole = 0.0
    if period_s > 0.0:
        periods = np.floor(time_s / period_s)
        whole = periods * integrals[first + entries - 1]
        time_s -= periods * period_s
    low, high = first, first + entries - 1
    while high - low > 1:
        middle = (low + high) // 2
        if times[middle] <= time_s:
            low = middle
        else:
            high = middle
    slope = (integrals[high] - integrals[low]) / (times[high] - times[low])
    return whole + integrals[low] + (time_s - times[low]) * slope


@routine
def replay_rates(tile, slots, time_s, duration_s, times, integrals):  # type: ignore[no-untyped-def]
    """Set the rate factor of the recorded vCPUs to its mean over the next ``duration_s``.

    It goes into LOW: a recorded schedule has no high part.
    """
    for i in range(len(slots)):
        entries = int(tile[Vcpu.TABLE_ENTRIES, i])
        if entries > 0:
            first, period_s = int(tile[Vcpu.TABLE_FIRST, i]), tile[Vcpu.TABLE_PERIOD, i]
            before = _integral(time_s, first, entries, period_s, times, integrals)
            after = _integral(time_s + duration_s, first, entries, period_s, times, integrals)
            tile[Vcpu.LOW, i] = max(after - before, 0.0) / duration_s  # rounding may take the second below the first
