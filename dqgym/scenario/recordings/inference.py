"""What a log's rounds say about the guest: how much memory it writes to, and how fast.

A round finds distinct pages, not stores. A guest that writes a working set of W bytes at r bytes/s of run time leaves
min(W, r t) dirty after a round of t seconds when it writes in a loop, and W (1 - exp(-r t / W)) when it writes at
random. Both level off at W: a round that finds as much as one of another length says what W is, but of r only that it
is not less than found / t. Which of the two a guest is, and W and r, are those that miss the rounds by least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dqgym.arrays import FloatArray
from dqgym.scenario.recordings.migration_log import Round

WritePattern = Literal["sequential", "uniform"]
PATTERNS: tuple[WritePattern, ...] = ("sequential", "uniform")
SATURATED = 0.95
"""A round that found this share of the working set, or more, says nothing of the rate but a lower bound."""
STEADY_MISS = 0.1
"""A guest whose rounds are all met within this share, in the mean, writes at one rate."""
LEAST_FOUND_SHARE = 0.02
"""Of the largest round: shorter ones are the last of a migration that converges, and are rounded the most."""
_SETS = np.geomspace(1.0, 20.0, 61)
_RATES = np.geomspace(0.5, 50.0, 241)
"""Candidates, relative to the largest find, and to the fastest one."""


@dataclass(frozen=True)
class Demand:
    """How a guest writes, all of its vCPUs together.

    Attributes:
        pattern: of its writes.
        working_set_bytes: what it writes to.
        rate_bytes_per_s: stores while it runs: the highest rate where it changes.
        rate_is_least: the log shows that it is no less, not that it is no more.
        set_is_least: the same of the working set.
        set_is_known: it was told, not inferred.
        miss: mean relative difference between what the rounds found and what this guest would leave.
        factors: [K] the rate from each of ``times_s`` on, relative to the highest; empty where it is steady.
        times_s: [K] of the factors.
        rounds: how many rounds this was taken from.
    """

    pattern: WritePattern
    working_set_bytes: float
    rate_bytes_per_s: float
    rate_is_least: bool
    set_is_least: bool
    miss: float
    rounds: int
    set_is_known: bool = False
    factors: tuple[float, ...] = ()
    times_s: tuple[float, ...] = ()


def infer_demand(
    rounds: Sequence[Round], most_set_bytes: float, known_set_bytes: float | None = None, in_a_loop: bool = False
) -> Demand | None:
    """The guest behind some rounds; None where they found nothing.

    Args:
        rounds: of a log.
        most_set_bytes: the memory that it can write to.
        known_set_bytes: the working set, where it is known beforehand.
        in_a_loop: the guest is known to write in a loop.
    """
    largest = max((one.found_bytes for one in rounds), default=0.0)
    told = [one for one in rounds if one.found_bytes > LEAST_FOUND_SHARE * largest and one.run_s > 0]
    if not told:
        return None
    found = np.array([one.found_bytes for one in told])
    run_s = np.array([one.run_s for one in told])
    patterns = ("sequential",) if in_a_loop else PATTERNS
    fits = [_fitted(pattern, found, run_s, most_set_bytes, known_set_bytes) for pattern in patterns]
    best = min(fits, key=lambda fit: fit.miss)  # the loop where both are alike
    return best if best.miss <= STEADY_MISS or len(told) < 3 else _changing(best, told)


def demand_of_resent(sent_bytes: float, memory_bytes: float, time_s: float) -> Demand | None:
    """A guest of which only is known how much was sent beyond its memory; None where nothing was.

    Rounds of a guest that dirties a share x of what is sent are M, x M, x^2 M, ...: M x / (1 - x) beyond the memory M.
    """
    resent_bytes = sent_bytes - memory_bytes
    if resent_bytes <= LEAST_FOUND_SHARE * memory_bytes:
        return None
    share = resent_bytes / sent_bytes
    return Demand(
        "sequential",
        memory_bytes,
        share * sent_bytes / time_s,
        rate_is_least=True,
        set_is_least=True,
        miss=1.0,
        rounds=0,
    )


def _loop(working_set: FloatArray, stored: FloatArray) -> FloatArray:
    return np.minimum(working_set, stored)


def _random(working_set: FloatArray, stored: FloatArray) -> FloatArray:
    dirty: FloatArray = working_set * -np.expm1(-stored / working_set)
    return dirty


_LEFT_DIRTY: dict[WritePattern, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "sequential": _loop,
    "uniform": _random,
}
"""What stores leave dirty of a working set, both in bytes."""


def _fitted(
    pattern: WritePattern, found: FloatArray, run_s: FloatArray, most_set: float, known_set: float | None
) -> Demand:
    """The steady guest of a pattern that misses the rounds by least; of those that do so alike, the smallest."""
    most_set = max(most_set, found.max())
    sets = np.unique(np.minimum(found.max() * _SETS, most_set)) if known_set is None else np.array([known_set])
    rates = (found / run_s).max() * _RATES
    left = _LEFT_DIRTY[pattern](sets[:, None, None], rates[None, :, None] * run_s)
    misses = np.abs(left / found - 1.0).mean(axis=-1)
    # The first of those next to the least: small sets and low rates, which are all that the rounds prove.
    set_index, rate_index = np.argwhere(misses <= misses.min() + 1e-3)[0]
    working_set, rate = float(sets[set_index]), float(rates[rate_index])
    full = left[set_index, rate_index] >= SATURATED * working_set
    return Demand(
        pattern,
        working_set,
        rate,
        rate_is_least=bool(full.all()),
        set_is_least=known_set is None and not full.any() and working_set < most_set,
        miss=float(misses[set_index, rate_index]),
        rounds=len(found),
        set_is_known=known_set is not None,
    )


def _changing(steady: Demand, rounds: Sequence[Round]) -> Demand:
    """A guest in a loop whose rate is another in every round; a round that is full has the rate of the last that is
    not, or more where that would not fill it."""
    working_set = max(steady.working_set_bytes, *(one.found_bytes for one in rounds))
    rates, known = [], 0.0
    for one in rounds:
        rate = one.found_bytes / one.run_s
        full = one.found_bytes >= SATURATED * working_set
        known = max(rate, known) if full else rate
        rates.append(known)
    highest = max(rates)
    left = np.minimum(working_set, np.array(rates) * [one.run_s for one in rounds])
    return Demand(
        "sequential",
        working_set,
        highest,
        rate_is_least=all(one.found_bytes >= SATURATED * working_set for one in rounds),
        set_is_least=steady.set_is_least,
        miss=float(np.abs(left / [one.found_bytes for one in rounds] - 1.0).mean()),
        rounds=len(rounds),
        set_is_known=steady.set_is_known,
        factors=tuple(rate / highest for rate in rates),
        times_s=(0.0, *(one.start_s for one in rounds[1:])),
    )
