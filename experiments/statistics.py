"""Statistics of paired evaluations over training seeds and scenarios.

As in "Deep reinforcement learning at the edge of the statistical precipice" (Agarwal et al., NeurIPS 2021): the
interquartile mean, the probability of improvement, and 95 % intervals by a stratified bootstrap, which draws training
seeds and, within each suite, scenarios anew. All throttles migrate the same scenarios, so ratios are taken scenario by
scenario, and a resample draws the same scenarios for both sides.

Costs are float64 [S, N]: S training seeds (1 for a baseline), N scenarios of one suite at one preference, a *stratum*.
A resample is how often each seed and each scenario is drawn; all statistics are made from these weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dqgym.telemetry.telemetry import FloatArray

RESAMPLES = 2000
"""The ends of a 95 % interval then rest on 50 resamples each."""
BATCH = 50
"""Resamples reckoned at a time, so that memory stays small."""


@dataclass(frozen=True)
class Estimate:
    """A number and the 95 % interval that its resamples fill."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, replicates: FloatArray) -> Estimate:
        """From the number and its values [R] in the resamples."""
        low, high = np.percentile(replicates, (2.5, 97.5))
        return cls(float(value), float(low), float(high))


@dataclass(frozen=True)
class Resamples:
    """How often each seed and each scenario is drawn.

    Attributes:
        seeds: float64 [R, S], rows add up to 1.
        scenarios: float64 [R, N], rows add up to 1.
    """

    seeds: FloatArray
    scenarios: FloatArray


def draw_weights(rng: np.random.Generator, count: int, resamples: int = RESAMPLES) -> FloatArray:
    """float64 [R, count]: shares in which ``count`` things are drawn, with replacement."""
    return rng.multinomial(count, [1.0 / count] * count, size=resamples) / count


def interquartile_mean(values: FloatArray) -> float:
    """Mean of the middle half."""
    flat = values.ravel()
    return float(weighted_iqm(np.sort(flat), np.full((1, flat.size), 1.0 / flat.size))[0])


def weighted_iqm(ordered: FloatArray, weights: FloatArray) -> FloatArray:
    """[R] interquartile means of values [K], sorted, under weights [R, K] that add up to 1."""
    upto = np.cumsum(weights, axis=1)
    inside = np.clip(np.minimum(upto, 0.75) - np.maximum(upto - weights, 0.25), 0.0, None)
    return inside @ ordered / inside.sum(axis=1)


def iqm_replicates(costs: FloatArray, resamples: Resamples) -> FloatArray:
    """[R] interquartile means of costs [S, N] in the resamples."""
    order = np.argsort(costs, axis=None, kind="stable")
    ordered = costs.ravel()[order]
    parts = []
    for first in range(0, len(resamples.seeds), BATCH):
        seeds, scenarios = (weights[first : first + BATCH] for weights in (resamples.seeds, resamples.scenarios))
        weights = (seeds[:, :, None] * scenarios[:, None, :]).reshape(len(seeds), -1)[:, order]
        parts.append(weighted_iqm(ordered, weights))
    return np.concatenate(parts)


def mean_replicates(values: FloatArray, resamples: Resamples) -> FloatArray:
    """[R] means of values [S, N] in the resamples."""
    return np.einsum("rs,sn,rn->r", resamples.seeds, values, resamples.scenarios, optimize=True)


@dataclass(frozen=True)
class StratumComparison:
    """A method against an opponent on one stratum: each statistic, and its replicates [R] under ``..._replicates``.

    Attributes:
        iqm: of the method's costs.
        mean_ratio: mean of the ratios, scenario by scenario.
        ratio_of_means: the method's mean cost over the opponent's.
        improvement: probability that the method's cost is lower; ties count half.
        median: of the ratios; and their 95th percentile.
        percentile_95: see there.
    """

    iqm: float
    mean_ratio: float
    ratio_of_means: float
    improvement: float
    median: float
    percentile_95: float
    replicates: dict[str, FloatArray]


POOLED = ("iqm", "mean_ratio", "ratio_of_means", "improvement")
"""What has replicates."""


def compare_stratum(method: FloatArray, opponent: FloatArray, resamples: Resamples) -> StratumComparison:
    """Costs [S, N] against [N], the opponent's mean over its own seeds."""
    ratios = method / opponent
    better = (method < opponent) + 0.5 * (method == opponent)
    opponent_means = resamples.scenarios @ opponent
    return StratumComparison(
        iqm=interquartile_mean(method),
        mean_ratio=float(ratios.mean()),
        ratio_of_means=float(method.mean() / opponent.mean()),
        improvement=float(better.mean()),
        median=float(np.median(ratios)),
        percentile_95=float(np.percentile(ratios, 95)),
        replicates={
            "iqm": iqm_replicates(method, resamples),
            "mean_ratio": mean_replicates(ratios, resamples),
            "ratio_of_means": mean_replicates(method, resamples) / opponent_means,
            "improvement": mean_replicates(better.astype(np.float64), resamples),
        },
    )


def pooled(strata: Sequence[StratumComparison], name: str) -> Estimate:
    """The mean of a statistic over strata, each of the same weight."""
    value = float(np.mean([getattr(stratum, name) for stratum in strata]))
    return Estimate.of(value, np.mean([stratum.replicates[name] for stratum in strata], axis=0))


def gap_closed(rule: FloatArray, method: FloatArray, oracle: FloatArray, resamples: Resamples) -> Estimate:
    """(rule - method) / (rule - oracle), of mean costs: [N], [S, N], [N]."""
    won = mean_replicates(rule - method, resamples)
    gap = resamples.scenarios @ (rule - oracle)
    value = (rule.mean() - method.mean()) / (rule.mean() - oracle.mean())
    return Estimate.of(float(value), won / gap)


def dominated(time: FloatArray, runtime: FloatArray, time_of: FloatArray, runtime_of: FloatArray, by: float) -> int:
    """How many migrations [S, N] are worse than the opponent's [N] in time and in guest runtime, by this share each."""
    return int(((time > time_of * (1.0 + by)) & (runtime < runtime_of * (1.0 - by))).sum())


def pareto_front(time: FloatArray, runtime: FloatArray) -> list[int]:
    """Indices of the points [K] that no other beats (less time, more runtime), by time."""
    order = sorted(range(len(time)), key=lambda k: (time[k], -runtime[k]))
    front: list[int] = []
    for k in order:
        if not front or runtime[k] > runtime[front[-1]]:
            front.append(k)
    return front


def hypervolume(time: FloatArray, runtime: FloatArray, worst_time: float, worst_runtime: float = 0.0) -> float:
    """The area between the points [K] and the worst (time, runtime): larger is better."""
    area, best = 0.0, worst_runtime
    for k in pareto_front(time, runtime):
        if time[k] < worst_time and runtime[k] > best:
            area += (worst_time - time[k]) * (runtime[k] - best)
            best = float(runtime[k])
    return area


def is_monotone(time: FloatArray, runtime: FloatArray) -> bool:
    """Whether time and runtime both grow, or stay, from each preference [K] to the next."""
    return bool((np.diff(time) >= 0).all() and (np.diff(runtime) >= 0).all())
