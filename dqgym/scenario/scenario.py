"""A scenario: everything that decides a migration but the throttle and the seed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from dqgym.errors import BadInputError
from dqgym.scenario.dirty_log import DirtyLog
from dqgym.scenario.limits import DeviceWrites, Limits
from dqgym.scenario.link import Link
from dqgym.scenario.record import Record
from dqgym.scenario.vm import VirtualMachine
from dqgym.scenario.workload import MAX_VCPUS, VcpuGroup
from dqgym.units import format_bytes


class Scenario(Record):
    """What is migrated. Frozen and hashable; a bad field is a ``ValueError`` that names it.

    Attributes:
        name: letters, digits, ``.``, ``_`` and ``-``, so that it can be part of a file name.
        vm: memory and page size.
        workload: groups of vCPUs, 1 to 64 vCPUs in all. The working sets of all vCPUs and of the devices, which do
            not overlap, fit into the memory.
        link: bandwidth over time.
        device: writes that are charged to no vCPU.
        limits: downtime and deadline.
        dirty_log: how the hypervisor learns which pages were written.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    vm: VirtualMachine
    workload: Annotated[tuple[VcpuGroup, ...], Field(min_length=1)]
    link: Link
    device: DeviceWrites = DeviceWrites()
    limits: Limits = Limits()
    dirty_log: DirtyLog = DirtyLog()

    @property
    def vcpus(self) -> int:
        """Number of vCPUs."""
        return sum(group.vcpus for group in self.workload)

    @property
    def vcpu_groups(self) -> tuple[VcpuGroup, ...]:
        """The group of each vCPU, one entry per vCPU, in order."""
        return tuple(group for group in self.workload for _ in range(group.vcpus))

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Nominal bandwidth of the link."""
        return self.link.nominal_bandwidth_bytes_per_s

    @property
    def ring_bytes(self) -> int:
        """What a vCPU's dirty ring holds."""
        return self.dirty_log.ring_entries * self.vm.page_bytes

    @property
    def pass_time_s(self) -> float:
        """T0 = memory / nominal bandwidth."""
        return self.vm.memory_bytes / self.bandwidth_bytes_per_s

    @property
    def deadline_s(self) -> float:
        """The migration has failed when it takes longer."""
        return self.limits.deadline_pass_times * self.pass_time_s

    @model_validator(mode="after")
    def _has_few_enough_vcpus(self) -> Scenario:
        if self.vcpus > MAX_VCPUS:
            raise BadInputError(f"workload has {self.vcpus} vCPUs; allowed: 1 to {MAX_VCPUS}")
        return self

    @model_validator(mode="after")
    def _fits_into_memory(self) -> Scenario:
        memory, page = self.vm.memory_bytes, self.vm.page_bytes
        if memory < page:
            raise BadInputError(f"memory {format_bytes(memory)} is smaller than a page of {format_bytes(page)}")
        written = [(group.vcpus, group.working_set_bytes) for group in self.workload if group.writes]
        written += [(1, self.device.working_set_bytes)] if self.device.working_set_bytes else []
        for _, working_set in written:
            if working_set < page:
                raise BadInputError(
                    f"working set {format_bytes(working_set)} is smaller than a page of {format_bytes(page)}"
                )
        total = sum(vcpus * working_set for vcpus, working_set in written)
        if total > memory:
            raise BadInputError(
                f"the working sets of all vCPUs and devices, {format_bytes(total)}, exceed the memory,"
                f" {format_bytes(memory)}"
            )
        return self
