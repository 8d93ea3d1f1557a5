"""The observation as a table: name, unit, range and origin of every feature.

Everything is dimensionless (rates in units of the bandwidth, times in units of the pass time T0, bytes in units of the
memory), so that one policy serves 1 GB and 1 TB, one vCPU and sixty-four. Quantities that span decades are squashed:
squash(x) = (x + 1e-4) ** 0.25 - 0.1, so that 0 is 0, 0.01 is 0.22, 1 is 0.9 and 100 is 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


@dataclass(frozen=True)
class Feature:
    """One number of an observation.

    Attributes:
        name: as manifests spell it.
        unit: what it is measured in, before squashing.
        low: least value.
        high: largest value; larger ones are clipped.
        source: how it is made from telemetry.
    """

    name: str
    unit: str
    low: float
    high: float
    source: str


class Global(IntEnum):
    """Features of the whole migration, in order; the squashed ones come first (``SQUASHED_GLOBALS``)."""

    TIME = 0
    ROUND_TIME = 1
    INTERVAL = 2
    REMAINING = 3
    DIRTY_RATE = 4
    DEMAND = 5
    ROUND_DIRTY = 6
    SYNC_DIRTY = 7
    ROUND = 8
    BANDWIDTH = 9
    BANDWIDTH_MEAN = 10
    THRESHOLD = 11
    PREFERENCE = 12
    VCPUS = 13
    RUN_SHARE = 14
    DEADLINE = 15
    SURVEY = 16


SQUASHED_GLOBALS = 8


class PerVcpu(IntEnum):
    """Features of each vCPU, in order; all are 0 in absent slots."""

    PRESENT = 0
    DIRTY_RATE = 1
    DEMAND = 2
    PEAK_DEMAND = 3
    MEAN_DEMAND = 4
    ROUND_DIRTY = 5
    LARGEST_ROUND = 6
    RUN_SHARE = 7
    EXITS = 8
    SURVEY_RATE = 9
    SURVEY_LATE_RATE = 10
    SURVEY_SET = 11


REMEMBERED_GLOBALS = (Global.DEMAND, Global.ROUND_DIRTY, Global.SYNC_DIRTY, Global.BANDWIDTH_MEAN)
REMEMBERED_PER_VCPU = (
    PerVcpu.PEAK_DEMAND,
    PerVcpu.MEAN_DEMAND,
    PerVcpu.ROUND_DIRTY,
    PerVcpu.LARGEST_ROUND,
)
"""The history in an observation: what the encoder keeps of intervals before the last one."""

SQUASHED_HIGH = 6.0

GLOBAL_FEATURES: tuple[Feature, ...] = (
    Feature("time", "T0", 0.0, SQUASHED_HIGH, "squash(time since the start / T0)"),
    Feature("round_time", "T0", 0.0, SQUASHED_HIGH, "squash(time since the last dirty-log sync / T0)"),
    Feature("interval", "T0", 0.0, SQUASHED_HIGH, "squash(length of the last interval / T0)"),
    Feature("remaining", "memory", 0.0, SQUASHED_HIGH, "squash(bytes still to send in this round / memory)"),
    Feature("dirty_rate", "bandwidth", 0.0, SQUASHED_HIGH, "squash(bytes dirtied by all vCPUs / interval / bandwidth)"),
    Feature("demand", "bandwidth", 0.0, SQUASHED_HIGH, "squash(sum of the vCPUs' peak demands)"),
    Feature("round_dirty", "memory", 0.0, SQUASHED_HIGH, "squash(bytes dirtied since the last sync / memory)"),
    Feature("sync_dirty", "memory", 0.0, SQUASHED_HIGH, "squash(bytes that the last sync found dirty / memory)"),
    Feature("round", "1/20", 0.0, 1.0, "round number / 20"),
    Feature("bandwidth", "nominal bandwidth", 0.0, 4.0, "measured bandwidth / nominal bandwidth"),
    Feature("bandwidth_mean", "nominal bandwidth", 0.0, 4.0, "running mean of bandwidth, time constant T0 / 4"),
    Feature("threshold", "memory", 0.0, 1.5, "-log10(bandwidth * downtime limit / memory) / 5"),
    Feature("preference", "1", -1.0, 1.5, "log10(preference / 0.2)"),
    Feature("vcpus", "1", 0.0, 1.0, "ln(number of vCPUs) / ln 64"),
    Feature("run_share", "1", 0.0, 1.0, "mean run share of the vCPUs in the last interval"),
    Feature("deadline", "deadline", 0.0, 1.0, "time since the start / deadline"),
    Feature("survey", "T0", 0.0, SQUASHED_HIGH, "squash(length of the survey / T0), 0 without one"),
)

VCPU_FEATURES: tuple[Feature, ...] = (
    Feature("present", "1", 0.0, 1.0, "1 for a vCPU that exists"),
    Feature("dirty_rate", "bandwidth", 0.0, SQUASHED_HIGH, "squash(bytes dirtied / interval / bandwidth)"),
    Feature("demand", "bandwidth", 0.0, SQUASHED_HIGH, "squash(bytes dirtied / run time / bandwidth)"),
    Feature("peak_demand", "bandwidth", 0.0, SQUASHED_HIGH, "squash(largest demand in this and the previous round)"),
    Feature("mean_demand", "bandwidth", 0.0, SQUASHED_HIGH, "squash(running mean of demand, time constant T0 / 4)"),
    Feature("round_dirty", "memory", 0.0, SQUASHED_HIGH, "squash(bytes dirtied since the last sync / memory)"),
    Feature("largest_round", "memory", 0.0, SQUASHED_HIGH, "squash(most bytes dirtied between two syncs / memory)"),
    Feature("run_share", "1", 0.0, 1.0, "run time / interval"),
    Feature("exits", "1/10", 0.0, 1.0, "quota exits / (quota exits + 10)"),
    Feature(
        "survey_rate", "bandwidth", 0.0, SQUASHED_HIGH, "squash(distinct bytes per second, survey's first eighth / B)"
    ),
    Feature("survey_late_rate", "bandwidth", 0.0, SQUASHED_HIGH, "squash(the same in the survey's second half)"),
    Feature("survey_set", "memory", 0.0, SQUASHED_HIGH, "squash(distinct bytes dirtied in the survey / memory)"),
)
