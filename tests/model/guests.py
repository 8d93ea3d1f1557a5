"""Guests of a thousand pages or so for the page-exact reference, and migrations that are stepped by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dqgym.backends.reference import ReferenceBackend
from dqgym.scenario import ConstantLink, DirtyLog, Limits, Scenario, VcpuGroup, VirtualMachine
from dqgym.telemetry.command import Command, free_command
from dqgym.telemetry.telemetry import Telemetry, VcpuField, VmField
from tests.model.migrations import NO_COSTS, READERS

PAGE = 4096
NO_LINK = ConstantLink(bandwidth_bytes_per_s=PAGE / 20.0)
"""One page in a quarter of an hour: next to nothing is sent."""


def link(pages_per_s: float, line_pages_per_s: float | None = None) -> ConstantLink:
    line_speed = line_pages_per_s * PAGE if line_pages_per_s else None
    return ConstantLink(bandwidth_bytes_per_s=pages_per_s * PAGE, line_speed_bytes_per_s=line_speed)


def writer(pattern: str, pages: int, pages_per_s: float, **others) -> VcpuGroup:
    return VcpuGroup(
        vcpus=others.pop("vcpus", 1),
        pattern=pattern,
        working_set_bytes=pages * PAGE,
        write_rate_bytes_per_s=pages_per_s * PAGE,
        **others,
    )


def guest(*workload: VcpuGroup, pages: int = 1000, log: str = "bitmap", downtime_s: float = 0.3, **others) -> Scenario:
    """A thousand pages that a hundred pages per second take ten seconds to send, unless said otherwise."""
    return Scenario(
        name="guest",
        vm=others.pop("vm", VirtualMachine(memory_bytes=pages * PAGE)),
        workload=workload or (READERS,),
        link=others.pop("link", link(100.0)),
        limits=Limits(downtime_s=downtime_s, deadline_pass_times=10.0),
        dirty_log=DirtyLog(kind=log, ring_entries=1024, clear_chunk_bytes=PAGE),
        **others,
    )


class Run:
    """A migration that is stepped by hand; ``at`` is its telemetry now."""

    def __init__(self, scenario: Scenario, parameters=NO_COSTS, layout=None, seed: int = 0) -> None:
        self.backend = ReferenceBackend(parameters, vcpu_slots=4, layout=layout)
        self.at: Telemetry = self.backend.start([scenario], [seed])
        self.page = scenario.vm.dirty_granule_bytes

    def command(self, limit_pages_per_s=np.inf, cap=1.0, ring_sleep_s=0.0, pool=False, **switches) -> Command:
        free = free_command(self.backend.facts)
        return replace(
            free,
            dirty_limit_bytes_per_s=np.full((1, 4), limit_pages_per_s * self.page, dtype=np.float32),
            run_share_cap=np.full((1, 4), cap, dtype=np.float32),
            ring_sleep_s=np.full((1, 4), ring_sleep_s, dtype=np.float32),
            share_unclaimed=np.array([pool]),
            **{name: np.array([value]) for name, value in switches.items()},
        )

    def step(self, duration_s: float, **command) -> Telemetry:
        self.at = self.backend.step(self.command(**command), np.array([duration_s]))
        return self.at

    def to_its_end(self, interval_s: float = 1.0, **command):
        while not self.at.done[0]:
            self.step(interval_s, **command)
        return self.backend.outcomes()

    def vcpus(self, field: VcpuField) -> np.ndarray:
        return self.at.vcpu[0, field].astype(float)

    def dirtied(self) -> np.ndarray:
        """[V] pages, in the last interval."""
        return self.vcpus(VcpuField.DIRTIED_BYTES) / self.page

    def vm(self, field: VmField) -> float:
        return float(self.at.vm[0, field])

    def pages(self, field: VmField) -> float:
        return self.vm(field) / self.page
