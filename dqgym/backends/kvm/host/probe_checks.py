"""One thing that a host offers or lacks, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The result of a check."""

    OK = "ok"
    MISSING = "missing"
    NOT_NEEDED = "not needed"
    FAILED = "failed"
    """It is there, but does not do what a migration needs."""


@dataclass(frozen=True)
class Check:
    """One thing that a host offers or lacks.

    Attributes:
        name: of the thing.
        state: how it came out.
        detail: what was found.
        remedy: what to do about it, where something is missing or has failed.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""

    @property
    def holds(self) -> bool:
        """False where no migration can run because of this check."""
        return self.state in (State.OK, State.NOT_NEEDED)

    @property
    def line(self) -> str:
        """The fault and its remedy."""
        return f"{self.detail}: {self.remedy}" if self.remedy else self.detail
