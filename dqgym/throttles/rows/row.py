"""A row of the table of throttles: a name, what it does, its options, how it is drawn and what it stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Generic, TypeVar

from dqgym.throttles.base import Throttle
from dqgym.throttles.options import ThrottleOptions
from dqgym.throttles.styles import Style

Options = TypeVar("Options", bound=ThrottleOptions)


class Role(Enum):
    """What a throttle stands for in evaluations and in front of users."""

    RULE = "statistics compare with it; between its cost and the bound's lies what a policy can gain on a rule"
    FALLBACK = "takes over from a policy that fails"
    MAINLINE = "QEMU has it, or was offered it: its maintainers ask how these compare"
    USUAL = "users have it today: a policy that is worse in time and guest runtime would be a step back for them"
    BOUND = "knows the future of the model's migrations: no throttle but a bound of all, run when it is named"


@dataclass(frozen=True)
class ThrottleRow(Generic[Options]):
    """One throttle.

    Attributes:
        name: by which it is asked for, and which its objects have.
        summary: one line on what it does.
        options: what can be chosen of it, with defaults and bounds.
        make: a fresh throttle with these options.
        style: how it is drawn; None: a spare style, always the same one.
        roles: what it stands for.
        tuned: without options it takes those that it was tuned to, which depend on the preference.
        read: makes it of a file that ``dqgym tune`` wrote for it alone, and a preference; None: its options stand in
            such a file, beside those of others.
        source: where its algorithm comes from.
    """

    name: str
    summary: str
    options: type[Options]
    make: Callable[[Options], Throttle]
    style: Style | None = None
    roles: tuple[Role, ...] = ()
    tuned: bool = False
    read: Callable[[Path, float], Throttle] | None = None
    source: str = "dqgym"

    @property
    def takes_preference(self) -> bool:
        """The preference is one of its options."""
        return "preference" in self.options.model_fields
