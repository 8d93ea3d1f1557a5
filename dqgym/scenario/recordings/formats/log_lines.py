"""Lines of text logs: those that a pattern fits, and the numbers with units in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dqgym.files import read_text
from dqgym.scenario.bounds import MOST_ENTRIES
from dqgym.scenario.recordings.qemu_runs import MOST_NUMBER, RecordingError

NUMBER = r"\d{1,18}(?:\.\d{1,9})?"
_UNITS = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T"))}
SIZE = rf"({NUMBER}) ?([KMGT]?)(?:iB|B)"
"""A size: two groups, for ``size_bytes``. Logs that write ``MB`` here mean powers of 1024 like those with ``MiB``."""
_CLOCK = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,6})?)")


@dataclass(frozen=True)
class LogLine:
    """One line of a log.

    Attributes:
        number: from 1.
        text: without its end.
    """

    number: int
    text: str

    def clock_s(self) -> float | None:
        """The time of day and date that the line begins with, in seconds; None where it has none."""
        found = _CLOCK.search(self.text[:40])
        if found is None:
            return None
        try:
            return datetime.fromisoformat(found[1].replace(",", ".")).timestamp()
        except ValueError:
            return None


def log_lines(path: Path) -> Iterator[LogLine]:
    """The lines of a log. RecordingError where it cannot be read, or has more lines than are read."""
    lines = read_text(path, "the log", error=RecordingError).splitlines()
    if len(lines) > 10 * MOST_ENTRIES:
        raise RecordingError(f"{path}: {len(lines):,} lines, at most {10 * MOST_ENTRIES:,} are read")
    for number, text in enumerate(lines, start=1):
        yield LogLine(number, text)


def size_bytes(number: str, unit: str) -> float:
    """The two groups of ``SIZE`` in bytes."""
    return float(number) * _UNITS[unit]


def number_in(value: str, place: str, what: str) -> float:
    """A number of a log. RecordingError where it is none that a migration can have."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= MOST_NUMBER:
        raise RecordingError(f"{place}: {what}: {value[:40]!r} is not a number from 0")
    return number
