"""Random numbers for kernels: splitmix64 (Steele, Lea, Flood 2014), one 64-bit state for each stream.

A stream's numbers depend on its seed alone, so that a migration is the same wherever it stands in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dqgym.jit.compile import routine
from dqgym.jit.fast_math import log

_u = np.uint64
_GAMMA = _u(0x9E3779B97F4A7C15)
_MASK = 2**64 - 1


@routine
def mix(z):  # type: ignore[no-untyped-def]
    """A bijection of 64-bit numbers that makes neighbours unrelated."""
    z = (z ^ (z >> _u(30))) * _u(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> _u(27))) * _u(0x94D049BB133111EB)
    return z ^ (z >> _u(31))


@routine
def next_seed(states, n):  # type: ignore[no-untyped-def]
    """64 random bits from stream ``n``; advances it."""
    states[n] += _GAMMA
    return mix(states[n])


@routine
def uniform(states, n):  # type: ignore[no-untyped-def]
    """A uniform number in [0, 1) from stream ``n``; advances it."""
    return np.float64(next_seed(states, n) >> _u(11)) * (1.0 / 9007199254740992.0)


@routine
def exponential(states, n, mean):  # type: ignore[no-untyped-def]
    """An exponentially distributed number from stream ``n``."""
    return -np.float64(mean) * math.log(1.0 - uniform(states, n))


@routine
def normal(states, n):  # type: ignore[no-untyped-def]
    """A standard normal number from stream ``n`` (Box-Muller), to an error of about 1e-7."""
    radius = math.sqrt(-2.0 * np.float64(log(np.float32(1.0 - uniform(states, n)))))
    return np.float64(radius * cosine_of_turns(uniform(states, n)))


@routine
def cosine_of_turns(turns):  # type: ignore[no-untyped-def]
    """cos(2 pi x) for x in [0, 1), to an error of 1e-9: the Taylor polynomial of the sine of what is left to a quarter.

    The function of libm takes several times as long, most of it for arguments of any size.
    """
    x = 2.0 * math.pi * (0.25 - min(turns, 1.0 - turns))
    z = x * x
    series = 1.0 / 362880.0 - z * (1.0 / 39916800.0 - z * (1.0 / 6227020800.0))
    return x * (1.0 - z * (1.0 / 6.0 - z * (1.0 / 120.0 - z * (1.0 / 5040.0 - z * series))))


def streams(seeds: Iterable[int]) -> NDArray[np.uint64]:
    """uint64 [N]: the state of one stream for each seed (its lowest 64 bits count)."""
    numbers = np.array([int(seed) & _MASK for seed in seeds], dtype=np.uint64)
    mixed: NDArray[np.uint64] = getattr(mix, "py_func", mix)(numbers)  # NumPy's arrays overflow without a word
    return mixed
