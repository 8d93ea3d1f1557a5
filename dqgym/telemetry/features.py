"""The observation as a table: name, unit, range and origin of every feature, in order. All else reads this table.

Everything is dimensionless (rates in units of the bandwidth, times in units of the pass time T0, bytes in units of the
memory), so that one policy serves 1 GB and 1 TB, one vCPU and sixty-four. Quantities that span decades are squashed:
squash(x) = (x + 1e-4) ** 0.25 - 0.1, so that 0 is 0, 0.01 is 0.22, 1 is 0.9 and 100 is 3.1.

``dqgym.telemetry.encoding`` computes the features, each under the name that it has here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

SQUASHED_HIGH = 6.0
"""Where squashed values are clipped."""
SQUASH_SHIFT = 1e-4
"""Keeps the slope at 0 finite, so that rounding errors of small numbers stay small."""
SQUASH_OFFSET = 0.1
"""Brings 0 to 0."""
MIDDLE_PREFERENCE = 0.2
"""The preference whose feature is 0."""


@dataclass(frozen=True)
class Feature:
    """One number of an observation, as manifests have it.

    Attributes:
        name: its name in the table, in small letters.
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


@dataclass(frozen=True)
class Spec:
    """A row of the table, beside its name and place.

    Attributes:
        unit: see ``Feature``; likewise the next three.
        remembered: part of an observation's history: what the encoder keeps of intervals before the last one.
    """

    unit: str
    low: float
    high: float
    source: str
    remembered: bool = False


def squashed(unit: str, source: str, remembered: bool = False) -> Spec:
    """The row of a squashed quantity."""
    return Spec(unit, 0.0, SQUASHED_HIGH, source, remembered)


class _Table(IntEnum):
    """A member's number is its place, which kernels use as an index; the rest of its row are attributes."""

    def __new__(cls, spec: Spec) -> _Table:
        place = len(cls.__members__)
        member = int.__new__(cls, place)
        member._value_ = place
        return member

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    @property
    def spec(self) -> Spec:
        """The row."""
        return self._spec

    @property
    def feature(self) -> Feature:
        """The row as manifests have it."""
        spec = self._spec
        return Feature(self.name.lower(), spec.unit, spec.low, spec.high, spec.source)


class Global(_Table):
    """Features of the whole migration, in order."""

    TIME = squashed("T0", "squash(time since the start / T0)")
    ROUND_TIME = squashed("T0", "squash(time since the last dirty-log sync / T0)")
    INTERVAL = squashed("T0", "squash(length of the last interval / T0)")
    REMAINING = squashed("memory", "squash(bytes still to send in this round / memory)")
    DIRTY_RATE = squashed("bandwidth", "squash(bytes dirtied by all vCPUs / interval / bandwidth)")
    DEMAND = squashed("bandwidth", "squash(sum of the vCPUs' peak demands)", remembered=True)
    ROUND_DIRTY = squashed("memory", "squash(bytes dirtied since the last sync / memory)", remembered=True)
    SYNC_DIRTY = squashed("memory", "squash(bytes that the last sync found dirty / memory)", remembered=True)
    ROUND = Spec("1/20", 0.0, 1.0, "round number / 20")
    BANDWIDTH = Spec("nominal bandwidth", 0.0, 4.0, "measured bandwidth / nominal bandwidth")
    BANDWIDTH_MEAN = Spec(
        "nominal bandwidth", 0.0, 4.0, "running mean of bandwidth, time constant T0 / 4", remembered=True
    )
    THRESHOLD = Spec("memory", 0.0, 1.5, "-log10(bandwidth * downtime limit / memory) / 5")
    PREFERENCE = Spec("1", -1.0, 1.5, f"log10(preference / {MIDDLE_PREFERENCE})")
    VCPUS = Spec("1", 0.0, 1.0, "ln(number of vCPUs) / ln 64")
    RUN_SHARE = Spec("1", 0.0, 1.0, "mean run share of the vCPUs in the last interval")
    DEADLINE = Spec("deadline", 0.0, 1.0, "time since the start / deadline")
    SURVEY = squashed("T0", "squash(length of the survey / T0), 0 without one")


class PerVcpu(_Table):
    """Features of each vCPU, in order; all are 0 in absent slots."""

    PRESENT = Spec("1", 0.0, 1.0, "1 for a vCPU that exists")
    DIRTY_RATE = squashed("bandwidth", "squash(bytes dirtied / interval / bandwidth)")
    DEMAND = squashed("bandwidth", "squash(bytes dirtied / run time / bandwidth)")
    PEAK_DEMAND = squashed("bandwidth", "squash(largest demand in this and the previous round)", remembered=True)
    MEAN_DEMAND = squashed("bandwidth", "squash(running mean of demand, time constant T0 / 4)", remembered=True)
    ROUND_DIRTY = squashed("memory", "squash(bytes dirtied since the last sync / memory)", remembered=True)
    LARGEST_ROUND = squashed("memory", "squash(most bytes dirtied between two syncs / memory)", remembered=True)
    RUN_SHARE = Spec("1", 0.0, 1.0, "run time / interval")
    EXITS = Spec("1/10", 0.0, 1.0, "quota exits / (quota exits + 10)")
    SURVEY_RATE = squashed("bandwidth", "squash(distinct bytes per second, survey's first eighth / B)")
    SURVEY_LATE_RATE = squashed("bandwidth", "squash(the same in the survey's second half)")
    SURVEY_SET = squashed("memory", "squash(distinct bytes dirtied in the survey / memory)")


GLOBAL_FEATURES = tuple(row.feature for row in Global)
VCPU_FEATURES = tuple(row.feature for row in PerVcpu)
REMEMBERED_GLOBALS = tuple(row for row in Global if row.spec.remembered)
REMEMBERED_PER_VCPU = tuple(row for row in PerVcpu if row.spec.remembered)
