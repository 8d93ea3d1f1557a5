"""The interface of every throttle: telemetry in, command out, batched over migrations.

Baselines and learned policies are interchangeable wherever a throttle is asked for.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from dqgym.telemetry.command import Command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry


@runtime_checkable
class Surveying(Protocol):
    """A throttle that may want a survey before the migrations.

    Attributes:
        survey: how long; None for none.
    """

    survey: ControlInterval | None


def survey_of(throttle: object) -> ControlInterval | None:
    """The survey that a throttle wants."""
    return throttle.survey if isinstance(throttle, Surveying) else None


@runtime_checkable
class Throttle(Protocol):
    """Maps telemetry to a command for N migrations at a time.

    Attributes:
        name: how reports call it.
        control_interval: how often it wants to be asked.
    """

    name: str
    control_interval: ControlInterval

    def reset(self, facts: Facts) -> None:
        """Start N new migrations; forget the old ones."""
        ...

    def act(self, telemetry: Telemetry) -> Command:
        """The command for the next control interval, given the last one (all zeros right after the start)."""
        ...
