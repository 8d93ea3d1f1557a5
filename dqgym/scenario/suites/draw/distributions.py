"""Small random draws on a NumPy generator, all returning plain Python numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Range = tuple[float, float]


def uniform(rng: np.random.Generator, bounds: Range) -> float:
    """Uniform between the bounds."""
    low, high = bounds
    return low + (high - low) * rng.random()


def log_uniform(rng: np.random.Generator, bounds: Range) -> float:
    """Uniform in the logarithm."""
    low, high = bounds
    return math.exp(uniform(rng, (math.log(low), math.log(high))))


def log_uniform_int(rng: np.random.Generator, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, both included, small ones as likely per octave as large ones."""
    return min(high, int(log_uniform(rng, (low, high + 1))))


def whole_number(rng: np.random.Generator, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, both included."""
    return int(rng.integers(low, high, endpoint=True))


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with this probability."""
    return rng.random() < probability


def split(rng: np.random.Generator, total: int, parts: int) -> list[int]:
    """``total`` in ``parts`` whole numbers of at least 1 each."""
    return [1 + int(extra) for extra in rng.multinomial(total - parts, [1.0 / parts] * parts)]


def split_time(rng: np.random.Generator, total_s: float, parts: int) -> tuple[float, ...]:
    """When each of ``parts`` parts of a time begins; their lengths are random, none below a tenth of the mean."""
    shares = 0.1 + 0.9 * rng.dirichlet(np.ones(parts)) * parts
    ends_s = total_s * np.cumsum(shares)[:-1] / parts
    return (0.0, *ends_s.tolist())
