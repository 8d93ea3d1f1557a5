"""What a sampler's file says of a value: a constant, a distribution, or parts that have values of their own."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from dqgym.scenario.suites.draw.distributions import log_uniform, log_uniform_int, pick, uniform, whole_number

Law = Literal["uniform", "log_uniform"]
Grain = int | None
"""Values are multiples of this many units; None: any number."""


@dataclass(frozen=True)
class PassTimes:
    """A time as a multiple of the pass time T0, which is known only once memory and link are drawn."""

    count: float


@dataclass(frozen=True)
class Constant:
    """Always the same."""

    value: Hashable

    @property
    def least(self) -> Any:
        """The value."""
        return self.value

    @property
    def most(self) -> Any:
        """The value."""
        return self.value

    def at_most(self, most: int) -> Constant:
        """Itself: the caller has seen to it that the value is no higher."""
        return self

    def draw(self, rng: np.random.Generator) -> Any:
        """The value; nothing is drawn."""
        return self.value


@dataclass(frozen=True)
class Span:
    """Numbers between two bounds, both included.

    Attributes:
        law: uniform, or uniform in the logarithm.
        least: lower bound, in base units.
        most: upper bound.
        grain: 1 for whole numbers; a page for sizes.
        pass_times: the bounds are multiples of T0.
    """

    law: Law
    least: float
    most: float
    grain: Grain = None
    pass_times: bool = False

    def at_most(self, most: int) -> Span:
        """As much of it as is no higher."""
        return replace(self, most=min(self.most, most))

    def draw(self, rng: np.random.Generator) -> Any:
        """A number; ``PassTimes`` where it is a multiple of T0."""
        if self.grain == 1:
            low, high = int(self.least), int(self.most)
            return whole_number(rng, low, high) if self.law == "uniform" else log_uniform_int(rng, low, high)
        bounds = (self.least, self.most)
        value = uniform(rng, bounds) if self.law == "uniform" else log_uniform(rng, bounds)
        if self.grain is not None:
            value = int(value) // self.grain * self.grain
        within = min(max(value, self.least), self.most)  # rounding must not lead out
        return PassTimes(within) if self.pass_times else within


@dataclass(frozen=True)
class Choice:
    """One of several values, all equally likely."""

    options: tuple[Value, ...]

    @property
    def least(self) -> Any:
        """The least of all options; they are numbers."""
        return min(option.least for option in self.options)  # type: ignore[union-attr]

    @property
    def most(self) -> Any:
        """The most of all options; they are numbers."""
        return max(option.most for option in self.options)  # type: ignore[union-attr]

    def at_most(self, most: int) -> Choice:
        """The options, as far as they are no higher."""
        lower = (option for option in self.options if option.least <= most)  # type: ignore[union-attr]
        return Choice(tuple(option.at_most(most) for option in lower))  # type: ignore[union-attr]

    def draw(self, rng: np.random.Generator) -> Any:
        """What one of the options draws."""
        return pick(rng, self.options).draw(rng)


@dataclass(frozen=True)
class Fields:
    """A part of a scenario: the value of each of its fields that is given, in the order of the part's class."""

    entries: tuple[tuple[str, Value], ...]

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """The fields."""
        return {name: value.draw(rng) for name, value in self.entries}


@dataclass(frozen=True)
class Items:
    """A list."""

    items: tuple[Value, ...]

    def draw(self, rng: np.random.Generator) -> list[Any]:
        """Its items."""
        return [item.draw(rng) for item in self.items]


Value = Constant | Span | Choice | Fields | Items
Number = Constant | Span | Choice
"""A value that is a number, whichever is drawn."""


def resolved(drawn: Any, pass_time_s: float) -> Any:
    """What was drawn, with every ``PassTimes`` in seconds."""
    if isinstance(drawn, PassTimes):
        return drawn.count * pass_time_s
    if isinstance(drawn, dict):
        return {key: resolved(value, pass_time_s) for key, value in drawn.items()}
    if isinstance(drawn, list):
        return [resolved(value, pass_time_s) for value in drawn]
    return drawn
