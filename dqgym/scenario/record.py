"""The base of all scenario records: frozen, validated, with unit-free YAML keys and quantities as text.

A field's Python name carries its unit (``memory_bytes``) and takes numbers in that unit; its YAML key does not
(``memory``), so there the value must say its unit (``8 GB``). Validation knows that it reads a file by the context
``FROM_FILE``: then only YAML keys are known, and a number without a unit is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    model_validator,
)

from dqgym import units
from dqgym.errors import BadInputError
from dqgym.names import did_you_mean
from dqgym.scenario.bounds import (
    BANDWIDTH_BYTES_PER_S,
    DURATION_S,
    INSTANT_S,
    SIZE_BYTES,
    WRITE_RATE_BYTES_PER_S,
)

FROM_FILE: dict[str, Any] = {"from_file": True}
FROM_AFAR: dict[str, Any] = {**FROM_FILE, "from_afar": True}
"""Context of what came over a network: nothing that it names is imported."""
"""Validation context of a record that is read from a file."""

_UNIT_SUFFIX = re.compile(r"(_bytes_per_s|_bytes|_s)$")


def yaml_key(field_name: str) -> str:
    """The YAML key of a field: its name without the unit."""
    return _UNIT_SUFFIX.sub("", field_name)


class Record(BaseModel):
    """A frozen piece of a scenario; an unknown key is an error that names the nearest valid one.

    Attributes:
        OLD_NAMES: names that fields had, in files and in Python, by what they are called now; they are still read.
    """

    OLD_NAMES: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=yaml_key,
        populate_by_name=True,
        loc_by_alias=False,
        allow_inf_nan=False,
    )

    @model_validator(mode="before")
    @classmethod
    def _know_every_key(cls, data: object, info: ValidationInfo) -> object:
        if isinstance(data, Mapping):
            data = cls.with_new_names(data)
            names = list(cls.model_fields)
            keys = [yaml_key(name) for name in names]
            shown = keys if _from_file(info) else names
            for key in data:
                if key not in keys and (_from_file(info) or key not in names):
                    hint = did_you_mean(str(key), shown)
                    raise BadInputError(f"unknown key {key!r}{hint}; valid keys: {', '.join(shown)}")
        return data

    @classmethod
    def with_new_names(cls, data: Mapping[Any, Any]) -> Mapping[Any, Any]:
        """The same with fields as they are called now. BadInputError where one is given under both names."""
        for old, new in cls.OLD_NAMES.items():
            if old in data and new in data:
                raise BadInputError(f"give {new!r} or {old!r}, its old name, not both")
        return {cls.OLD_NAMES.get(key, key): value for key, value in data.items()} if cls.OLD_NAMES else data


def _from_file(info: ValidationInfo) -> bool:
    return bool(info.context) and info.context in (FROM_FILE, FROM_AFAR)


def _reads(parse: Callable[[str], float], dimension: units.Dimension) -> BeforeValidator:
    def read(value: object, info: ValidationInfo) -> object:
        if isinstance(value, str):
            return parse(value)
        if _from_file(info) and value is not None:
            raise BadInputError(f"{value!r} must be text with a unit; {dimension.allowed}")
        return value

    return BeforeValidator(read)


Bytes = Annotated[
    int,
    _reads(units.parse_bytes, units.BYTES),
    Field(ge=0),
    AfterValidator(SIZE_BYTES.check),
    PlainSerializer(units.format_bytes, when_used="json"),
]
"""Whole bytes within ``SIZE_BYTES``; text such as ``8 GB`` in files."""
Rate = Annotated[
    float,
    _reads(units.parse_rate, units.RATE),
    Field(gt=0),
    AfterValidator(BANDWIDTH_BYTES_PER_S.check),
    PlainSerializer(units.format_rate, when_used="json"),
]
"""Bytes per second that a link carries, within ``BANDWIDTH_BYTES_PER_S``; text such as ``640 MiB/s`` in files."""
RateOrZero = Annotated[
    float,
    _reads(units.parse_rate, units.RATE),
    Field(ge=0),
    AfterValidator(WRITE_RATE_BYTES_PER_S.check),
    PlainSerializer(units.format_rate, when_used="json"),
]
"""Bytes per second that are written, 0 included, within ``WRITE_RATE_BYTES_PER_S``."""
Duration = Annotated[
    float,
    _reads(units.parse_time, units.TIME),
    Field(gt=0),
    AfterValidator(DURATION_S.check),
    PlainSerializer(units.format_time, when_used="json"),
]
"""Seconds within ``DURATION_S``; text such as ``300 ms`` in files."""
Instant = Annotated[
    float,
    _reads(units.parse_time, units.TIME),
    Field(ge=0),
    AfterValidator(INSTANT_S.check),
    PlainSerializer(units.format_time, when_used="json"),
]
"""Seconds since the start, 0 included, within ``INSTANT_S``."""
Fraction = Annotated[float, Field(ge=0, le=1)]
"""A share, 0 to 1."""


def check_times(times_s: tuple[float, ...], values: int, what: str, period_s: float | None) -> None:
    """BadInputError unless the times of a piecewise constant function start at 0, rise, and are as many as its values.

    Args:
        times_s: to check.
        values: how many values there are.
        what: the values' name, for messages.
        period_s: after which everything repeats; it ends after the last time.
    """
    if len(times_s) != values:
        raise BadInputError(f"{len(times_s)} times, but {values} {what}")
    if times_s[0] != 0:
        raise BadInputError(f"the first time must be 0 s, not {times_s[0]!r} s")
    for earlier, later in pairwise(times_s):
        if later - earlier < DURATION_S.least:
            raise BadInputError(f"times must rise by at least 1 ns, but {later!r} s follows {earlier!r} s")
    if period_s is not None and period_s - times_s[-1] < DURATION_S.least:
        raise BadInputError(f"the period, {period_s!r} s, must end after the last time, {times_s[-1]!r} s")
