"""Spellings of units: one that means one thing is an alias, one that means several is refused with its readings.

Prefixes are decimal or binary as they say (``MB``, ``MiB``), ``b`` is bits and ``B`` is bytes. ``10GbE`` is the nominal
rate of the link, 10 Gbit/s, as a data sheet would have it: what the link's own framing takes is not taken off, as it is
not for any other rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

DECIMAL = ("k", "M", "G", "T", "P")
BINARY = ("Ki", "Mi", "Gi", "Ti", "Pi")
_WORDS = {"k": "kilo", "M": "mega", "G": "giga", "T": "tera", "P": "peta"}
_BINARY_WORDS = {"Ki": "kibi", "Mi": "mebi", "Gi": "gibi", "Ti": "tebi", "Pi": "pebi"}
_POWERS = {prefix: power for power, prefix in enumerate(DECIMAL, start=1)}


@dataclass(frozen=True)
class Readings:
    """Why a spelling is refused.

    Attributes:
        why: what it may mean.
        instead: units that say one thing.
    """

    why: str
    instead: tuple[str, str]


def byte_aliases() -> dict[str, str]:
    """Spellings of sizes: ``MByte``, ``megabytes``, ``Mi`` (Kubernetes)."""
    return dict(_byte_spellings())


def _byte_spellings() -> Iterator[tuple[str, str]]:
    for plain in ("byte", "bytes", "Byte", "Bytes"):
        yield plain, "B"
    for prefix in (*DECIMAL, *BINARY):
        for ending in ("byte", "bytes", "Byte", "Bytes"):
            yield f"{prefix}{ending}", f"{prefix}B"
        word = {**_WORDS, **_BINARY_WORDS}[prefix]
        for ending in ("byte", "bytes"):
            yield f"{word}{ending}", f"{prefix}B"
    for prefix in BINARY:
        yield prefix, f"{prefix}B"


def rate_aliases() -> dict[str, str]:
    """Spellings of rates: bytes or bits with ``/s``, ``/sec`` or ``ps``, ``Mbit`` (tc), ``GbE`` (a nominal rate)."""
    return dict(_rate_spellings())


def _rate_spellings() -> Iterator[tuple[str, str]]:
    sizes = {"B": "B", **byte_aliases(), **{f"{prefix}B": f"{prefix}B" for prefix in (*DECIMAL, *BINARY)}}
    for spelling, unit in sizes.items():
        for per_second in ("/s", "/sec", "/second"):
            yield f"{spelling}{per_second}", f"{unit}/s"
    for prefix in ("M", "G", "T", "P", *BINARY):
        yield f"{prefix}Bps", f"{prefix}B/s"
    yield "kBps", "kB/s"
    for prefix in ("", *DECIMAL, *BINARY, "K"):
        unit = f"{'k' if prefix == 'K' else prefix}bit/s"
        for bits in ("b", "bit", "bits"):
            for per_second in ("/s", "/sec", "/second"):
                yield f"{prefix}{bits}{per_second}", unit
        yield f"{prefix}bps", unit
        if prefix:
            yield f"{prefix}bit", unit
            yield f"{prefix}bits", unit
    for prefix in ("M", "G", "T"):
        yield f"{prefix}bE", f"{prefix}bit/s"


def time_aliases() -> dict[str, str]:
    """Spellings of times."""
    spelt = {
        "ns": ("nsec", "nanosecond", "nanoseconds"),
        "us": ("\u00b5s", "\u03bcs", "usec", "usecs", "microsecond", "microseconds"),
        "ms": ("msec", "msecs", "millisecond", "milliseconds"),
        "s": ("sec", "secs", "second", "seconds"),
        "min": ("mins", "minute", "minutes"),
        "h": ("hr", "hrs", "hour", "hours"),
        "d": ("day", "days"),
    }
    return {spelling: unit for unit, spellings in spelt.items() for spelling in spellings}


def ambiguous_sizes() -> dict[str, Readings]:
    """Sizes that QEMU, Kubernetes and SI read differently, or that are bits by the letter."""
    refused = {}
    for prefix, power in _POWERS.items():
        for letter in {prefix, prefix.upper(), prefix.lower()}:
            why = f"{letter} is 10^{3 * power} bytes in SI and Kubernetes, 2^{10 * power} in QEMU"
            refused[letter] = Readings(why, (f"{prefix}B", f"{prefix.upper()}iB"))
        for letters in {f"{prefix}b", f"{prefix.upper()}b", f"{prefix.lower()}b", f"{prefix.upper()}ib"}:
            why = f"b is bits and B is bytes, and memory is measured in bytes: 8 {prefix}bit are 1 {prefix}B"
            refused[letters] = Readings(why, (f"{prefix}B", f"{prefix.upper()}iB"))
    return {**refused, **_kilobytes("")}


def ambiguous_rates() -> dict[str, Readings]:
    """Rates that say neither bits nor bytes, or not which kilobyte."""
    refused = {}
    for prefix in DECIMAL:
        for letter in {prefix, prefix.upper(), prefix.lower()}:
            for per_second in ("", "/s"):
                why = f"{letter}{per_second} does not say whether bits or bytes are meant"
                refused[f"{letter}{per_second}"] = Readings(why, (f"{prefix}bit/s", f"{prefix}B/s"))
        low = prefix.lower()
        for letters in {f"{low}b/s", f"{low}bps"} - {"kb/s", "kbps"}:
            why = f"{letters} in small letters may be bits or bytes"
            refused[letters] = Readings(why, (f"{prefix}bit/s", f"{prefix}B/s"))
    return {**refused, **_kilobytes("/s"), "KBps": _kilobytes("/s")["KB/s"]}


def _kilobytes(per_second: str) -> dict[str, Readings]:
    why = "KB is 1000 bytes to some and 1024 to others"
    return {f"KB{per_second}": Readings(why, (f"kB{per_second}", f"KiB{per_second}"))}


AMBIGUOUS_TIMES: Mapping[str, Readings] = {
    "m": Readings("m is minutes to some and a thousandth to others", ("min", "ms")),
}
