"""The bandwidth that the migration may use, over time: 1 B/s to 1 PB/s at any time (``dqgym.scenario.bounds``).

Every kind has a ``nominal_bandwidth_bytes_per_s``, which defines the pass time T0, and a ``line_speed_bytes_per_s``:
the last stage, with the guest paused, is not capped and goes at line speed. Without one it goes at the bandwidth that
the link has at that moment.

The sender may be slower than the link: one core, TLS, compression. What leaves is then the lesser of the two at any
time, in the last stage, too, and so is the nominal bandwidth: T0 stays the least that a migration can take.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from dqgym.errors import BadInputError
from dqgym.scenario.bounds import MOST_ENTRIES
from dqgym.scenario.record import Duration, Instant, Rate, Record, check_times, yaml_key

UNLIMITED = "unlimited"
"""QEMU's max-bandwidth of 0: the migration may use all that the line carries."""
OU_HOLD = 0.7
"""An Ornstein-Uhlenbeck bandwidth is constant for so many correlation times, at its mean over that time."""
ORNSTEIN_UHLENBECK_CLIP = (0.05, 3.0)
"""An Ornstein-Uhlenbeck bandwidth is clipped to these multiples of its mean, and to the line speed if there is one."""


class _AnyLink(Record):
    """The fields and methods that all kinds of link share.

    Attributes:
        line_speed_bytes_per_s: bandwidth of the last stage, at least the link's highest; None: the one of the moment.
        sender_bytes_per_s: what the sender can send at most, on all of its channels together; None: all that the link
            carries.
    """

    kind: str
    line_speed_bytes_per_s: Rate | None = None
    sender_bytes_per_s: Rate | None = None
    paced_by: ClassVar[str]
    """The fields that say how often the bandwidth changes."""

    @abstractmethod
    def changes_until(self, end_s: float) -> float:
        """Number of changes of the bandwidth from 0 to ``end_s``, on average where it is random."""

    def as_sent(self, bandwidth_bytes_per_s: float) -> float:
        """What leaves where the link has this bandwidth."""
        return min(bandwidth_bytes_per_s, self.sender_bytes_per_s or math.inf)

    @property
    def last_stage_bytes_per_s(self) -> float | None:
        """The line speed, or that of the sender; None: the bandwidth of the moment."""
        return None if self.line_speed_bytes_per_s is None else self.as_sent(self.line_speed_bytes_per_s)

    @property
    @abstractmethod
    def nominal_bandwidth_bytes_per_s(self) -> float:
        """The bandwidth that defines the pass time T0: what leaves, on average."""

    @property
    def highest_bandwidth_bytes_per_s(self) -> float:
        """The most that leaves."""
        return self.as_sent(self._highest_level_bytes_per_s)

    @property
    @abstractmethod
    def _highest_level_bytes_per_s(self) -> float:
        """The least that the line speed may be."""

    @model_validator(mode="after")
    def _line_is_no_slower(self) -> _AnyLink:
        highest = self._highest_level_bytes_per_s
        if self.line_speed_bytes_per_s is not None and self.line_speed_bytes_per_s < highest:
            raise BadInputError(
                f"line speed {self.line_speed_bytes_per_s!r} bytes/s must be at least the bandwidth, {highest!r}"
            )
        return self


class ConstantLink(_AnyLink):
    """One bandwidth throughout.

    Attributes:
        bandwidth_bytes_per_s: what the migration may use; ``"unlimited"`` stands for the line speed, which must then be
            given: without a cap, only the line says how long a pass takes.
    """

    kind: Literal["constant"] = "constant"
    bandwidth_bytes_per_s: Rate

    @model_validator(mode="before")
    @classmethod
    def _take_the_line_without_a_cap(cls, data: Any) -> Any:
        names = {yaml_key(name): name for name in cls.model_fields}
        for key in data if isinstance(data, Mapping) else ():
            value = data[key]
            if key in ("bandwidth", names["bandwidth"]) and isinstance(value, str) and value.strip() == UNLIMITED:
                line = data.get("line_speed", data.get(names["line_speed"]))
                if line is None:
                    raise BadInputError(
                        f"bandwidth: {UNLIMITED!r} needs a line_speed (for example '10 Gbit/s'), all of which the"
                        " migration may then use"
                    )
                return {**data, key: line}
        return data

    def changes_until(self, end_s: float) -> float:
        """Never."""
        return 0.0

    @property
    def nominal_bandwidth_bytes_per_s(self) -> float:
        """The bandwidth."""
        return self.as_sent(self.bandwidth_bytes_per_s)

    @property
    def _highest_level_bytes_per_s(self) -> float:
        """The bandwidth."""
        return self.bandwidth_bytes_per_s


class _PiecewiseLink(_AnyLink):
    """Bandwidths that hold from given times on: ``bandwidths_bytes_per_s[k]`` from ``times_s[k]`` to the next time.

    Attributes:
        times_s: start at 0 and rise, 100,000 at most.
        bandwidths_bytes_per_s: as many.
        period_s: after this time everything repeats; None: the last bandwidth holds for ever.
    """

    times_s: Annotated[tuple[Instant, ...], Field(min_length=1, max_length=MOST_ENTRIES)]
    bandwidths_bytes_per_s: Annotated[tuple[Rate, ...], Field(min_length=1, max_length=MOST_ENTRIES)]
    period_s: Duration | None = None
    paced_by: ClassVar[str] = "a period"

    def changes_until(self, end_s: float) -> float:
        """Once at each time, in each period."""
        repetitions = 1.0 if self.period_s is None else end_s / self.period_s
        return len(self.times_s) * max(repetitions, 1.0)

    @property
    def _highest_level_bytes_per_s(self) -> float:
        """The highest level."""
        return max(self.bandwidths_bytes_per_s)

    def _time_mean_bytes_per_s(self, end_s: float) -> float:
        """Mean bandwidth from 0 to ``end_s``, which is no earlier than the last time."""
        spans_s = [later - earlier for earlier, later in pairwise((*self.times_s, end_s))]
        rates = map(self.as_sent, self.bandwidths_bytes_per_s)
        sent_bytes = sum(rate * span_s for rate, span_s in zip(rates, spans_s, strict=True))
        return sent_bytes / end_s if end_s > 0 else self.as_sent(self.bandwidths_bytes_per_s[0])

    @model_validator(mode="after")
    def _times_rise(self) -> _PiecewiseLink:
        check_times(self.times_s, len(self.bandwidths_bytes_per_s), "bandwidths", self.period_s)
        return self


class StepsLink(_PiecewiseLink):
    """A few planned levels."""

    kind: Literal["steps"] = "steps"

    @property
    def nominal_bandwidth_bytes_per_s(self) -> float:
        """The mean over a period where the levels repeat, else the first level."""
        first = self.as_sent(self.bandwidths_bytes_per_s[0])
        return first if self.period_s is None else self._time_mean_bytes_per_s(self.period_s)


class TraceLink(_PiecewiseLink):
    """A recording."""

    kind: Literal["trace"] = "trace"

    @property
    def nominal_bandwidth_bytes_per_s(self) -> float:
        """The mean over a period, or from 0 to the last time where the recording does not repeat."""
        return self._time_mean_bytes_per_s(self.times_s[-1] if self.period_s is None else self.period_s)


class MarkovLink(_AnyLink):
    """Two levels that hold for exponentially distributed times; starts in its stationary distribution.

    Attributes:
        high_hold_s: mean time for which the high level holds.
        low_hold_s: mean time for which the low level holds.
    """

    kind: Literal["markov"] = "markov"
    high_bandwidth_bytes_per_s: Rate
    low_bandwidth_bytes_per_s: Rate
    high_hold_s: Duration
    low_hold_s: Duration
    paced_by: ClassVar[str] = "high_hold and low_hold"

    def changes_until(self, end_s: float) -> float:
        """Twice, on average, in the sum of the hold times."""
        return 2.0 * end_s / (self.high_hold_s + self.low_hold_s)

    @property
    def nominal_bandwidth_bytes_per_s(self) -> float:
        """The stationary mean of the two levels."""
        high, low = self.as_sent(self.high_bandwidth_bytes_per_s), self.as_sent(self.low_bandwidth_bytes_per_s)
        return (high * self.high_hold_s + low * self.low_hold_s) / (self.high_hold_s + self.low_hold_s)

    @property
    def _highest_level_bytes_per_s(self) -> float:
        """The high level."""
        return self.high_bandwidth_bytes_per_s

    @model_validator(mode="after")
    def _high_is_higher(self) -> MarkovLink:
        if self.high_bandwidth_bytes_per_s < self.low_bandwidth_bytes_per_s:
            raise BadInputError(
                f"the high bandwidth, {self.high_bandwidth_bytes_per_s!r} bytes/s, is below the low one,"
                f" {self.low_bandwidth_bytes_per_s!r}"
            )
        return self


class OrnsteinUhlenbeckLink(_AnyLink):
    """A bandwidth that wanders around its mean and returns to it; starts in its stationary distribution.

    Attributes:
        relative_sd: stationary standard deviation of the process, relative to the mean; its means over ``OU_HOLD``
            correlation times, which are the bandwidths, vary by a tenth less. They are clipped to
            ``ORNSTEIN_UHLENBECK_CLIP`` times the mean.
        correlation_time_s: in which a deviation falls to 1/e.
    """

    kind: Literal["ornstein-uhlenbeck"] = "ornstein-uhlenbeck"
    mean_bandwidth_bytes_per_s: Rate
    relative_sd: Annotated[float, Field(gt=0, le=1)]
    correlation_time_s: Duration
    paced_by: ClassVar[str] = "a correlation_time"

    def changes_until(self, end_s: float) -> float:
        """At the end of each step."""
        return end_s / (OU_HOLD * self.correlation_time_s)

    @property
    def nominal_bandwidth_bytes_per_s(self) -> float:
        """The mean, or the sender's speed where that is less."""
        return self.as_sent(self.mean_bandwidth_bytes_per_s)

    @property
    def _highest_level_bytes_per_s(self) -> float:
        """The mean: with a line speed, values above it are clipped."""
        return self.mean_bandwidth_bytes_per_s


Link = Annotated[ConstantLink | StepsLink | MarkovLink | OrnsteinUhlenbeckLink | TraceLink, Field(discriminator="kind")]
