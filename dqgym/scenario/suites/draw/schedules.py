"""Schedules that samplers draw, with periods in units of the pass time."""

from __future__ import annotations

import numpy as np

from dqgym.scenario.suites.draw.distributions import Range, log_uniform, pick, split_time, uniform
from dqgym.scenario.workload import Bursty, Phased, Recorded, Schedule, Steady

PERIOD_PASS_TIMES = (0.4, 4.0)
"""Length of a period, or its mean (log-uniform)."""
DUTY = (0.2, 0.8)
"""Busy share of a period (uniform)."""
LOW_RATE_FRACTION = (0.0, 0.2)
"""Rate in the quiet part (uniform)."""
JITTER = (0.0, 0.5)
"""Of a period (uniform)."""
OTHER_PERIOD_PASS_TIMES: tuple[Range, Range] = ((0.1, 0.4), (4.0, 12.0))
OTHER_DUTY = (0.05, 0.2)
OTHER_LOW_RATE_FRACTION = (0.2, 0.6)
"""The same where a schedule shall be unlike those above: shorter or longer periods, peaks on a base that counts."""
RECORDED_PASS_TIMES = (1.0, 6.0)
RECORDED_PARTS = 12
"""Length of a recording (log-uniform), which then repeats, and how many rates it has."""


def steady(rng: np.random.Generator, pass_time_s: float) -> Schedule:
    """The same rate throughout."""
    return Steady()


def phased(rng: np.random.Generator, pass_time_s: float) -> Schedule:
    """Busy and quiet phases, begun anywhere in a period."""
    return Phased(**_phases(rng, pass_time_s))


def bursty(rng: np.random.Generator, pass_time_s: float) -> Schedule:
    """Busy and quiet phases of random length."""
    return Bursty(**_phases(rng, pass_time_s))


def jittered(rng: np.random.Generator, pass_time_s: float) -> Schedule:
    """Busy and quiet phases in periods that are not exactly alike."""
    return Phased(**_phases(rng, pass_time_s), jitter=uniform(rng, JITTER))


def other_phased(rng: np.random.Generator, pass_time_s: float) -> Schedule:
    """Peaks in periods as no other sampler has them, exactly alike or not."""
    return Phased(**_other_peaks(rng, pass_time_s), jitter=uniform(rng, JITTER))


def other_bursty(rng: np.random.Generator, pass_time_s: float) -> Schedule:
    """Peaks in periods of random length, as no other sampler has them."""
    return Bursty(**_other_peaks(rng, pass_time_s))


def _phases(rng: np.random.Generator, pass_time_s: float) -> dict[str, float]:
    return _alternating(rng, pass_time_s, PERIOD_PASS_TIMES, DUTY, LOW_RATE_FRACTION)


def _other_peaks(rng: np.random.Generator, pass_time_s: float) -> dict[str, float]:
    period_pass_times = pick(rng, OTHER_PERIOD_PASS_TIMES)
    return _alternating(rng, pass_time_s, period_pass_times, OTHER_DUTY, OTHER_LOW_RATE_FRACTION)


def _alternating(
    rng: np.random.Generator, pass_time_s: float, period_pass_times: Range, duty: Range, low_rate_fraction: Range
) -> dict[str, float]:
    """The fields that schedules with a busy and a quiet part have in common."""
    return {
        "period_s": pass_time_s * log_uniform(rng, period_pass_times),
        "duty": uniform(rng, duty),
        "low_rate_fraction": uniform(rng, low_rate_fraction),
        "offset": rng.random(),
    }


def recorded(rng: np.random.Generator, pass_time_s: float) -> Schedule:
    """A rate that takes any level from nothing to full, for times of any length; then all repeats."""
    period_s = pass_time_s * log_uniform(rng, RECORDED_PASS_TIMES)
    return Recorded(
        times_s=split_time(rng, period_s, RECORDED_PARTS),
        rate_factors=tuple(float(factor) for factor in rng.random(RECORDED_PARTS)),
        period_s=period_s,
    )
