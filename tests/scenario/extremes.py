"""Random scenarios from all that the bounds allow, their ends more often than anything between."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dqgym.scenario import Scenario
from dqgym.scenario.bounds import (
    BANDWIDTH_BYTES_PER_S,
    DEADLINE_PASS_TIMES,
    DURATION_S,
    HOT_FRACTION,
    MEMORY_BYTES,
    MOST_DEADLINE_S,
    PASS_TIME_S,
    WRITE_RATE_BYTES_PER_S,
    ZIPF_SKEW,
    Bounds,
)
from dqgym.scenario.dirty_log import LARGEST_RING_ENTRIES, SMALLEST_RING_ENTRIES
from dqgym.scenario.vm import PAGE_SIZES_BYTES

Rng = np.random.Generator


def extreme_scenario(rng: Rng, most_vcpus: int) -> Scenario:
    """Draws until the bounds that several fields share hold, too."""
    while True:
        try:
            return Scenario.model_validate(_fields(rng, most_vcpus))
        except ValueError:
            continue


def _fields(rng: Rng, most_vcpus: int) -> dict[str, Any]:
    memory = int(_within(rng, MEMORY_BYTES)) // 4096 * 4096
    page = int(rng.choice([size for size in PAGE_SIZES_BYTES if size <= memory]))
    pass_time_s = min(_within(rng, PASS_TIME_S), MOST_DEADLINE_S / 2)
    bandwidth = min(max(memory / pass_time_s, BANDWIDTH_BYTES_PER_S.least), BANDWIDTH_BYTES_PER_S.most)
    longest = max(min(DEADLINE_PASS_TIMES.most, MOST_DEADLINE_S * bandwidth / memory), 1.01)
    parts = int(rng.integers(1, most_vcpus + 1))
    return {
        "name": "extreme",
        "vm": {"memory_bytes": memory, "page_bytes": page, "zero_bytes": int(rng.choice([0, 4096, 2**50]))},
        "workload": [_group(rng, memory // (parts + 1), page, pass_time_s) for _ in range(parts)],
        "link": _link(rng, bandwidth, pass_time_s),
        "device": _device(rng, memory // (parts + 1), page),
        "limits": {
            "downtime_s": _within(rng, DURATION_S),
            "deadline_pass_times": _between(rng, 1.0001, longest),
        },
        "dirty_log": {
            "kind": str(rng.choice(["bitmap", "ring", "software"])),
            "ring_entries": int(rng.choice([SMALLEST_RING_ENTRIES, 4096, LARGEST_RING_ENTRIES])),
        },
    }


def _group(rng: Rng, most_bytes: int, page: int, pass_time_s: float) -> dict[str, Any]:
    pattern = str(rng.choice(["sequential", "uniform", "hot-cold", "idle"], p=[0.35, 0.25, 0.35, 0.05]))
    if pattern == "idle" or most_bytes < page:
        return {"vcpus": 1, "pattern": "read-only"}
    hot: dict[str, float] = {}
    if pattern == "hot-cold":
        fraction = _within(rng, HOT_FRACTION)
        pair = {"hot_fraction": fraction, "hot_share": float(rng.choice([fraction, (1.0 + fraction) / 2.0, 1.0]))}
        hot = {"zipf_skew": _within(rng, ZIPF_SKEW)} if rng.random() < 0.5 else pair
    return {
        "vcpus": 1,
        "pattern": pattern,
        "working_set_bytes": int(_between(rng, page, most_bytes)),
        "write_rate_bytes_per_s": _within(rng, WRITE_RATE_BYTES_PER_S),
        "demand": str(rng.choice(["closed", "open"])),
        "schedule": _schedule(rng, pass_time_s),
        **hot,
    }


def _schedule(rng: Rng, pass_time_s: float) -> dict[str, Any]:
    kind = str(rng.choice(["steady", "phased", "bursty", "recorded"]))
    if kind == "steady":
        return {"kind": kind}
    if kind == "recorded":
        times_s = _times(rng, pass_time_s)
        factors = [float(rng.choice([0.0, 1e-300, 0.5, 1.0])) for _ in times_s]
        return {"kind": kind, "times_s": times_s, "rate_factors": factors, "period_s": _period(rng, times_s)}
    fields = {
        "kind": kind,
        "period_s": _within(rng, DURATION_S),
        "duty": _share(rng, 1e-300),
        "low_rate_fraction": float(rng.choice([0.0, 0.5, 1.0 - 1e-16])),
        "offset": float(rng.choice([0.0, rng.random(), 1.0 - 1e-16])),
    }
    return {**fields, "jitter": float(rng.choice([0.0, 0.5, 1.0 - 1e-16]))} if kind == "phased" else fields


def _link(rng: Rng, bandwidth: float, pass_time_s: float) -> dict[str, Any]:
    kind = str(rng.choice(["constant", "steps", "trace", "markov", "ornstein-uhlenbeck"]))
    line = {"line_speed_bytes_per_s": BANDWIDTH_BYTES_PER_S.most} if rng.random() < 0.3 else {}
    if kind == "constant":
        return {"kind": kind, "bandwidth_bytes_per_s": bandwidth, **line}
    if kind == "ornstein-uhlenbeck":
        return {
            "kind": kind, "mean_bandwidth_bytes_per_s": bandwidth, "relative_sd": _share(rng, 1e-300),
            "correlation_time_s": _pace(rng, pass_time_s), **line,
        }  # fmt: skip
    levels = sorted((bandwidth, _within(rng, BANDWIDTH_BYTES_PER_S)))
    if kind == "markov":
        return {
            "kind": kind, "high_bandwidth_bytes_per_s": levels[1], "low_bandwidth_bytes_per_s": levels[0],
            "high_hold_s": _pace(rng, pass_time_s), "low_hold_s": _pace(rng, pass_time_s), **line,
        }  # fmt: skip
    times_s = _times(rng, pass_time_s)
    bandwidths = [bandwidth, *(float(rng.choice(levels)) for _ in times_s[1:])]
    return {
        "kind": kind, "times_s": times_s, "bandwidths_bytes_per_s": bandwidths,
        "period_s": _period(rng, times_s), **line,
    }  # fmt: skip


def _device(rng: Rng, most_bytes: int, page: int) -> dict[str, Any]:
    if most_bytes < page or rng.random() < 0.5:
        return {}
    rate = _within(rng, WRITE_RATE_BYTES_PER_S)
    return {"rate_bytes_per_s": rate, "working_set_bytes": int(_between(rng, page, most_bytes))}


def _times(rng: Rng, pass_time_s: float) -> list[float]:
    gaps = [_pace(rng, pass_time_s) for _ in range(int(rng.integers(0, 5)))]
    return [0.0, *np.minimum(np.cumsum(gaps), DURATION_S.most / 2).tolist()] if gaps else [0.0]


def _period(rng: Rng, times_s: list[float]) -> float | None:
    return None if rng.random() < 0.5 else times_s[-1] + _within(rng, DURATION_S)


def _pace(rng: Rng, pass_time_s: float) -> float:
    """A time between changes: anything, or one of the order of a pass."""
    return _within(rng, DURATION_S) if rng.random() < 0.5 else max(pass_time_s * _between(rng, 1e-6, 10.0), 1e-9)


def _share(rng: Rng, least: float) -> float:
    return float(rng.choice([least, 1e-9, 0.01, rng.random(), 1.0 - 1e-16]))


def _within(rng: Rng, bounds: Bounds) -> float:
    return _between(rng, bounds.least, bounds.most)


def _between(rng: Rng, least: float, most: float) -> float:
    """One end, the other end, or log-uniform between them."""
    between = math.exp(rng.uniform(math.log(least), math.log(max(most, least))))
    return float([least, most, between, between][rng.integers(4)])
