"""Periods of the vCPUs' schedules: each begins where the last one ended."""

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
