"""Signs of life for logs: where standard error is no terminal, a line at the start, one a minute, one at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

PERIOD_S = 60.0


def to_standard_error(line: str) -> None:
    """Write a line at once; standard error may be gone with whoever read it."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


@dataclass
class ProgressLines:
    """What a command has done, in plain lines, at most one a minute.

    Attributes:
        title: of what is done.
        total: how much there is to do, in ``unit``; 0 where nobody knows.
        unit: of what is counted, in the plural.
        begin: whether there is a first line; without it nothing is said of what takes less than a minute.
        write: takes a line.
        clock: seconds.
    """

    title: str
    total: float = 0
    unit: str = ""
    begin: bool = True
    write: Callable[[str], None] = to_standard_error
    clock: Callable[[], float] = time.monotonic
    _first: float | None = field(default=None, init=False)
    _done: float = field(default=0, init=False)
    _said: int = field(default=0, init=False)

    def __enter__(self) -> ProgressLines:
        self._began_s = self._said_s = self.clock()
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        if self._said and failure is None:  # of a failure or an interruption its own message tells
            self._say(f"ended after {duration(self.clock() - self._began_s)}")

    def update(self, done: float, detail: str = "") -> None:
        """So much is done, of ``total``; says so once a minute.

        The first call says the first line: what fails before it fails in one line. It may be of a resumed work.
        """
        self._done = done
        if self._first is None:
            self._first, self._first_s = done, self.clock()
            if self.begin:
                self._say(f"{self.total:,.0f} {self.unit} to do" if self.total else "begun")
        now_s = self.clock()
        if now_s - self._said_s < PERIOD_S:
            return
        self._said_s = now_s
        self._say(
            ", ".join(filter(None, (f"{duration(now_s - self._began_s)}{self._counted()}", self._left(now_s), detail)))
        )

    def _counted(self) -> str:
        return (
            f", {self._done:,.0f} of {self.total:,.0f} {self.unit} ({self._done / self.total:.0%})"
            if self.total
            else ""
        )

    def _left(self, now_s: float) -> str:
        """What is left at the pace so far; empty where there was none."""
        advanced = self._done - (self._first or 0)
        if not self.total or advanced <= 0:
            return ""
        return f"about {duration((self.total - self._done) * (now_s - self._first_s) / advanced)} left"

    def _say(self, text: str) -> None:
        self._said += 1
        self.write(f"{self.title}: {text}")


def duration(seconds: float) -> str:
    """As people say it: ``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
