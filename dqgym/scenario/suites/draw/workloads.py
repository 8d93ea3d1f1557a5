"""Workloads that samplers draw: each takes a ``WriteBudget`` and divides its memory and its write rate among vCPUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dqgym.scenario.suites.draw.distributions import Range, log_uniform, pick, split, uniform, whole_number
from dqgym.scenario.vm import BASE_PAGE_BYTES
from dqgym.scenario.workload import Demand, Schedule, VcpuGroup

STATIONARY_MEMORY_SHARE = (0.02, 1.0)
"""Memory that the writers of ``equal_writers`` write to, all together (log-uniform)."""
CLASS_MEMORY_SHARE = (0.002, 0.9)
CLASS_RATE_WEIGHT = (0.1, 1.0)
MOST_CLASSES = 4
"""``unequal_writers``: memory and relative rate of each class of vCPUs (log-uniform), and how many classes."""
NOISY_MEMORY_SHARE = (0.02, 0.9)
NOISY_WRITERS = 2
"""``noisy_neighbours``: memory of all writers together (log-uniform), and how many they are."""


@dataclass(frozen=True)
class HotParts:
    """Hot-cold patterns to draw from: a Zipf law, or a hot part and a cold one, each as often.

    Attributes:
        zipf_skews: ranges of the law's skew (uniform), to pick one from.
        fraction: range of the hot part's share of the working set (uniform).
        share: range of its share of the stores (uniform).
    """

    zipf_skews: tuple[Range, ...] = ((0.4, 1.4),)
    fraction: Range = (0.02, 0.3)
    share: Range = (0.6, 0.98)

    def draw(self, rng: np.random.Generator) -> dict[str, float]:
        """The fields of a ``VcpuGroup`` that are for such a pattern."""
        if pick(rng, ("zipf", "two classes")) == "zipf":
            return {"zipf_skew": uniform(rng, self._skews(rng))}
        return {"hot_fraction": uniform(rng, self.fraction), "hot_share": uniform(rng, self.share)}

    def _skews(self, rng: np.random.Generator) -> Range:
        # A single range takes no draw: what a seed has drawn so far must stay the same.
        return pick(rng, self.zipf_skews) if len(self.zipf_skews) > 1 else self.zipf_skews[0]


HOT_PARTS = HotParts()
OTHER_HOT_PARTS = HotParts(zipf_skews=((0.1, 0.4), (1.4, 2.2)), fraction=(0.3, 0.6))
"""Unlike those: a larger hot part, or a law that is nearly even, or next to a spike."""


@dataclass(frozen=True)
class WriteBudget:
    """The memory and the write rate that a workload divides among its vCPUs, and how its writers are drawn.

    Attributes:
        memory_bytes: that the vCPUs may write to.
        vcpus: how many.
        write_rate_bytes_per_s: of all vCPUs together.
        schedule: draws one for a group.
        patterns: of writers, to pick from.
        demand: of all writers.
        hot_parts: of hot-cold patterns.
    """

    memory_bytes: int
    vcpus: int
    write_rate_bytes_per_s: float
    schedule: Callable[[], Schedule]
    patterns: tuple[str, ...]
    demand: Demand
    hot_parts: HotParts

    def writers(
        self, rng: np.random.Generator, vcpus: int, pattern: str, memory_share: float, rate_share: float
    ) -> VcpuGroup:
        """A group that has these shares of the memory and of the rate, divided equally among its vCPUs."""
        pages = int(self.memory_bytes * memory_share) // vcpus // BASE_PAGE_BYTES
        hot = self.hot_parts.draw(rng) if pattern == "hot-cold" else {}
        return VcpuGroup(
            vcpus=vcpus,
            pattern=pattern,
            working_set_bytes=max(1, pages) * BASE_PAGE_BYTES,
            write_rate_bytes_per_s=self.write_rate_bytes_per_s * rate_share / vcpus,
            demand=self.demand,
            schedule=self.schedule(),
            **hot,
        )


def streaming_writers(rng: np.random.Generator, budget: WriteBudget) -> tuple[VcpuGroup, ...]:
    """All vCPUs write in a sequential loop, to all of the memory."""
    return (budget.writers(rng, budget.vcpus, "sequential", memory_share=1.0, rate_share=1.0),)


def equal_writers(rng: np.random.Generator, budget: WriteBudget) -> tuple[VcpuGroup, ...]:
    """Some vCPUs write, all alike; the others read."""
    writers = whole_number(rng, 1, budget.vcpus)
    share = log_uniform(rng, STATIONARY_MEMORY_SHARE)
    return _with_readers(budget, (budget.writers(rng, writers, pick(rng, budget.patterns), share, rate_share=1.0),))


def unequal_writers(rng: np.random.Generator, budget: WriteBudget) -> tuple[VcpuGroup, ...]:
    """Up to four classes of writers, from tiny working sets to nearly all of the memory."""
    sizes = split(rng, budget.vcpus, whole_number(rng, 1, min(MOST_CLASSES, budget.vcpus)))
    memory = [log_uniform(rng, CLASS_MEMORY_SHARE) for _ in sizes]
    memory_scale = max(1.0, sum(memory))
    weights = [log_uniform(rng, CLASS_RATE_WEIGHT) for _ in sizes]
    return tuple(
        budget.writers(rng, vcpus, pick(rng, budget.patterns), share / memory_scale, weight / sum(weights))
        for vcpus, share, weight in zip(sizes, memory, weights, strict=True)
    )


def noisy_neighbours(rng: np.random.Generator, budget: WriteBudget) -> tuple[VcpuGroup, ...]:
    """Two vCPUs write (one, where there is but one vCPU); all others read."""
    writers = min(NOISY_WRITERS, budget.vcpus)
    share = log_uniform(rng, NOISY_MEMORY_SHARE)
    return _with_readers(budget, (budget.writers(rng, writers, pick(rng, budget.patterns), share, rate_share=1.0),))


def _with_readers(budget: WriteBudget, groups: tuple[VcpuGroup, ...]) -> tuple[VcpuGroup, ...]:
    readers = budget.vcpus - sum(group.vcpus for group in groups)
    return (*groups, VcpuGroup(vcpus=readers, pattern="read-only")) if readers else groups
