"""Quantities with units as text: ``8 GB``, ``640 MiB/s``, ``10 Gbit/s``, ``300 ms``.

Inside the program every quantity is a plain number in a base unit that its name tells (``memory_bytes``,
``bandwidth_bytes_per_s``, ``downtime_s``). Text is parsed exactly, and ``parse(format(x)) == x`` for every x, so that
files can be read and written without drift. Decimal units are powers of 1000 (GB = 10^9 bytes), binary ones of 1024
(MiB = 2^20 bytes). Bytes are whole numbers.

Beside the units that errors list, the spellings of ``dqgym.spellings`` are read: those that mean one thing to everybody
(``32Gi``, ``10 Gbps``, ``10GbE``, ``5 minutes``). What means different things to different people is refused, and the
error names the readings:

* ``128M``, ``10G`` and ``64K`` as sizes: 10^6 bytes to Kubernetes and SI, 2^20 to QEMU. As rates: bits or bytes.
* ``1 KB``: 1000 bytes or 1024. ``8 Gb`` as a size: gigabits by the letter, mostly gigabytes by intent.
* ``1m``: a minute or a thousandth.

An error suggests a unit only where it is another spelling of the same one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from dqgym import spellings
from dqgym.errors import BadInputError

MIB, GIB = 2**20, 2**30

# At most three exponent digits: a longer exponent would only serve to fill the memory.
NUMBER = r"[+-]?(?:\d{1,400}\.?\d{0,400}|\.\d{1,400})(?:[eE][+-]?\d{1,3})?"
# The micro sign and the Greek letter are two characters.
_QUANTITY = re.compile(rf"\s*(?P<number>{NUMBER})\s*(?P<unit>[A-Za-z\u00b5\u03bc][A-Za-z\u00b5\u03bc/]*)?\s*", re.ASCII)
_SHOWN_CHARACTERS = 60


class UnitError(BadInputError):
    """A text is not a quantity of the wanted dimension; the message names the text and the allowed units."""


@dataclass(frozen=True)
class Dimension:
    """A measured quantity and its units.

    Attributes:
        name: for messages.
        units: size of every unit that messages list, in base units.
        written: the units that ``format`` may choose from, preferred ones first, the base unit last.
        example: a valid text.
        aliases: other spellings that mean one thing, by the unit that they stand for.
        ambiguous: spellings that are refused, with what they may mean.
    """

    name: str
    units: Mapping[str, Fraction]
    written: tuple[str, ...]
    example: str
    aliases: Mapping[str, str] = field(default_factory=dict)
    ambiguous: Mapping[str, spellings.Readings] = field(default_factory=dict)

    @property
    def allowed(self) -> str:
        """The accepted units, for messages."""
        return f"allowed units: {', '.join(self.units)} (for example {self.example!r})"

    def size_of(self, unit: str) -> Fraction | None:
        """A unit, however it is spelt, in base units; None where it is none of this dimension."""
        return self.units.get(self.aliases.get(unit, unit))


_BYTE_UNITS = {
    "B": Fraction(1),
    **{f"{prefix}B": Fraction(1000**power) for power, prefix in enumerate(spellings.DECIMAL, start=1)},
    **{f"{prefix}B": Fraction(1024**power) for power, prefix in enumerate(spellings.BINARY, start=1)},
}
_BIT_RATES = {
    "bit/s": Fraction(1, 8),
    **{f"{prefix}bit/s": Fraction(1000**power, 8) for power, prefix in enumerate(spellings.DECIMAL, start=1)},
    **{f"{prefix}bit/s": Fraction(1024**power, 8) for power, prefix in enumerate(spellings.BINARY, start=1)},
}
_WRITTEN_BYTES = ("TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "kB", "B")

BYTES = Dimension("size", _BYTE_UNITS, _WRITTEN_BYTES, "8 GB", spellings.byte_aliases(), spellings.ambiguous_sizes())
RATE = Dimension(
    "rate",
    {f"{unit}/s": size for unit, size in _BYTE_UNITS.items()} | _BIT_RATES,
    tuple(f"{unit}/s" for unit in _WRITTEN_BYTES),
    "640 MiB/s",
    spellings.rate_aliases(),
    spellings.ambiguous_rates(),
)
TIME = Dimension(
    "time",
    {
        "ns": Fraction(1, 10**9),
        "us": Fraction(1, 10**6),
        "ms": Fraction(1, 1000),
        "s": Fraction(1),
        "min": Fraction(60),
        "h": Fraction(3600),
        "d": Fraction(86400),
    },
    ("ms", "us", "s"),
    "300 ms",
    spellings.time_aliases(),
    spellings.AMBIGUOUS_TIMES,
)


def parse_bytes(text: str) -> int:
    """Bytes of a text such as ``"8 GB"``, rounded to whole bytes."""
    return round(_parse(text, BYTES))


def parse_rate(text: str) -> float:
    """Bytes per second of a text such as ``"640 MiB/s"``."""
    return _to_float(text, _parse(text, RATE))


def parse_time(text: str) -> float:
    """Seconds of a text such as ``"300 ms"``."""
    return _to_float(text, _parse(text, TIME))


def format_bytes(size_bytes: int) -> str:
    """The shortest text that ``parse_bytes`` reads as exactly this many bytes."""
    return _format(size_bytes, BYTES)


def format_rate(rate_bytes_per_s: float) -> str:
    """The shortest text that ``parse_rate`` reads as exactly this rate."""
    return _format(rate_bytes_per_s, RATE)


def format_time(time_s: float) -> str:
    """The shortest text that ``parse_time`` reads as exactly this time."""
    return _format(time_s, TIME)


def _parse(text: str, dimension: Dimension) -> Fraction:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(f"{_shown(text)} is not a number followed by a unit; {dimension.allowed}")
    number, unit = match["number"], match["unit"]
    if unit is None:
        raise UnitError(f"{_shown(text)} has no unit; {dimension.allowed}")
    size = dimension.size_of(unit)
    if size is None:
        raise UnitError(f"{_shown(text)}: {_why_not(number, unit, dimension)}; {dimension.allowed}")
    return Fraction(number) * size


def _why_not(number: str, unit: str, dimension: Dimension) -> str:
    """The fault in a unit, and the units that the writer may have meant."""
    if unit in dimension.ambiguous:
        readings = dimension.ambiguous[unit]
        first, second = (f"'{number[:_SHOWN_CHARACTERS]} {unit}'" for unit in readings.instead)
        return f"{readings.why}; write {first} or {second}"
    return f"{unit[:_SHOWN_CHARACTERS]!r} is not a unit of {dimension.name}{_hint(unit, dimension)}"


def _hint(unit: str, dimension: Dimension) -> str:
    """The unit that was meant where only case, or the time of a rate, is missing; nothing is guessed beyond that."""
    known = {**{name: name for name in dimension.units}, **dimension.aliases}
    meant = {known[f"{unit}/s"]} if f"{unit}/s" in known else set()
    for wanted in (unit, f"{unit}/s"):
        meant = meant or {name for spelling, name in known.items() if spelling.casefold() == wanted.casefold()}
    return f" (did you mean {' or '.join(map(repr, sorted(meant)))}?)" if meant else ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}...")


def _to_float(text: str, value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        raise UnitError(f"{_shown(text)} is too large") from None


def _format(value: float, dimension: Dimension) -> str:
    candidates = []
    for unit in dimension.written:
        count = Fraction(value) / dimension.units[unit]
        number = str(count.numerator) if count.denominator == 1 else repr(float(count))
        read_back = Fraction(number) * dimension.units[unit]
        if (round(read_back) if isinstance(value, int) else float(read_back)) == value:
            candidates.append(f"{number} {unit}")
    return min(candidates, key=len)
