"""Options of throttles as text: ``auto-converge:initial=50,increment=20,max=92,tail_slow``.

An option is written by its name without the unit, which its value then has (``limit=10 MiB/s``), by its whole name
(``limit_mib_per_s=10``), or by the name of QEMU's parameter, in QEMU's unit (``vcpu-dirty-limit=10``). A switch that is
only named is on. Hyphens and underscores are the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

import annotated_types
from pydantic.fields import FieldInfo

from dqgym import units
from dqgym.errors import BadInputError
from dqgym.names import unknown
from dqgym.throttles.options import Described, OptionValue, ThrottleOptions

_NUMBER = re.compile(units.NUMBER, re.ASCII)
_SWITCH = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}
Reader = Callable[[str], OptionValue]


@dataclass(frozen=True)
class Unit:
    """A unit that the names of options end with.

    Attributes:
        suffix: the end of the name.
        shown: the unit, for tables and messages.
        parse: reads a text with a unit, in this one.
        implied: a number alone is enough, since nothing else can be meant.
    """

    suffix: str
    shown: str
    parse: Callable[[str], float]
    implied: bool = False


def _before(ending: str) -> Callable[[str], float]:
    """Reads a number before its unit."""
    return lambda text: _number(text.removesuffix(ending).rstrip())


UNITS = (
    Unit("_mib_per_s", "MiB/s", lambda text: units.parse_rate(text) / units.MIB),
    Unit("_bytes_per_s", "bytes/s", units.parse_rate),
    Unit("_percent", "%", _before("%"), implied=True),
    Unit("_pass_times", "T0", _before("T0"), implied=True),
    Unit("_s", "s", units.parse_time),
)
"""The first that fits counts."""


@dataclass(frozen=True)
class Option:
    """One option of a throttle.

    Attributes:
        name: of the field that holds it.
        short: its name without the unit.
        meaning: one line.
        default: its value where nothing is said.
        unit: of numbers; empty where they have none.
        allowed: its values, as text.
        qemu: QEMU's parameter; empty where there is none.
    """

    name: str
    short: str
    meaning: str
    default: OptionValue | None
    unit: str
    allowed: str
    qemu: str


def options_of(model: type[ThrottleOptions]) -> list[Option]:
    """The options that a class has, in their order."""
    return [_option(name, field) for name, field in model.model_fields.items()]


def parse_options(throttle: str, model: type[ThrottleOptions], text: str) -> dict[str, OptionValue]:
    """The options in a text, by the names of their fields. The class checks the values' bounds.

    Raises:
        BadInputError: a name is unknown or comes twice, or a value is none of its kind or lacks its unit.
    """
    readers = _readers(model)
    found: dict[str, OptionValue] = {}
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if _folded(key) not in readers:
            known = [option.short for option in options_of(model)]
            raise BadInputError(unknown(f"option of throttle {throttle!r}:", key, known or ["none"]))
        name, read = readers[_folded(key)]
        if name in found:
            raise BadInputError(f"throttle {throttle!r}: {key!r}: {name} is given twice")
        if not equals and read is not _switch:
            raise BadInputError(f"throttle {throttle!r}: {key!r} needs a value: '{key}=...'")
        try:
            found[name] = read(value if equals else "on")
        except BadInputError as error:
            raise BadInputError(f"throttle {throttle!r}: {key}: {error}") from error
    return found


def names_option(model: type[ThrottleOptions], text: str) -> bool:
    """Whether a text begins with an option, rightly spelt or with a value."""
    first, equals, _ = text.split(",")[0].partition("=")
    return bool(equals) or _folded(first.strip()) in _readers(model)


def _option(name: str, field: FieldInfo) -> Option:
    unit, described = _unit(name), _described(field)
    return Option(
        name=name,
        short=_short(name),
        meaning=described.meaning,
        default=field.get_default(),
        unit=unit.shown if unit else "",
        allowed=_allowed(field),
        qemu=described.qemu,
    )


def _readers(model: type[ThrottleOptions]) -> dict[str, tuple[str, Reader]]:
    """How an option may be written: its field, and what reads its value."""
    found: dict[str, tuple[str, Reader]] = {}
    for name, field in model.model_fields.items():
        described = _described(field)
        if described.qemu:
            found[_folded(described.qemu)] = (name, _reader(name, field, described.qemu_scale))
        found[name] = (name, _reader(name, field, 1.0))
        unit = _unit(name)
        if unit is not None:
            found[_short(name)] = (name, _reader(name, field, 1.0 if unit.implied else None))
    return found


def _reader(name: str, field: FieldInfo, scale: float | None) -> Reader:
    """Reads the values of a field; ``scale``: of a number without a unit, None where it must have one."""
    if field.annotation is bool:
        return _switch
    if str in (field.annotation, *get_args(field.annotation)):
        return str
    unit = _unit(name)

    def read(text: str) -> OptionValue:
        if _NUMBER.fullmatch(text) and scale is not None:
            value = float(text) * scale
        else:
            value = unit.parse(text) if unit else _number(text)
        if not math.isfinite(value):
            raise BadInputError(f"{text!r} is too large")
        return int(value) if value == int(value) else value

    return read


def _switch(text: str) -> bool:
    if text.casefold() not in _SWITCH:
        raise BadInputError(f"{text!r} is neither on nor off")
    return _SWITCH[text.casefold()]


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise BadInputError(f"{text!r} is not a number")
    return float(text)


def _unit(name: str) -> Unit | None:
    return next((unit for unit in UNITS if name.endswith(unit.suffix)), None)


def _short(name: str) -> str:
    unit = _unit(name)
    return name.removesuffix(unit.suffix) if unit else name


def _folded(spelling: str) -> str:
    return spelling.replace("-", "_").casefold()


def _described(field: FieldInfo) -> Described:
    return next((one for one in field.metadata if isinstance(one, Described)), Described(""))


def _allowed(field: FieldInfo) -> str:
    """The values of a field, as text."""
    if field.annotation is bool:
        return "on, off"
    return ", ".join(text for one in _constraints(field) if (text := _bound(one)))


def _bound(constraint: object) -> str:
    match constraint:
        case annotated_types.Ge(least):
            return f">= {least:g}"
        case annotated_types.Gt(below):
            return f"> {below:g}"
        case annotated_types.Le(most):
            return f"<= {most:g}"
        case annotated_types.Lt(above):
            return f"< {above:g}"
    return ""


def _constraints(field: FieldInfo) -> Iterator[Any]:
    """The bounds of a field, and those inside an optional one."""
    yield from field.metadata
    for part in get_args(field.annotation):
        for inner in getattr(part, "__metadata__", ()):
            yield from inner.metadata if isinstance(inner, FieldInfo) else (inner,)
