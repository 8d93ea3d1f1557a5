"""Workloads that samplers draw: each takes a ``Host`` and divides its memory and its write rate among vCPUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dqgym.scenario.patterns import Pattern
from dqgym.scenario.suites.draw.distributions import log_uniform, pick, split, uniform, whole_number
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
HOT_FRACTION = (0.02, 0.3)
HOT_SHARE = (0.6, 0.98)
ZIPF_SKEW = (0.4, 1.4)
"""Hot-cold writers (uniform)."""
OTHER_HOT_FRACTION = (0.3, 0.6)
OTHER_ZIPF_SKEWS = ((0.1, 0.4), (1.4, 2.2))
"""The same where they shall be unlike those: a larger hot part, or a law that is nearly even, or next to a spike."""


@dataclass(frozen=True)
class Host:
    """What a workload is drawn for.

    Attributes:
        memory_bytes: that the vCPUs may write to.
        vcpus: how many.
        write_rate_bytes_per_s: of all vCPUs together.
        schedule: draws one for a group.
        patterns: of writers, to pick from.
        demand: of all writers.
        hot_part: draws the fields of a ``VcpuGroup`` that are for hot-cold patterns.
    """

    memory_bytes: int
    vcpus: int
    write_rate_bytes_per_s: float
    schedule: Callable[[], Schedule]
    patterns: tuple[Pattern, ...]
    demand: Demand
    hot_part: Callable[[np.random.Generator], dict[str, float]]

    def writers(
        self, rng: np.random.Generator, vcpus: int, pattern: Pattern, memory_share: float, rate_share: float
    ) -> VcpuGroup:
        """A group that has these shares of the memory and of the rate, divided equally among its vCPUs."""
        pages = int(self.memory_bytes * memory_share) // vcpus // BASE_PAGE_BYTES
        hot = self.hot_part(rng) if pattern == "hot-cold" else {}
        return VcpuGroup(
            vcpus=vcpus,
            pattern=pattern,
            working_set_bytes=max(1, pages) * BASE_PAGE_BYTES,
            write_rate_bytes_per_s=self.write_rate_bytes_per_s * rate_share / vcpus,
            demand=self.demand,
            schedule=self.schedule(),
            **hot,
        )


def streaming_writers(rng: np.random.Generator, host: Host) -> tuple[VcpuGroup, ...]:
    """All vCPUs write in a sequential loop, to all of the memory."""
    return (host.writers(rng, host.vcpus, "sequential", memory_share=1.0, rate_share=1.0),)


def equal_writers(rng: np.random.Generator, host: Host) -> tuple[VcpuGroup, ...]:
    """Some vCPUs write, all alike; the others read."""
    writers = whole_number(rng, 1, host.vcpus)
    share = log_uniform(rng, STATIONARY_MEMORY_SHARE)
    return _with_readers(host, (host.writers(rng, writers, pick(rng, host.patterns), share, rate_share=1.0),))


def unequal_writers(rng: np.random.Generator, host: Host) -> tuple[VcpuGroup, ...]:
    """Up to four classes of writers, from tiny working sets to nearly all of the memory."""
    sizes = split(rng, host.vcpus, whole_number(rng, 1, min(MOST_CLASSES, host.vcpus)))
    memory = [log_uniform(rng, CLASS_MEMORY_SHARE) for _ in sizes]
    memory_scale = max(1.0, sum(memory))
    weights = [log_uniform(rng, CLASS_RATE_WEIGHT) for _ in sizes]
    return tuple(
        host.writers(rng, vcpus, pick(rng, host.patterns), share / memory_scale, weight / sum(weights))
        for vcpus, share, weight in zip(sizes, memory, weights, strict=True)
    )


def noisy_neighbours(rng: np.random.Generator, host: Host) -> tuple[VcpuGroup, ...]:
    """Two vCPUs write (one, where there is but one vCPU); all others read."""
    writers = min(NOISY_WRITERS, host.vcpus)
    share = log_uniform(rng, NOISY_MEMORY_SHARE)
    return _with_readers(host, (host.writers(rng, writers, pick(rng, host.patterns), share, rate_share=1.0),))


def _with_readers(host: Host, groups: tuple[VcpuGroup, ...]) -> tuple[VcpuGroup, ...]:
    readers = host.vcpus - sum(group.vcpus for group in groups)
    return (*groups, VcpuGroup(vcpus=readers, pattern="read-only")) if readers else groups


def hot_part(rng: np.random.Generator) -> dict[str, float]:
    """A Zipf law, or a hot part and a cold one."""
    if pick(rng, ("zipf", "two classes")) == "zipf":
        return {"zipf_skew": uniform(rng, ZIPF_SKEW)}
    return {"hot_fraction": uniform(rng, HOT_FRACTION), "hot_share": uniform(rng, HOT_SHARE)}


def other_hot_part(rng: np.random.Generator) -> dict[str, float]:
    """Likewise, with skews that ``hot_part`` never draws."""
    if pick(rng, ("zipf", "two classes")) == "zipf":
        return {"zipf_skew": uniform(rng, pick(rng, OTHER_ZIPF_SKEWS))}
    return {"hot_fraction": uniform(rng, OTHER_HOT_FRACTION), "hot_share": uniform(rng, HOT_SHARE)}
