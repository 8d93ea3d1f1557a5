"""Links that samplers draw. Times are in units of ``scale_s``, about one pass time."""

from __future__ import annotations

import numpy as np

from dqgym.scenario.link import ConstantLink, Link, MarkovLink, OrnsteinUhlenbeckLink, StepsLink
from dqgym.scenario.suites.draws import chance, log_uniform, uniform

LOW_LEVEL = 1 / 3
"""The low level of a link with two levels, relative to the high one."""
HOLD_PASS_TIMES = (0.1, 2.0)
"""How long a level holds (log-uniform; the mean of it for a Markov link)."""
RELATIVE_SD = (0.1, 0.5)
CORRELATION_PASS_TIMES = (0.03, 1.0)
"""Spread and memory of an Ornstein-Uhlenbeck link (uniform; log-uniform)."""
LINE_SPEED_FACTORS = (1.0, 4.0)
"""A line that is faster than the cap on the migration, relative to it (log-uniform)."""


def constant_link(rng: np.random.Generator, bandwidth_bytes_per_s: float, scale_s: float) -> Link:
    """One bandwidth."""
    return ConstantLink(bandwidth_bytes_per_s=bandwidth_bytes_per_s)


def capped_link(rng: np.random.Generator, bandwidth_bytes_per_s: float, scale_s: float) -> Link:
    """One bandwidth, below the speed of the line."""
    line_speed = bandwidth_bytes_per_s * log_uniform(rng, LINE_SPEED_FACTORS)
    return ConstantLink(bandwidth_bytes_per_s=bandwidth_bytes_per_s, line_speed_bytes_per_s=line_speed)


def steps_link(rng: np.random.Generator, bandwidth_bytes_per_s: float, scale_s: float) -> Link:
    """Two levels, 1 and 1/3, in strict alternation; either may come first."""
    levels = (bandwidth_bytes_per_s, LOW_LEVEL * bandwidth_bytes_per_s)
    first_s = scale_s * log_uniform(rng, HOLD_PASS_TIMES)
    second_s = scale_s * log_uniform(rng, HOLD_PASS_TIMES)
    return StepsLink(
        times_s=(0.0, first_s),
        bandwidths_bytes_per_s=levels if chance(rng, 0.5) else levels[::-1],
        period_s=first_s + second_s,
    )


def markov_link(rng: np.random.Generator, bandwidth_bytes_per_s: float, scale_s: float) -> Link:
    """Two levels, 1 and 1/3, that hold for random times."""
    return MarkovLink(
        high_bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        low_bandwidth_bytes_per_s=LOW_LEVEL * bandwidth_bytes_per_s,
        high_hold_s=scale_s * log_uniform(rng, HOLD_PASS_TIMES),
        low_hold_s=scale_s * log_uniform(rng, HOLD_PASS_TIMES),
    )


def ornstein_uhlenbeck_link(rng: np.random.Generator, bandwidth_bytes_per_s: float, scale_s: float) -> Link:
    """A bandwidth that wanders."""
    return OrnsteinUhlenbeckLink(
        mean_bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        relative_sd=uniform(rng, RELATIVE_SD),
        correlation_time_s=scale_s * log_uniform(rng, CORRELATION_PASS_TIMES),
    )
