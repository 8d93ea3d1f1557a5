"""A scenario: everything that decides a migration but the throttle and the seed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from dqgym.errors import BadInputError
from dqgym.scenario.bounds import (
    DEADLINE_ALWAYS_ALLOWED_S,
    DEADLINE_PASS_TIMES,
    LEAST_DEADLINE_PASS_S,
    MOST_DEADLINE_S,
    MOST_LINK_CHANGES,
    MOST_NAME_CHARACTERS,
    PASS_TIME_S,
)
from dqgym.scenario.dirty_log import DirtyLog
from dqgym.scenario.hosts.host import DEFAULT_HOST, Host
from dqgym.scenario.limits import PAUSED_DEADLINES, DeviceWrites, Limits, Span
from dqgym.scenario.link import Link
from dqgym.scenario.record import Record
from dqgym.scenario.vm import VirtualMachine
from dqgym.scenario.workload import MAX_VCPUS, VcpuGroup
from dqgym.units import format_bytes, format_rate


class Scenario(Record):
    """One migration to be made. Frozen and hashable; a bad field is a ``ValueError`` that names it.

    The limits of all fields stand in ``dqgym.scenario.bounds``.

    Attributes:
        name: letters, digits, ``.``, ``_`` and ``-``, at most 100, so that it can be part of a file name.
        vm: memory and page size.
        workload: groups of vCPUs, 1 to 64 vCPUs in all. The working sets of all vCPUs and of the devices, which do
            not overlap, fit into the memory.
        link: bandwidth over time.
        device: writes that are charged to no vCPU.
        limits: downtime, deadline and rounds, and what becomes of a migration that is not done by then.
        dirty_log: how the hypervisor learns which pages were written.
        host: what the hypervisor takes beside the link's bandwidth; None: ``DEFAULT_HOST``.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=MOST_NAME_CHARACTERS)]
    vm: VirtualMachine
    workload: Annotated[tuple[VcpuGroup, ...], Field(min_length=1)]
    link: Link
    device: DeviceWrites = DeviceWrites()
    limits: Limits = Limits()
    dirty_log: DirtyLog = DirtyLog()
    host: Host | None = None

    @property
    def vcpus(self) -> int:
        """Number of vCPUs."""
        return sum(group.vcpus for group in self.workload)

    @property
    def vcpu_groups(self) -> tuple[VcpuGroup, ...]:
        """The group of each vCPU, one entry per vCPU, in order."""
        return tuple(group for group in self.workload for _ in range(group.vcpus))

    @property
    def host_or_default(self) -> Host:
        """The host that it is played on."""
        return self.host or DEFAULT_HOST

    @property
    def last_stage_s(self) -> float:
        """The downtime where nothing is left to send."""
        return self.host_or_default.last_stage_of(self.vm.memory_bytes + self.vm.zero_bytes)

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Nominal bandwidth of the migration: of the link, or of the sender where that is slower."""
        return self.link.nominal_bandwidth_bytes_per_s

    @property
    def ring_bytes(self) -> int:
        """The size of a vCPU's dirty ring, as bytes of pages; QEMU's dirty limit reckons with it."""
        return self.dirty_log.ring_entries * self.vm.dirty_granule_bytes

    @property
    def cleared_ahead(self) -> float:
        """Share of the memory whose dirty log is cleared before it is sent (``DirtyLog.cleared_ahead``)."""
        return self.dirty_log.cleared_ahead(self.vm.memory_bytes, self.vm.dirty_granule_bytes)

    @property
    def ring_entries_lost(self) -> int:
        """Entries of a dirty ring that stay free when it counts as full: the host's, where it says so."""
        own = self.host_or_default.ring_entries_lost
        return self.dirty_log.ring_entries_lost if own is None else own

    @property
    def full_ring_bytes(self) -> int:
        """The bytes of pages that a vCPU's dirty ring holds when it counts as full."""
        return (self.dirty_log.ring_entries - self.ring_entries_lost) * self.vm.dirty_granule_bytes

    @property
    def pass_time_s(self) -> float:
        """T0 = memory / nominal bandwidth."""
        return self.vm.memory_bytes / self.bandwidth_bytes_per_s

    @property
    def deadline_s(self) -> float:
        """The migration has failed when it takes longer, or its guest is paused then."""
        return self._in_seconds(self.limits.deadline, max(self.pass_time_s, LEAST_DEADLINE_PASS_S))

    @property
    def latest_end_s(self) -> float:
        """The migration has ended by then: at its deadline, or, where that pauses the guest, at twice the deadline."""
        return self.deadline_s * (PAUSED_DEADLINES if self.limits.pauses_at_deadline else 1.0)

    def in_seconds(self, span: Span) -> float:
        """A span of the limits in seconds; per GiB means all memory, pages of zeros included."""
        return self._in_seconds(span, self.pass_time_s)

    def _in_seconds(self, span: Span, pass_time_s: float) -> float:
        return span.seconds(self.vm.memory_bytes + self.vm.zero_bytes, pass_time_s)

    @model_validator(mode="after")
    def _rings_hold_something(self) -> Scenario:
        if self.ring_entries_lost >= self.dirty_log.ring_entries:
            raise BadInputError(
                f"host.ring_entries_lost={self.ring_entries_lost} must be less than dirty_log.ring_entries,"
                f" {self.dirty_log.ring_entries}"
            )
        return self

    @model_validator(mode="after")
    def _has_few_enough_vcpus(self) -> Scenario:
        if self.vcpus > MAX_VCPUS:
            raise BadInputError(f"workload has {self.vcpus} vCPUs; allowed: 1 to {MAX_VCPUS}")
        return self

    @model_validator(mode="after")
    def _fits_into_memory(self) -> Scenario:
        memory, page = self.vm.memory_bytes, self.vm.dirty_granule_bytes
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

    @model_validator(mode="after")
    def _ends_in_time(self) -> Scenario:
        pass_time_s = self.pass_time_s
        said = (
            f"the pass time T0, vm.memory / nominal bandwidth of the link, {format_bytes(self.vm.memory_bytes)} /"
            f" {format_rate(self.bandwidth_bytes_per_s)} = {pass_time_s:g} s"
        )
        if not PASS_TIME_S.least <= pass_time_s <= PASS_TIME_S.most:
            raise BadInputError(f"{said}, must be {PASS_TIME_S.allowed}")
        longest_s = max(DEADLINE_PASS_TIMES.most * pass_time_s, DEADLINE_ALWAYS_ALLOWED_S)
        if self.deadline_s > min(longest_s, MOST_DEADLINE_S):
            raise BadInputError(
                f"limits.deadline {self.limits.deadline} makes a deadline of {self.deadline_s:g} s, where {said};"
                f" allowed: at most {MOST_DEADLINE_S:g} s and {DEADLINE_PASS_TIMES.most:g} T0, or a day"
            )
        return self

    @model_validator(mode="after")
    def _link_changes_seldom_enough(self) -> Scenario:
        changes = self.link.changes_until(self.latest_end_s)
        if changes > MOST_LINK_CHANGES:
            raise BadInputError(
                f"link: the bandwidth changes {changes:.3g} times until the deadline, {self.latest_end_s:g} s; allowed:"
                f" at most {MOST_LINK_CHANGES:,} times, so give longer {self.link.paced_by}"
            )
        return self
