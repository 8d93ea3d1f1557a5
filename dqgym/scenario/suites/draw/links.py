"""Links that samplers draw. Times are in units of ``scale_s``, about one pass time."""

from __future__ import annotations

import math

import numpy as np

from dqgym.scenario.link import ConstantLink, Link, MarkovLink, OrnsteinUhlenbeckLink, StepsLink, TraceLink
from dqgym.scenario.suites.draw.distributions import chance, log_uniform, split_time, uniform, whole_number

LOW_LEVEL = 1 / 3
"""The low level of a link with two levels, relative to the high one."""
HOLD_PASS_TIMES = (0.1, 2.0)
"""Time for which a level holds (log-uniform; the mean of it for a Markov link)."""
RELATIVE_SD = (0.1, 0.5)
CORRELATION_PASS_TIMES = (0.03, 1.0)
"""Spread and memory of an Ornstein-Uhlenbeck link (uniform; log-uniform)."""
LINE_SPEED_FACTORS = (1.0, 4.0)
"""A line that is faster than the cap on the migration, relative to it (log-uniform)."""
STAIRS = (3, 6)
STAIR_LEVEL = (0.1, 1.0)
"""A link of several levels: how many, and each relative to the bandwidth asked for (uniform)."""
OUTAGE_LEVEL = (0.02, 0.15)
OUTAGE_PASS_TIMES = (0.01, 0.2)
"""Share of the bandwidth that is left in an outage, and its mean length (log-uniform)."""
TRACE_PASS_TIMES = (2.0, 8.0)
TRACE_SAMPLES = 120
TRACE_LOG_SD = (0.2, 0.7)
TRACE_KEPT = (0.5, 0.95)
"""A recording: its length (log-uniform), after which it repeats; how many samples it has; the spread of their
logarithm, and how much of a deviation the next sample keeps (uniform)."""


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


def stairs_link(rng: np.random.Generator, bandwidth_bytes_per_s: float, scale_s: float) -> Link:
    """Several levels in a fixed order."""
    count = whole_number(rng, *STAIRS)
    period_s = scale_s * sum(log_uniform(rng, HOLD_PASS_TIMES) for _ in range(count))
    return StepsLink(
        times_s=split_time(rng, period_s, count),
        bandwidths_bytes_per_s=tuple(bandwidth_bytes_per_s * uniform(rng, STAIR_LEVEL) for _ in range(count)),
        period_s=period_s,
    )


def outage_link(rng: np.random.Generator, bandwidth_bytes_per_s: float, scale_s: float) -> Link:
    """One bandwidth, of which now and then next to nothing is left for a moment."""
    return MarkovLink(
        high_bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        low_bandwidth_bytes_per_s=bandwidth_bytes_per_s * log_uniform(rng, OUTAGE_LEVEL),
        high_hold_s=scale_s * log_uniform(rng, HOLD_PASS_TIMES),
        low_hold_s=scale_s * log_uniform(rng, OUTAGE_PASS_TIMES),
    )


def trace_link(rng: np.random.Generator, bandwidth_bytes_per_s: float, scale_s: float) -> Link:
    """A likely recording of a shared line: its logarithm wanders; the mean is the bandwidth asked for."""
    period_s = scale_s * log_uniform(rng, TRACE_PASS_TIMES)
    sd, kept = uniform(rng, TRACE_LOG_SD), uniform(rng, TRACE_KEPT)
    level, levels = rng.normal(), []
    for news in rng.normal(size=TRACE_SAMPLES):
        level = kept * level + math.sqrt(1.0 - kept**2) * news
        levels.append(math.exp(sd * level))
    mean = sum(levels) / TRACE_SAMPLES
    return TraceLink(
        times_s=tuple(period_s * sample / TRACE_SAMPLES for sample in range(TRACE_SAMPLES)),
        bandwidths_bytes_per_s=tuple(bandwidth_bytes_per_s * level / mean for level in levels),
        period_s=period_s,
    )
