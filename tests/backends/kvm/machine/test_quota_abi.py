"""No machine here has a patched kernel: all of it runs on the simulated one."""

from __future__ import annotations

import errno
import math
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from dqgym.backends.kvm.machine import api
from dqgym.backends.kvm.machine.api import PAGE_BYTES, Kernel
from dqgym.backends.kvm.machine.machine import Machine
from dqgym.backends.kvm.machine.quota_abi import ABIS, FIELD_OFFSET, QUOTA_INTERVAL_S, QuotaAbi, QuotaField, find_abi
from dqgym.scenario import ConstantLink, DirtyLog, Scenario, VcpuGroup, VirtualMachine
from tests.backends.kvm.simulated_kernel import SimulatedKernel, page_aligned

V10, _, _, FIRST = ABIS
BYTES_AND_LIFETIME = pytest.mark.parametrize("abi", [V10, FIRST], ids=lambda abi: abi.name)
PAGES_PER_INTERVAL = 5
LIMIT = PAGES_PER_INTERVAL * PAGE_BYTES / QUOTA_INTERVAL_S


# --- which form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("abi", ABIS, ids=lambda abi: abi.name)
def test_each_form_is_found(abi: QuotaAbi) -> None:
    kernel = SimulatedKernel(quota=abi)
    assert find_abi(kernel) == abi
    assert kernel.open_descriptors == {}


def test_mainline_has_none_whatever_it_says_of_the_number() -> None:
    kernel = SimulatedKernel()
    system = kernel.open()
    assert kernel.ioctl(system, api.CHECK_EXTENSION, V10.capability) == 1
    kernel.close(system)
    assert find_abi(kernel) is None
    assert kernel.asked_for == [236, 228, 227, 224]
    assert kernel.open_descriptors == {}


def test_the_real_kernel_can_be_asked(real_kvm: Kernel) -> None:
    assert find_abi(real_kvm) in (None, *ABIS)


def test_a_kernel_without_virtual_machines_is_an_error() -> None:
    kernel = SimulatedKernel(create_vm_errno=errno.EBUSY)
    with pytest.raises(OSError, match="busy") as caught:
        find_abi(kernel)
    assert caught.value.errno == errno.EBUSY
    assert kernel.open_descriptors == {}


def test_an_answer_that_says_nothing_of_the_number_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = SimulatedKernel()

    def fail(*_: object) -> None:
        raise OSError(errno.EBADF, "bad descriptor")

    monkeypatch.setattr(api, "enable_cap", fail)
    with pytest.raises(OSError, match="bad descriptor"):
        find_abi(kernel)
    assert kernel.open_descriptors == {}


# --- the field --------------------------------------------------------------------------------------------------------


class KernelSide:
    """Counts a run structure down (or up to it), as KVM does."""

    def __init__(self, abi: QuotaAbi) -> None:
        self.run = bytearray(FIELD_OFFSET + 8)
        self.field = QuotaField(abi, self.run)
        self._abi = abi
        self._pages = 0

    @property
    def pages_left(self) -> float:
        if self._abi.counts_lifetime:
            return struct.unpack_from("<Q", self.run, FIELD_OFFSET)[0] - self._pages
        return struct.unpack_from("<q", self.run, FIELD_OFFSET)[0] / PAGE_BYTES

    def dirty(self, pages: int) -> bool:
        """Whether the vCPU leaves with its quota used up."""
        self._pages += pages
        if not self._abi.counts_lifetime:
            left = struct.unpack_from("<q", self.run, FIELD_OFFSET)[0] - pages * PAGE_BYTES
            struct.pack_into("<q", self.run, FIELD_OFFSET, left)
        elif self.pages_left <= 0:
            struct.pack_into("<Q", self.run, 32, self._pages)
        return self.pages_left <= 0


@BYTES_AND_LIFETIME
def test_a_grant_is_what_the_limit_allows_in_an_interval(abi: QuotaAbi) -> None:
    kernel = KernelSide(abi)
    kernel.field.grant(LIMIT)
    assert kernel.field.exit_reason == abi.exit_reason
    assert kernel.pages_left == PAGES_PER_INTERVAL
    assert not kernel.dirty(PAGES_PER_INTERVAL - 1)
    assert kernel.dirty(1)
    assert kernel.field.used_bytes() == PAGES_PER_INTERVAL * PAGE_BYTES
    kernel.field.grant(LIMIT)
    assert kernel.pages_left == PAGES_PER_INTERVAL


@BYTES_AND_LIFETIME
@pytest.mark.parametrize("limit", [0.0, 1.0, PAGE_BYTES / QUOTA_INTERVAL_S - 1.0])
def test_a_grant_is_a_page_at_least(abi: QuotaAbi, limit: float) -> None:
    kernel = KernelSide(abi)
    kernel.field.grant(limit)
    assert kernel.pages_left == 1


@BYTES_AND_LIFETIME
def test_a_grant_is_not_given_twice(abi: QuotaAbi) -> None:
    kernel = KernelSide(abi)
    for _ in range(PAGES_PER_INTERVAL - 1):  # the guest is left for other reasons in between
        kernel.field.grant(LIMIT)
        assert not kernel.dirty(1)
    kernel.field.grant(LIMIT)
    assert kernel.dirty(1)
    assert kernel.field.used_bytes() == PAGES_PER_INTERVAL * PAGE_BYTES


@BYTES_AND_LIFETIME
def test_overshoot_is_charged(abi: QuotaAbi) -> None:
    kernel = KernelSide(abi)
    kernel.field.grant(LIMIT)
    assert kernel.dirty(512)
    assert kernel.field.used_bytes() == 512 * PAGE_BYTES
    kernel.field.grant(LIMIT)
    assert kernel.pages_left == PAGES_PER_INTERVAL  # it has been paid for meanwhile


@BYTES_AND_LIFETIME
def test_a_changed_limit_counts_what_was_dirtied_before(abi: QuotaAbi) -> None:
    kernel = KernelSide(abi)
    kernel.field.grant(LIMIT)
    kernel.dirty(2)
    kernel.field.grant(2 * LIMIT)
    assert kernel.pages_left == 2 * PAGES_PER_INTERVAL - 2
    kernel.field.grant(LIMIT / PAGES_PER_INTERVAL)
    assert kernel.pages_left == -1
    assert kernel.dirty(1)
    assert kernel.field.used_bytes() == 3 * PAGE_BYTES


@BYTES_AND_LIFETIME
def test_no_limit_is_never_used_up_and_is_not_charged_afterwards(abi: QuotaAbi) -> None:
    kernel = KernelSide(abi)
    kernel.field.grant(math.inf)
    assert not kernel.dirty(2**40)
    kernel.field.grant(math.inf)
    assert not kernel.dirty(100)
    kernel.field.grant(LIMIT)
    if not abi.counts_lifetime:
        assert kernel.pages_left == PAGES_PER_INTERVAL
    while not kernel.dirty(1):
        pass
    # A kernel that counts over the lifetime has to be asked first how much that was.
    assert kernel.field.used_bytes() == (0 if abi.counts_lifetime else PAGES_PER_INTERVAL * PAGE_BYTES)
    kernel.field.grant(LIMIT)
    assert kernel.dirty(PAGES_PER_INTERVAL)
    assert kernel.field.used_bytes() == PAGES_PER_INTERVAL * PAGE_BYTES


# --- a machine on a patched kernel ------------------------------------------------------------------------------------

MEMORY_PAGES = 8192
DEMAND_PAGES_PER_S = 12_000.0


def scenario(demand: str) -> Scenario:
    writer = VcpuGroup(
        vcpus=1,
        pattern="sequential",
        working_set_bytes=MEMORY_PAGES // 2 * PAGE_BYTES,
        write_rate_bytes_per_s=DEMAND_PAGES_PER_S * PAGE_BYTES,
        demand=demand,
    )
    return Scenario(
        name="writer-and-reader",
        vm=VirtualMachine(memory_bytes=MEMORY_PAGES * PAGE_BYTES),
        workload=(writer, VcpuGroup(vcpus=1, pattern="read-only")),
        link=ConstantLink(bandwidth_bytes_per_s=1e8),
        dirty_log=DirtyLog(ring_entries=1024),
    )


@contextmanager
def running(kernel: SimulatedKernel, demand: str = "open") -> Iterator[Machine]:
    """A guest whose pages are logged, and have all been sent once; its writer makes up for what it missed."""
    memory = page_aligned(bytes(MEMORY_PAGES * PAGE_BYTES))
    machine = Machine(kernel, scenario(demand), 0, memory, kernel.quota)
    try:
        machine.log.begin()
        machine.log.take(MEMORY_PAGES)
        machine.start()
        yield machine
        machine.free()
        machine.pause(at_boundary=True)
        np.testing.assert_array_equal(machine.counters, machine.issued)  # throttled or not, every store happened once
    finally:
        machine.close()


def throttle(machine: Machine, pages_per_s: float) -> None:
    machine.command([pages_per_s * PAGE_BYTES] * 2, False, [1.0] * 2, [0.0] * 2)


def settled_rate(count: Callable[[], int], wanted: float) -> float:
    """Pages per second, over the first of several windows of time in which a busy host let the guest run enough."""
    rates: list[float] = []
    while len(rates) < 5 and not (rates and rates[-1] == pytest.approx(wanted, rel=0.1)):
        began_s, before = time.monotonic(), count()
        time.sleep(1.0)
        rates.append((count() - before) / (time.monotonic() - began_s))
    return rates[-1]


@pytest.mark.slow
@BYTES_AND_LIFETIME
def test_a_vcpu_dirties_at_its_limit_and_is_kept_out_meanwhile(abi: QuotaAbi) -> None:
    kernel = SimulatedKernel(quota=abi)
    with running(kernel) as machine:
        throttle(machine, 2000.0)
        assert settled_rate(kernel.dirtied_pages, 2000.0) == pytest.approx(2000.0, rel=0.1)
        writer, reader = machine.counts()
        assert kernel.exits(0).count(abi.exit_reason) > 50
        assert writer.quota_exits > 50
        assert writer.halted_s > 0.5
        # Who only reads is not charged, and runs on.
        assert (reader.quota_exits, reader.halted_s) == (0, 0.0)
        assert reader.accesses > 0.3 * reader.demanded
        assert abi.exit_reason not in kernel.exits(1)


@pytest.mark.slow
@BYTES_AND_LIFETIME
def test_a_limit_above_the_demand_keeps_nobody_out(abi: QuotaAbi) -> None:
    kernel = SimulatedKernel(quota=abi)
    with running(kernel, demand="closed") as machine:
        throttle(machine, 2 * DEMAND_PAGES_PER_S)
        time.sleep(0.2)  # its account is full now, and lasts for what a busy host makes it catch up with
        before = machine.counts()[0]
        time.sleep(0.5)
        after = machine.counts()[0]
        assert abi.exit_reason in kernel.exits(0)
        assert (after.quota_exits, after.halted_s) == (before.quota_exits, pytest.approx(before.halted_s, abs=0.1))
        assert after.accesses - before.accesses > 0.3 * (after.demanded - before.demanded)


@pytest.mark.slow
@BYTES_AND_LIFETIME
def test_a_vcpu_without_a_limit_never_exits_and_a_limit_is_met_afterwards(abi: QuotaAbi) -> None:
    kernel = SimulatedKernel(quota=abi)
    with running(kernel) as machine:
        machine.free()
        time.sleep(0.3)
        assert kernel.dirtied_pages() > 100
        assert abi.exit_reason not in kernel.exits(0)
        assert machine.counts()[0].quota_exits == 0
        throttle(machine, 2000.0)
        # What it dirtied before is not held against it.
        assert settled_rate(kernel.dirtied_pages, 2000.0) == pytest.approx(2000.0, rel=0.1)


@pytest.mark.slow
@BYTES_AND_LIFETIME
def test_a_vcpu_pays_for_what_it_overshot(abi: QuotaAbi) -> None:
    kernel = SimulatedKernel(quota=abi, modification_log_entries=64)
    with running(kernel) as machine:
        throttle(machine, 3000.0)
        # A grant is 30 pages, but the processor reports 64 at a time.
        assert settled_rate(kernel.dirtied_pages, 3000.0) == pytest.approx(3000.0, rel=0.1)
        assert kernel.dirtied_pages() / kernel.exits(0).count(abi.exit_reason) > 50


def test_the_capability_is_enabled_on_the_machine_that_runs() -> None:
    kernel = SimulatedKernel(quota=V10)
    with running(kernel):
        assert V10.capability in kernel.asked_for
