"""Schedules that samplers draw, with periods in units of the pass time."""

from __future__ import annotations

import numpy as np

from dqgym.scenario.suites.draws import log_uniform, uniform
from dqgym.scenario.workload import Bursty, Phased, Schedule, Steady

PERIOD_PASS_TIMES = (0.4, 4.0)
"""Length of a period, or its mean (log-uniform)."""
DUTY = (0.2, 0.8)
"""Busy share of a period (uniform)."""
LOW_RATE_FRACTION = (0.0, 0.2)
"""Rate in the quiet part (uniform)."""


def steady(rng: np.random.Generator, pass_time_s: float) -> Schedule:
    """The same rate throughout."""
    return Steady()


def phased(rng: np.random.Generator, pass_time_s: float) -> Schedule:
    """Busy and quiet phases, begun anywhere in a period."""
    return Phased(
        period_s=pass_time_s * log_uniform(rng, PERIOD_PASS_TIMES),
        duty=uniform(rng, DUTY),
        low_rate_fraction=uniform(rng, LOW_RATE_FRACTION),
        offset=rng.random(),
    )


def bursty(rng: np.random.Generator, pass_time_s: float) -> Schedule:
    """Busy and quiet phases of random length."""
    return Bursty(
        period_s=pass_time_s * log_uniform(rng, PERIOD_PASS_TIMES),
        duty=uniform(rng, DUTY),
        low_rate_fraction=uniform(rng, LOW_RATE_FRACTION),
        offset=rng.random(),
    )
