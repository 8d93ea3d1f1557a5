"""The workload: groups of equal vCPUs, each with a pattern, a working set, a rate and a schedule."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from dqgym.errors import BadInputError
from dqgym.names import unknown
from dqgym.scenario.bounds import HOT_FRACTION, MOST_ENTRIES, WRITE_RATE_BYTES_PER_S, ZIPF_SKEW
from dqgym.scenario.patterns import PATTERNS, HotSet, PatternRow
from dqgym.scenario.record import FROM_AFAR, Bytes, Duration, Fraction, Instant, RateOrZero, Record, check_times
from dqgym.scenario.vm import BASE_PAGE_BYTES

MAX_VCPUS = 64
"""Most vCPUs of one virtual machine."""

Demand = Literal["closed", "open"]

_CARRIED = "pattern_row"
"""Under which a pickled group has the row of its pattern."""
_OpenFraction = Annotated[float, Field(gt=0, lt=1)]


class Steady(Record):
    """The vCPU writes at its rate all the time."""

    kind: Literal["steady"] = "steady"


class _Alternating(Record):
    """A busy and a quiet part in each period: the rate is full for ``duty`` of it, then ``low_rate_fraction`` of it.

    Attributes:
        duty: share of a period that is busy.
        low_rate_fraction: rate in the quiet part, relative to the full rate.
        offset: where in a period (0 = its start, the busy part comes first) the migration begins.
    """

    kind: str
    duty: _OpenFraction
    low_rate_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    offset: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Phased(_Alternating):
    """Busy and quiet phases in turn; all vCPUs of a group are in step.

    Attributes:
        period_s: length of a period: of every one, or, with ``jitter``, of the first and on average.
        jitter: the later periods are from 1 - ``jitter`` to 1 + ``jitter`` times as long, each equally likely.
    """

    kind: Literal["phased"] = "phased"
    period_s: Duration
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Bursty(_Alternating):
    """Like phased, but the length of every period is drawn anew, for each vCPU on its own.

    Attributes:
        period_s: mean of the exponential distribution of period lengths.
    """

    kind: Literal["bursty"] = "bursty"
    period_s: Duration


class Recorded(Record):
    """A recording: the rate is ``rate_factors[k]`` times the full rate from ``times_s[k]`` to the next time.

    Attributes:
        times_s: start at 0 and rise, 100,000 at most.
        rate_factors: as many; 1 is the group's write rate.
        period_s: after this time everything repeats; None: the last factor holds for ever.
    """

    kind: Literal["recorded"] = "recorded"
    times_s: Annotated[tuple[Instant, ...], Field(min_length=1, max_length=MOST_ENTRIES)]
    rate_factors: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1, max_length=MOST_ENTRIES)]
    period_s: Duration | None = None

    @model_validator(mode="after")
    def _times_rise(self) -> Recorded:
        check_times(self.times_s, len(self.rate_factors), "rate factors", self.period_s)
        return self


Schedule = Annotated[Steady | Phased | Bursty | Recorded, Field(discriminator="kind")]


def _known_pattern(name: str, info: ValidationInfo) -> str:
    if info.context != FROM_AFAR:
        PATTERNS.row(name)
    elif name not in PATTERNS.shipped:
        raise BadInputError(unknown("pattern", name, PATTERNS.shipped, "patterns"))
    return name


class VcpuGroup(Record):
    """Equal vCPUs. Everything is per vCPU: three with a working set of 1 GB write to 3 GB in all.

    Each vCPU has a region of its own; the regions follow one another from address 0, in the order of the vCPUs.

    Attributes:
        vcpus: how many.
        pattern: ``sequential`` (a loop over the working set), ``uniform`` (random), ``hot-cold`` (random, with a hot
            part), ``read-only`` (runs, never writes) or ``idle``: a name of ``dqgym.scenario.patterns``, or one
            that was added to them (``dqgym.plugins``). What never writes has neither rate nor working set.
        working_set_bytes: distinct bytes that each vCPU writes, at least a page.
        write_rate_bytes_per_s: demand of each vCPU at full run share: 4 KiB times its page stores per second; 0.001 B/s
            to 1 PB/s, at the highest factor of a recorded schedule, too.
        demand: ``closed``: writes that a stalled vCPU missed are not made up; ``open``: they are.
        hot_fraction: hot-cold: the hot part of the working set.
        hot_share: hot-cold: the share of the writes that go to it; at least ``hot_fraction``.
        zipf_skew: hot-cold, in place of the other two: they follow from a Zipf law over the pages (``hot_set``); 0.01
            to 3.
        position: sequential: where in its working set the vCPU writes when the migration begins (0: at its start). Only
            the page-exact reference knows positions.
        schedule: ``steady``, ``phased``, ``bursty`` or ``recorded``.
    """

    vcpus: Annotated[int, Field(ge=1, le=MAX_VCPUS, strict=True)]
    pattern: Annotated[str, AfterValidator(_known_pattern)]
    working_set_bytes: Bytes = 0
    write_rate_bytes_per_s: RateOrZero = 0.0
    demand: Demand = "closed"
    hot_fraction: Annotated[float, Field(gt=0, lt=1), AfterValidator(HOT_FRACTION.check)] | None = None
    hot_share: Fraction | None = None
    zipf_skew: Annotated[float, Field(gt=0, le=ZIPF_SKEW.most), AfterValidator(ZIPF_SKEW.check)] | None = None
    position: Annotated[float, Field(ge=0, lt=1)] = 0.0
    schedule: Schedule = Steady()

    def __getstate__(self) -> dict[Any, Any]:
        """With the row of a pattern that does not ship: other processes need not have registered it."""
        return {**super().__getstate__(), _CARRIED: PATTERNS.addition(self.pattern)}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Take the pattern along."""
        row = state.pop(_CARRIED, None)
        super().__setstate__(state)
        if row is not None:
            PATTERNS.carry(self.pattern, row)

    def in_shipped_patterns(self) -> VcpuGroup:
        """The same group in the words of the patterns that ship, for processes that know no others."""
        row = self._row
        if self.pattern in PATTERNS.shipped:
            return self
        if not self.writes:
            return self.model_copy(update={"pattern": "read-only" if self.reads else "idle"})
        if row.sequential or row.hot is None:
            return self.model_copy(update={"pattern": "sequential" if row.sequential else "uniform"})
        given = {} if row.hot == "given" else {"hot_fraction": row.hot.fraction, "hot_share": row.hot.share}
        return self.model_copy(update={"pattern": "hot-cold", **given})

    @property
    def _row(self) -> PatternRow:
        return PATTERNS.row(self.pattern)

    @property
    def writes(self) -> bool:
        """True where its vCPUs write at all."""
        return self._row.does == "writes"

    @property
    def reads(self) -> bool:
        """True where they read, and never write."""
        return self._row.does == "reads"

    @property
    def sequential(self) -> bool:
        """True where they write in a loop, page after page."""
        return self._row.sequential

    @property
    def hot_set(self) -> HotSet | None:
        """The hot part of each working set; None where the pattern has none."""
        hot = self._row.hot
        if isinstance(hot, HotSet):
            return hot
        if self.zipf_skew is not None:
            return zipf_hot_set(self.zipf_skew, max(1, self.working_set_bytes // BASE_PAGE_BYTES))
        if self.hot_fraction is None or self.hot_share is None:
            return None
        return HotSet(self.hot_fraction, self.hot_share)

    @model_validator(mode="after")
    def _rate_and_working_set_fit_the_pattern(self) -> VcpuGroup:
        rate, working_set = self.write_rate_bytes_per_s, self.working_set_bytes
        if self.writes and not (rate > 0 and working_set > 0):
            raise BadInputError(
                f"pattern {self.pattern!r} needs a positive write rate and working set, not {rate!r} bytes/s"
                f" and {working_set!r} bytes; a vCPU that does not write is 'read-only' or 'idle'"
            )
        if not self.writes and (rate > 0 or working_set > 0):
            raise BadInputError(
                f"pattern {self.pattern!r} writes nothing: write rate and working set must be 0 (or left out),"
                f" not {rate!r} bytes/s and {working_set!r} bytes"
            )
        return self

    @model_validator(mode="after")
    def _schedule_stays_within_the_rates(self) -> VcpuGroup:
        if isinstance(self.schedule, Recorded):
            highest = self.write_rate_bytes_per_s * max(self.schedule.rate_factors)
            if highest > WRITE_RATE_BYTES_PER_S.most:
                raise BadInputError(
                    f"write_rate times the largest of rate_factors is {highest:g} bytes/s, and must be"
                    f" {WRITE_RATE_BYTES_PER_S.allowed}"
                )
        return self

    @model_validator(mode="after")
    def _hot_part_is_given_once(self) -> VcpuGroup:
        pair = (self.hot_fraction, self.hot_share)
        if self._row.hot != "given":
            if pair != (None, None) or self.zipf_skew is not None:
                raise BadInputError(f"hot_fraction, hot_share and zipf_skew are for 'hot-cold', not {self.pattern!r}")
        elif (self.zipf_skew is None) == (pair == (None, None)) or (None in pair and pair != (None, None)):
            raise BadInputError(
                f"{self.pattern!r} needs either hot_fraction and hot_share, or zipf_skew; it has"
                f" hot_fraction={pair[0]!r}, hot_share={pair[1]!r}, zipf_skew={self.zipf_skew!r}"
            )
        if self.hot_fraction is not None and self.hot_share is not None and self.hot_share < self.hot_fraction:
            raise BadInputError(f"hot_share {self.hot_share!r} must be at least hot_fraction {self.hot_fraction!r}")
        return self


def zipf_hot_set(skew: float, pages: int) -> HotSet:
    """Two classes in place of a Zipf law: hot are the pages that are written more often than the average page.

    Page k (from 1) gets writes in proportion to k ** -skew. The law is taken as a density over ranks from 1/2 to
    pages + 1/2, so that each page is the middle of its span of 1.
    """
    total = _zipf_mass(skew, pages + 0.5)
    last_hot = (pages / total) ** (1.0 / skew)  # the rank at which the density falls to its mean
    return HotSet(fraction=(last_hot - 0.5) / pages, share=_zipf_mass(skew, last_hot) / total)


def _zipf_mass(skew: float, upper: float) -> float:
    """The integral of x ** -skew from 1/2 to ``upper``; expm1 keeps it exact around skew 1."""
    log_ratio, exponent = math.log(2.0 * upper), 1.0 - skew
    return log_ratio if exponent == 0 else 0.5**exponent * math.expm1(exponent * log_ratio) / exponent
