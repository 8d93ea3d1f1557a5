"""Seeded samplers: one recipe for each, made of workloads, schedules and links.

Unless a recipe says otherwise: memory log-uniform in 1 .. 512 GB, 1 .. 32 vCPUs (log-uniform), bandwidth log-uniform
in 64 .. 2560 MiB/s. The pressure l/B (full write rate of all vCPUs over the nominal bandwidth) is log-uniform in the
range that each recipe states.

``large``, ``other-links`` and ``other-patterns`` are for policies that were trained without them: each is ``mixed`` but
for one respect (sizes; links; schedules and hot parts), in which it has nothing that another sampler draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dqgym.scenario.limits import DeviceWrites
from dqgym.scenario.link import Link
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.suites.draw.distributions import Range, chance, log_uniform, log_uniform_int, pick
from dqgym.scenario.suites.draw.links import (
    capped_link,
    constant_link,
    markov_link,
    ornstein_uhlenbeck_link,
    outage_link,
    stairs_link,
    steps_link,
    trace_link,
)
from dqgym.scenario.suites.draw.schedules import bursty, jittered, other_bursty, other_phased, phased, recorded, steady
from dqgym.scenario.suites.draw.workloads import (
    HOT_PARTS,
    OTHER_HOT_PARTS,
    HotParts,
    WriteBudget,
    equal_writers,
    noisy_neighbours,
    streaming_writers,
    unequal_writers,
)
from dqgym.scenario.suites.suite import SampledSuite
from dqgym.scenario.vm import VirtualMachine, whole_pages
from dqgym.scenario.workload import Schedule, VcpuGroup

MEMORY_BYTES: Range = (1e9, 512e9)
STREAMING_MEMORY_BYTES: Range = (8e9, 512e9)
BANDWIDTH_BYTES_PER_S: Range = (64 * 2**20, 2560 * 2**20)
MOST_VCPUS = 32
DEVICE_PRESSURE: Range = (0.005, 0.1)
"""Rate of device writes over the nominal bandwidth (log-uniform)."""
DEVICE_MEMORY_SHARE: Range = (0.001, 0.05)
"""Memory that device writes go to (log-uniform)."""


@dataclass(frozen=True)
class Recipe:
    """From what a sampler makes its scenarios; of each tuple it picks one entry, all equally likely.

    Attributes:
        pressure: range of l/B.
        workloads: how memory and write rate are divided among the vCPUs.
        patterns: of the writers.
        schedules: of each group of writers.
        links: kinds of bandwidth.
        memory_bytes: range.
        fewest_vcpus: lower end of the range of vCPUs (as far as the caller's cap allows).
        device_chance: how often there are device writes.
        open_demand_chance: how often the demand is open.
        hot_parts: of hot-cold patterns.
    """

    pressure: Range
    workloads: tuple[Callable[[np.random.Generator, WriteBudget], tuple[VcpuGroup, ...]], ...]
    patterns: tuple[str, ...] = ("sequential", "uniform")
    schedules: tuple[Callable[[np.random.Generator, float], Schedule], ...] = (steady,)
    links: tuple[Callable[[np.random.Generator, float, float], Link], ...] = (constant_link,)
    memory_bytes: Range = MEMORY_BYTES
    fewest_vcpus: int = 1
    device_chance: float = 0.0
    open_demand_chance: float = 0.0
    hot_parts: HotParts = HOT_PARTS

    def scenario(self, rng: np.random.Generator, name: str, most_vcpus: int) -> Scenario:
        """One scenario."""
        vm = VirtualMachine(memory_bytes=whole_pages(log_uniform(rng, self.memory_bytes)))
        bandwidth = log_uniform(rng, BANDWIDTH_BYTES_PER_S)
        link = pick(rng, self.links)(rng, bandwidth, vm.memory_bytes / bandwidth)
        nominal = link.nominal_bandwidth_bytes_per_s
        pass_time_s = vm.memory_bytes / nominal
        device = _device_writes(rng, vm, nominal) if chance(rng, self.device_chance) else DeviceWrites()
        budget = WriteBudget(
            memory_bytes=vm.memory_bytes - device.working_set_bytes,
            vcpus=log_uniform_int(rng, min(self.fewest_vcpus, most_vcpus), most_vcpus),
            write_rate_bytes_per_s=nominal * log_uniform(rng, self.pressure),
            schedule=lambda: pick(rng, self.schedules)(rng, pass_time_s),
            patterns=self.patterns,
            demand="open" if chance(rng, self.open_demand_chance) else "closed",
            hot_parts=self.hot_parts,
        )
        workload = pick(rng, self.workloads)(rng, budget)
        return Scenario(name=name, vm=vm, workload=workload, link=link, device=device)


def _device_writes(rng: np.random.Generator, vm: VirtualMachine, bandwidth_bytes_per_s: float) -> DeviceWrites:
    return DeviceWrites(
        rate_bytes_per_s=bandwidth_bytes_per_s * log_uniform(rng, DEVICE_PRESSURE),
        working_set_bytes=whole_pages(vm.memory_bytes * log_uniform(rng, DEVICE_MEMORY_SHARE)),
    )


def _sampler(name: str, description: str, recipe: Recipe, most_vcpus: int = MOST_VCPUS) -> SampledSuite:
    return SampledSuite(name=name, description=description, sample=recipe.scenario, most_vcpus=most_vcpus)


MIXED = Recipe(
    pressure=(0.05, 1000.0),
    workloads=(streaming_writers, equal_writers, unequal_writers, noisy_neighbours),
    patterns=("sequential", "uniform", "hot-cold"),
    schedules=(steady, phased, bursty),
    links=(constant_link, capped_link, steps_link, markov_link, ornstein_uhlenbeck_link),
    device_chance=0.25,
    open_demand_chance=0.25,
)
PHASES = Recipe(pressure=(1.0, 50.0), workloads=(equal_writers, streaming_writers), schedules=(phased,))

SAMPLERS = (
    _sampler(
        "stationary",
        "Equal writers at a steady rate (l/B 0.1 to 100), the other vCPUs read; constant bandwidth.",
        Recipe(pressure=(0.1, 100.0), workloads=(equal_writers,)),
    ),
    _sampler(
        "streaming",
        "Sequential loops over all of memory, 8 to 512 GB, by all of 1 to 32 vCPUs (l/B 0.05 to 1000); constant"
        " bandwidth.",
        Recipe(pressure=(0.05, 1000.0), workloads=(streaming_writers,), memory_bytes=STREAMING_MEMORY_BYTES),
    ),
    _sampler(
        "working-sets",
        "Up to four classes of vCPUs with working sets from tiny to nearly all of memory (l/B 1 to 100); constant"
        " bandwidth.",
        Recipe(pressure=(1.0, 100.0), workloads=(unequal_writers,)),
    ),
    _sampler(
        "phases",
        "Writers that are busy and quiet in turn, with periods of 0.4 to 4 pass times (l/B 1 to 50 when busy);"
        " constant bandwidth.",
        PHASES,
    ),
    _sampler(
        "phases-jittered",
        "As phases, but periods vary by up to 50 %.",
        replace(PHASES, schedules=(jittered,)),
    ),
    _sampler(
        "bandwidth-steps",
        "Steady writers (l/B 0.3 to 30) on a link that changes between its full bandwidth and a third of it, in turn"
        " or at random.",
        Recipe(
            pressure=(0.3, 30.0),
            workloads=(equal_writers, unequal_writers),
            links=(steps_link, markov_link),
        ),
    ),
    _sampler(
        "noisy-neighbour",
        "Two writers (l/B 1 to 100) among 32 vCPUs that read; constant bandwidth.",
        Recipe(pressure=(1.0, 100.0), workloads=(noisy_neighbours,), fewest_vcpus=MOST_VCPUS),
    ),
    _sampler(
        "mixed",
        "The workloads, schedules and links of the samplers before it in any combination (l/B 0.05 to 1000), but for"
        " jittered phases; with hot-cold patterns, bursts, device writes, open demand and wandering bandwidth.",
        MIXED,
    ),
    _sampler(
        "medium",
        "As mixed, with 1 to 256 GB and 1 to 32 vCPUs: what a policy sees that is to be tried on `large`.",
        replace(MIXED, memory_bytes=(1e9, 256e9)),
    ),
    _sampler(
        "large",
        "As mixed, with 256 to 1024 GB and 33 to 64 vCPUs: sizes for a policy that was trained on smaller ones.",
        replace(MIXED, memory_bytes=(256e9, 1024e9), fewest_vcpus=33),
        most_vcpus=64,
    ),
    _sampler(
        "other-links",
        "As mixed, on links that it has none of: recordings, stairs of 3 to 6 levels, short outages.",
        replace(MIXED, links=(trace_link, stairs_link, outage_link)),
    ),
    _sampler(
        "other-patterns",
        "As mixed, with rates and skews that it has none of: recorded rates, peaks in very short or very long periods"
        " on a base of 20 to 60 %, nearly even and spiky hot-cold patterns; open demand as often as closed.",
        replace(
            MIXED,
            patterns=("sequential", "hot-cold"),
            schedules=(recorded, other_phased, other_bursty),
            hot_parts=OTHER_HOT_PARTS,
            open_demand_chance=0.5,
        ),
    ),
)
