"""The schedules of vCPUs whose rates no formula of ``writes`` knows: periods of random length, and recorded rates.

A random period begins where the last one ended. Of a recorded schedule a table in the pool holds times and the integral
of the rate factor up to each of them. Its last entry ends the table: the integral goes on at the last slope, or, with a
period, begins again.
"""

from __future__ import annotations

import numpy as np

from dqgym.jit.compile import part, routine
from dqgym.jit.random import exponential, uniform
from dqgym.model.layout import IN_STEP, Vcpu

_f = np.float32
_STEADY_S = _f(1e20)
"""A period beyond this is none at all."""


@part
def begin_period(tile, i, length_s):  # type: ignore[no-untyped-def]
    """Let the period that runs on slot ``i`` have this length."""
    tile[Vcpu.CURRENT_PERIOD, i] = length_s
    tile[Vcpu.PER_PERIOD, i] = _f(1.0) / length_s if length_s < _STEADY_S else _f(0.0)


@routine
def draw_periods(tile, random_states, n, slots, duration_s):  # type: ignore[no-untyped-def]
    """A random period that ended in the last piece is followed by one of another length."""
    for i in range(len(slots)):
        how = tile[Vcpu.RANDOM_PERIOD, i]
        if how != 0.0 and tile[Vcpu.PHASE, i] < _f(duration_s):  # phases add up in 32 bits, too
            if how == IN_STEP:  # The slot before has the same phase, and its turn was just now.
                begin_period(tile, i, tile[Vcpu.CURRENT_PERIOD, i - 1])
                continue
            mean_s = tile[Vcpu.PERIOD, i]
            if how == 1.0:
                length_s = _f(exponential(random_states, n, mean_s))
            else:
                length_s = mean_s * _f(1.0 + how * (2.0 * uniform(random_states, n) - 1.0))
            begin_period(tile, i, max(length_s, tile[Vcpu.PHASE, i] + _f(1e-3)))


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
