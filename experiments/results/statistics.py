"""Statistics of paired evaluations over training seeds and scenarios.

As in "Deep reinforcement learning at the edge of the statistical precipice" (Agarwal et al., NeurIPS 2021): the
interquartile mean, the probability of improvement, and 95 % intervals by a stratified bootstrap, which draws training
seeds and, within each suite, scenarios anew. All throttles migrate the same scenarios, so they are compared scenario by
scenario, and a resample draws the same scenarios for all of them.

A *stratum* is one throttle on one suite at one preference: values float64 [S, N] of S training seeds (1 for a baseline)
on N migrations. A resample is how often each seed and each migration is drawn; every statistic is made from these
weights. Replicates, float64 [R], are a statistic in each of the R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dqgym.arrays import BoolArray, FloatArray

RESAMPLES = 2000
"""The ends of a 95 % interval then rest on 50 resamples each."""
TIE = 1e-6
"""Costs that differ by no more are a tie: the last digits depend on the machine, and J is of the order of 1."""
BATCH = 25
"""Resamples computed at a time where each needs an array as large as a stratum."""


class Estimate(NamedTuple):
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Replicated:
    """A statistic and its replicates [R]; what is made of several, is made replicate by replicate."""

    value: float
    replicates: FloatArray

    @classmethod
    def mean(cls, parts: Sequence[Replicated]) -> Replicated:
        """Each part with the same weight."""
        return cls(float(np.mean([part.value for part in parts])), np.mean([part.replicates for part in parts], axis=0))

    def __sub__(self, other: Replicated) -> Replicated:
        return Replicated(self.value - other.value, self.replicates - other.replicates)

    def __truediv__(self, other: Replicated) -> Replicated:
        return Replicated(self.value / other.value, self.replicates / other.replicates)

    @property
    def estimate(self) -> Estimate:
        """With the interval that holds the middle 95 % of the replicates."""
        low, high = np.percentile(self.replicates, (2.5, 97.5))
        return Estimate(self.value, float(low), float(high))


class Bootstrap:
    """The resamples: the same for the same seed and names, whatever else is evaluated.

    A suite's migrations are drawn alike for all throttles and preferences, a throttle's training seeds alike on all
    suites. Migrations of one scenario (repetitions) are drawn together: they are not independent.
    """

    def __init__(self, resamples: int = RESAMPLES, seed: int = 0) -> None:
        self._resamples = resamples
        self._seed = seed
        self._kept: dict[tuple[str, tuple[str, ...]], FloatArray] = {}

    def training_seeds(self, throttle: str, count: int) -> FloatArray:
        """[R, S] weights of a throttle's training seeds; rows add up to 1."""
        return self._weights(f"training seeds of {throttle}", tuple(map(str, range(count))))

    def migrations(self, suite: str, scenarios: Sequence[str]) -> FloatArray:
        """[R, N] weights of a suite's migrations, from the scenario of each; rows add up to 1."""
        return self._weights(f"migrations of {suite}", tuple(scenarios))

    def _weights(self, what: str, members: tuple[str, ...]) -> FloatArray:
        if (what, members) not in self._kept:
            rng = np.random.default_rng([self._seed, *what.encode()])
            distinct, group = np.unique(members, return_inverse=True)
            drawn = rng.multinomial(len(distinct), [1 / len(distinct)] * len(distinct), size=self._resamples)
            weights = drawn[:, group].astype(np.float64)
            self._kept[what, members] = weights / weights.sum(axis=1, keepdims=True)
        return self._kept[what, members]


@dataclass(frozen=True)
class Sample:
    """The values of a stratum and the weights of its resamples.

    Attributes:
        values: [S, N], of S training seeds on N migrations.
        seeds: [R, S] weights; rows add up to 1.
        migrations: [R, N] weights; rows add up to 1.
    """

    values: FloatArray
    seeds: FloatArray
    migrations: FloatArray


def mean(sample: Sample) -> Replicated:
    """Over seeds and migrations."""
    return Replicated(float(sample.values.mean()), _weighted_means(sample.values, sample.seeds, sample.migrations))


def interquartile_mean(sample: Sample) -> Replicated:
    """Mean of the middle half of the values; a value that a quartile cuts counts in part."""
    order = np.argsort(sample.values, axis=None, kind="stable")
    ordered = sample.values.ravel()[order]
    seed_of, migration_of = np.divmod(order, sample.values.shape[1])
    seed_weights, migration_weights = np.ascontiguousarray(sample.seeds.T), np.ascontiguousarray(sample.migrations.T)
    replicates = np.concatenate(
        [
            _middle_half_mean(ordered, migration_weights[:, batch][migration_of] * seed_weights[:, batch][seed_of])
            for batch in _batches(len(sample.seeds))
        ]
    )
    return Replicated(float(_middle_half_mean(ordered, np.full((order.size, 1), 1 / order.size))[0]), replicates)


def ratios(values: FloatArray, opponent: FloatArray) -> FloatArray:
    """[S, N] values over the opponent's [S', N] mean on the same migration."""
    return values / opponent.mean(axis=0)


def mean_ratio(sample: Sample, opponent: Sample) -> Replicated:
    """Mean of the ratios, migration by migration."""
    value = float(ratios(sample.values, opponent.values).mean())
    if len(opponent.values) == 1:
        replicates = _weighted_means(sample.values / opponent.values, sample.seeds, sample.migrations)
    else:
        replicates = np.concatenate(
            [
                np.einsum(
                    "rn,rn->r",
                    sample.migrations[batch],
                    (sample.seeds[batch] @ sample.values) / (opponent.seeds[batch] @ opponent.values),
                )
                for batch in _batches(len(sample.seeds))
            ]
        )
    return Replicated(value, replicates)


def probability_of_improvement(sample: Sample, opponent: Sample) -> Replicated:
    """The chance of a value below the opponent's on the same migration, over all pairs of seeds.

    Ties, values that differ by at most ``TIE``, count half.
    """
    difference = sample.values[:, None] - opponent.values[None]
    wins = ((difference < -TIE) + 0.5 * (np.abs(difference) <= TIE)).reshape(-1, sample.values.shape[1])
    pairs = np.einsum("rs,rt->rst", sample.seeds, opponent.seeds).reshape(len(sample.seeds), -1)
    return Replicated(float(wins.mean()), _weighted_means(wins, pairs, sample.migrations))


def gap_closed(rule: Replicated, method: Replicated, oracle: Replicated) -> Estimate | None:
    """(rule - method) / (rule - oracle) of mean costs; None unless the rule surely costs more than the oracle."""
    gap = rule - oracle
    return ((rule - method) / gap).estimate if gap.estimate.low > 0 else None


def dominated(
    time: FloatArray, runtime: FloatArray, opponent_time: FloatArray, opponent_runtime: FloatArray, margin: float
) -> BoolArray:
    """[S, N] which migrations take longer than the opponent's [S', N] and let the guest run less.

    Against the opponent's means over its seeds, each by more than ``margin``, a share.
    """
    slower = time > opponent_time.mean(axis=0) * (1 + margin)
    return slower & (runtime < opponent_runtime.mean(axis=0) * (1 - margin))


def pareto_front(time: FloatArray, runtime: FloatArray) -> list[int]:
    """Indices of the points [K] to which no other is equal or better in both (less time, more runtime), by time."""
    front: list[int] = []
    for k in np.lexsort((-runtime, time)):
        if not front or runtime[k] > runtime[front[-1]]:
            front.append(int(k))
    return front


def hypervolume(time: FloatArray, runtime: FloatArray, worst_time: float, worst_runtime: float) -> float:
    """The area that the points [K] dominate, up to the worst time and runtime; the larger the better."""
    area, best = 0.0, worst_runtime
    for k in pareto_front(time, runtime):
        if time[k] < worst_time and runtime[k] > best:
            area += float((worst_time - time[k]) * (runtime[k] - best))
            best = float(runtime[k])
    return area


def is_monotone(time: FloatArray, runtime: FloatArray) -> bool:
    """True where time and runtime both grow, or stay, from each preference [K] to the next larger one."""
    return bool((np.diff(time) >= 0).all() and (np.diff(runtime) >= 0).all())


def _weighted_means(values: FloatArray, seeds: FloatArray, migrations: FloatArray) -> FloatArray:
    """[R] means of values [S, N] under weights [R, S] and [R, N]."""
    return np.einsum("rs,rs->r", migrations @ values.T, seeds)


def _middle_half_mean(ordered: FloatArray, weights: FloatArray) -> FloatArray:
    """[R] means of the middle half of values [K], sorted, under weights [K, R] that add up to 1.

    Each value counts with its share of the quantiles .25 .. .75. With u_k the quantile up to which value k reaches, cut
    off to that range, the sum of x_k * (u_k - u_(k-1)) is taken by parts: one pass over the weights less.
    """
    upto = np.clip(np.cumsum(weights, axis=0), 0.25, 0.75)
    return (0.75 * ordered[-1] - 0.25 * ordered[0] - np.diff(ordered) @ upto[:-1]) / 0.5


def _batches(count: int) -> list[slice]:
    return [slice(first, first + BATCH) for first in range(0, count, BATCH)]
