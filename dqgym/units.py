"""Quantities with units as text: ``8 GB``, ``640 MiB/s``, ``300 ms``.

Inside the program every quantity is a plain number in a base unit that its name tells (``memory_bytes``,
``bandwidth_bytes_per_s``, ``downtime_s``). Text is parsed exactly, and ``parse(format(x)) == x`` for every x, so that
files can be read and written without drift. Decimal units are powers of 1000 (GB = 10^9 bytes), binary ones of 1024
(MiB = 2^20 bytes). Bytes are whole numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from dqgym.errors import BadInputError
from dqgym.names import did_you_mean

MIB = 2**20

# At most three exponent digits: a longer exponent would only serve to fill the memory.
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
_QUANTITY = re.compile(rf"\s*(?P<number>{_NUMBER})\s*(?P<unit>[A-Za-zµ][A-Za-zµ/]*)?\s*")


class UnitError(BadInputError):
    """A text is not a quantity of the wanted dimension; the message names the text and the allowed units."""


@dataclass(frozen=True)
class Dimension:
    """What is measured, and in which units.

    Attributes:
        name: for messages.
        units: size of every accepted unit in base units.
        written: the units that ``format`` may choose from, preferred ones first, the base unit last.
        example: a valid text.
    """

    name: str
    units: Mapping[str, Fraction]
    written: tuple[str, ...]
    example: str

    @property
    def allowed(self) -> str:
        """The accepted units, for messages."""
        return f"allowed units: {', '.join(self.units)} (for example {self.example!r})"


_BYTE_UNITS = {
    "B": Fraction(1),
    **{f"{prefix}B": Fraction(1000 ** (i + 1)) for i, prefix in enumerate("kMGT")},
    **{f"{prefix}iB": Fraction(1024 ** (i + 1)) for i, prefix in enumerate("KMGT")},
}
_BIT_RATES = {f"{prefix}bit/s": Fraction(1000**i, 8) for i, prefix in enumerate(("", "k", "M", "G"))}
_WRITTEN_BYTES = ("TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "kB", "B")

BYTES = Dimension("size", _BYTE_UNITS, _WRITTEN_BYTES, "8 GB")
RATE = Dimension(
    "rate",
    {f"{unit}/s": size for unit, size in _BYTE_UNITS.items()} | _BIT_RATES,
    tuple(f"{unit}/s" for unit in _WRITTEN_BYTES),
    "640 MiB/s",
)
TIME = Dimension(
    "time",
    {
        "us": Fraction(1, 10**6),
        "ms": Fraction(1, 1000),
        "s": Fraction(1),
        "min": Fraction(60),
        "h": Fraction(3600),
    },
    ("ms", "us", "s"),
    "300 ms",
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
        raise UnitError(f"{text!r} is not a number followed by a unit; {dimension.allowed}")
    unit = match["unit"]
    if unit is None:
        raise UnitError(f"{text!r} has no unit; {dimension.allowed}")
    if unit not in dimension.units:
        hint = did_you_mean(unit, dimension.units)
        raise UnitError(f"{text!r}: {unit!r} is not a unit of {dimension.name}{hint}; {dimension.allowed}")
    return Fraction(match["number"]) * dimension.units[unit]


def _to_float(text: str, value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        raise UnitError(f"{text!r} is too large") from None


def _format(value: float, dimension: Dimension) -> str:
    candidates = []
    for unit in dimension.written:
        count = Fraction(value) / dimension.units[unit]
        number = str(count.numerator) if count.denominator == 1 else repr(float(count))
        read_back = Fraction(number) * dimension.units[unit]
        if (round(read_back) if isinstance(value, int) else float(read_back)) == value:
            candidates.append(f"{number} {unit}")
    return min(candidates, key=len)
