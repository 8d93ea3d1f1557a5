"""The limits that a migration must keep to, and the writes that no vCPU is charged for.

docs/scenarios.md has a table of how libvirt, QEMU, Nova, KubeVirt and others call each of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator
from pydantic.fields import FieldInfo

from dqgym import units
from dqgym.errors import BadInputError
from dqgym.scenario.bounds import DEADLINE_PASS_TIMES, DEADLINE_S, DURATION_S, MOST_GROWTH_STEPS, MOST_ROUNDS
from dqgym.scenario.record import Bytes, Duration, RateOrZero, Record

SpanUnit: TypeAlias = Literal["s", "s/GiB", "T0", "rounds"]
OnLimit: TypeAlias = Literal["cancel", "pause"]
"""What becomes of a migration at its deadline or after its last round. ``cancel``: it has failed, the guest stays.
``pause``: the guest is stopped, the sender goes on, and the guest goes over when the rest is sent."""
PAUSED_DEADLINES = 2.0
"""A paused migration has failed, too, after so many deadlines: its link has all but gone."""
LARGEST_DOWNTIME_S = 2000.0
"""QEMU takes no longer downtime limit."""
SLOPE_STEP_S = 1.0
"""A slope is raised this often: management software polls about once a second."""

_SPAN = re.compile(rf"\s*(?P<number>{units.NUMBER})\s*(?P<unit>T0|rounds?)\s*", re.ASCII)
_PER_GIB = re.compile(r"(?P<time>.*?)\s*/\s*GiB\s*", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class Span:
    """How long something takes: a time, a time for each GiB of memory, pass times (T0), or rounds.

    Attributes:
        value: how many of the unit.
        unit: ``s``, ``s/GiB``, ``T0`` or ``rounds``.
    """

    value: float
    unit: SpanUnit

    @classmethod
    def parse(cls, text: str) -> Span:
        """The span of ``600 s``, ``800 s/GiB``, ``20 T0`` or ``6 rounds``. BadInputError where it is none."""
        match = _SPAN.fullmatch(text)
        if match is not None:
            return cls(float(match["number"]), "T0" if match["unit"] == "T0" else "rounds")
        per_gib = _PER_GIB.fullmatch(text)
        return cls(units.parse_time(text), "s") if per_gib is None else cls(units.parse_time(per_gib["time"]), "s/GiB")

    def __str__(self) -> str:
        if self.unit == "s":
            return units.format_time(self.value)
        if self.unit == "s/GiB":
            return f"{units.format_time(self.value)}/GiB"
        number = f"{self.value:.0f}" if self.value == round(self.value) else repr(self.value)
        return f"{number} {'round' if self.unit == 'rounds' and number == '1' else self.unit}"

    def seconds(self, memory_bytes: float, pass_time_s: float) -> float:
        """In seconds, for a guest of this memory. ValueError for rounds, which have no length."""
        match self.unit:
            case "s":
                return self.value
            case "s/GiB":
                return self.value * memory_bytes / units.GIB
            case "T0":
                return self.value * pass_time_s
            case _:
                raise ValueError(f"{self} is no time")


def _reads_span(allowed: tuple[SpanUnit, ...], example: str) -> BeforeValidator:
    def read(value: object) -> object:
        if isinstance(value, str):
            try:
                value = Span.parse(value)
            except units.UnitError as error:
                raise BadInputError(f"{error}, or {example}") from error
        if not isinstance(value, Span):
            raise BadInputError(f"{value!r} must be text with a unit, for example {example}")
        if value.unit not in allowed:
            raise BadInputError(f"{str(value)!r} is in {value.unit}; allowed: {', '.join(allowed)}")
        return value

    return BeforeValidator(read)


def _check_deadline(span: Span) -> Span:
    bounds = DEADLINE_PASS_TIMES if span.unit == "T0" else DEADLINE_S
    if span.unit == "T0" and span.value <= DEADLINE_PASS_TIMES.least:
        raise BadInputError(f"must be {DEADLINE_PASS_TIMES.allowed} T0")
    bounds.check(span.value)
    return span


def _check_pace(span: Span) -> Span:
    if span.unit == "rounds" and not (span.value >= 1 and span.value == int(span.value)):
        raise BadInputError("must be a whole number of rounds, 1 or more")
    DURATION_S.check(span.value)
    return span


_AS_TEXT = PlainSerializer(str)
Deadline = Annotated[
    Span,
    _reads_span(("s", "s/GiB", "T0"), "'600 s', '800 s/GiB' or '20 T0'"),
    AfterValidator(_check_deadline),
    _AS_TEXT,
]
"""A time, or a time per GiB, within ``DEADLINE_S``; or T0 within ``DEADLINE_PASS_TIMES``."""
Pace = Annotated[
    Span,
    _reads_span(("s", "s/GiB", "T0", "rounds"), "'10 s', '75 s/GiB', '0.5 T0' or '6 rounds'"),
    AfterValidator(_check_pace),
    _AS_TEXT,
]
"""A time or a whole number of rounds."""


def pass_times(count: float) -> Span:
    """So many T0."""
    return Span(count, "T0")


OLDER_FIELDS = {
    "deadline_pass_times": FieldInfo.from_annotated_attribute(
        Annotated[float, Field(gt=1), AfterValidator(DEADLINE_PASS_TIMES.check)],  # type: ignore[arg-type]
        None,
    )
}
"""Keys of old files that ``Limits`` reads, too."""


@dataclass(frozen=True)
class Rise:
    """How a downtime limit grows from one step to the next: ``min(factor * limit + add_s, end_s)``."""

    factor: float
    add_s: float
    end_s: float


class _AnyGrowth(Record):
    """The fields that all kinds of growth share.

    Attributes:
        end_s: the largest limit.
        first: when the limit grows first, since the start of the migration, or in which round (1 is the first); None:
            after one ``delay``.
    """

    kind: str
    end_s: Duration
    first: Pace | None = None

    @property
    def pace(self) -> Span:
        """From one step to the next."""
        raise NotImplementedError

    def rise_from(self, start_s: float) -> Rise:
        """How each step raises the limit, which is ``start_s`` before the first."""
        raise NotImplementedError


class StepsGrowth(_AnyGrowth):
    """A few steps from ``downtime`` to ``end``.

    Attributes:
        steps: how many.
        delay: from one to the next.
        rise: ``linear``: all steps are alike. ``exponential``: Nova's and vdsm's: what has been added, in ms and plus
            one, is multiplied by the same factor at each step.
    """

    kind: Literal["steps"] = "steps"
    steps: Annotated[int, Field(ge=1, le=MOST_GROWTH_STEPS, strict=True)]
    delay: Pace
    rise: Literal["linear", "exponential"] = "linear"

    @property
    def pace(self) -> Span:
        """The delay."""
        return self.delay

    def rise_from(self, start_s: float) -> Rise:
        """See ``rise``."""
        if self.rise == "linear":
            return Rise(1.0, (self.end_s - start_s) / self.steps, self.end_s)
        factor = (1000.0 * (self.end_s - start_s) + 1.0) ** (1.0 / self.steps)
        return Rise(factor, (1.0 - factor) * (start_s - 1e-3), self.end_s)


class SlopeGrowth(_AnyGrowth):
    """A limit that rises evenly from ``downtime`` to ``end``, looked after once a second.

    Attributes:
        over: the time that it takes.
    """

    kind: Literal["slope"] = "slope"
    over_s: Duration

    @property
    def pace(self) -> Span:
        """A second."""
        return Span(min(SLOPE_STEP_S, self.over_s), "s")

    def rise_from(self, start_s: float) -> Rise:
        """Evenly."""
        return Rise(1.0, (self.end_s - start_s) * self.pace.value / self.over_s, self.end_s)


class DoublingGrowth(_AnyGrowth):
    """A limit that doubles again and again.

    Attributes:
        delay: from one doubling to the next.
    """

    kind: Literal["doubling"] = "doubling"
    end_s: Duration = LARGEST_DOWNTIME_S
    delay: Pace

    @property
    def pace(self) -> Span:
        """The delay."""
        return self.delay

    def rise_from(self, start_s: float) -> Rise:
        """Twice as much."""
        return Rise(2.0, 0.0, self.end_s)


Growth = Annotated[StepsGrowth | SlopeGrowth | DoublingGrowth, Field(discriminator="kind")]


class Limits(Record):
    """The limits that the user accepts.

    Attributes:
        downtime_s: the pause at the end; the migration completes when remaining <= bandwidth * downtime limit. Where it
            grows, the limit at the start.
        downtime_growth: how the downtime limit grows; None: it does not.
        deadline: the migration has failed when it takes longer: a time, a time per GiB of memory (pages of zeros
            included), or pass times (T0; here one is a send window at least, 0.1 s). Written ``deadline_pass_times`` in
            old files, which is in T0.
        on_deadline: or the guest is paused then.
        max_rounds: the migration goes through no more rounds; None: as many as it takes.
        on_max_rounds: what becomes of it after them; None: ``pause``.
    """

    downtime_s: Duration = 0.3
    downtime_growth: Growth | None = None
    deadline: Deadline = pass_times(20.0)
    on_deadline: OnLimit = "cancel"
    max_rounds: Annotated[int, Field(ge=1, le=MOST_ROUNDS, strict=True)] | None = None
    on_max_rounds: OnLimit | None = None

    @model_validator(mode="before")
    @classmethod
    def _take_the_deadline_of_old_files(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "deadline_pass_times" not in data:
            return data
        if "deadline" in data:
            raise BadInputError("give either 'deadline' or 'deadline_pass_times', its old form in T0, not both")
        given = data["deadline_pass_times"]
        try:  # YAML reads 1e3 as text
            count = math.nan if isinstance(given, bool) else float(given)
        except (TypeError, ValueError):
            count = math.nan
        if not DEADLINE_PASS_TIMES.least < count <= DEADLINE_PASS_TIMES.most:
            raise BadInputError(f"deadline_pass_times: {given!r:.60} must be {DEADLINE_PASS_TIMES.allowed}")
        others = {key: value for key, value in data.items() if key != "deadline_pass_times"}
        return {**others, "deadline": pass_times(count)}

    @model_validator(mode="after")
    def _fit_together(self) -> Limits:
        growth = self.downtime_growth
        if growth is not None and growth.end_s < self.downtime_s:
            raise BadInputError(
                f"downtime_growth.end, {units.format_time(growth.end_s)}, is below downtime,"
                f" {units.format_time(self.downtime_s)}: a limit never shrinks"
            )
        if self.on_max_rounds is not None and self.max_rounds is None:
            raise BadInputError(f"on_max_rounds: {self.on_max_rounds!r} needs max_rounds")
        return self

    @property
    def pauses_at_deadline(self) -> bool:
        """True where the guest is paused at the deadline."""
        return self.on_deadline == "pause"

    @property
    def pauses_after_rounds(self) -> bool:
        """True where the guest is paused after the last round."""
        return self.on_max_rounds != "cancel"


class DeviceWrites(Record):
    """Uniformly random writes by the hypervisor and by devices: they dirty pages and are charged to no vCPU.

    Attributes:
        rate_bytes_per_s: 4 KiB times the page stores per second; 0 for none.
        working_set_bytes: the memory they go to, beside the vCPUs' regions; 0 for none.
    """

    rate_bytes_per_s: RateOrZero = 0.0
    working_set_bytes: Bytes = 0

    @model_validator(mode="after")
    def _both_or_none(self) -> DeviceWrites:
        if (self.rate_bytes_per_s > 0) != (self.working_set_bytes > 0):
            raise BadInputError(
                f"device rate ({self.rate_bytes_per_s!r} bytes/s) and working set ({self.working_set_bytes!r} bytes)"
                " must both be positive, or both be 0"
            )
        return self
