"""A kernel without /dev/kvm: plays the guest's batches itself, and does of KVM what a migration can tell from outside.

It reads a batch from the vCPU's command pages, counts in the memory behind the slots, notes first stores in the dirty
ring, and leaves with the exits of the real one; optionally with those of the dirty-quota patches, in any of their
forms. Registers say how far a batch is, so that another machine can go on with it. As on the real one:

* Without a log of its own (``modification_log_entries`` 0) the processor faults at a first store: the page is dirty and
  in the ring, then the ring or the quota is found used up, and the store itself comes after the exit. So a page at
  which a ring is full is in the ring twice, once before the exit and once after the reset.
* With such a log (Intel: 512 entries) stores run on, and ring and quota learn of them when the log is full or the guest
  is left: both are overshot.
* A vCPU whose thread has a pending kick, or that is to exit at once, is not entered: EINTR. An ``out`` is completed by
  the next KVM_RUN.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
import struct
import threading
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dqgym.backends.kvm.machine import api, guest
from dqgym.backends.kvm.machine.api import PAGE_BYTES
from dqgym.backends.kvm.machine.quota_abi import FIELD_OFFSET, QuotaAbi
from dqgym.backends.kvm.machine.ring import RESERVED_ENTRIES, RING_ENTRY

LONGEST_SPIN_S = 2.0
_RUN_BYTES = 3 * PAGE_BYTES
_RING_OFFSET = 64 * PAGE_BYTES
_MOST_RING_BYTES = 65536 * RING_ENTRY.itemsize
_COUNT_AND_QUOTA_OFFSET = 32
_PRE_FAULT_MEMORY = 236
"""Mainline's capability of the number that v10 of the dirty-quota patches has."""
_SPIN = bytes.fromhex("48ffc9 75fb")
_DIRTY, _RESET = 1, 2
_CODE_OFFSET = {
    "next batch": 0,
    **{
        name: len(bytes.fromhex("".join(code for code, _ in guest.LISTING[:index])))
        for name, index in (("store", 6), ("load", 13), ("done", 19))
    },
}
"""Of the guest's labels."""


class SimulatedKernel:
    """Stands in for ``api.Kernel``.

    Args:
        quota: the form of the dirty-quota patches that it has; None: it is mainline.
        modification_log_entries: of the processor's own log; 0: it has none.
        open_errno: why /dev/kvm cannot be opened; 0: it can.
        create_vm_errno: why there is no virtual machine; 0: there is one.
        api_version: of KVM.
        has_ring: whether there is a dirty ring.
        has_acquire_release: whether the ring has its second capability, too (Linux 6.1).
        has_immediate_exit: whether a vCPU can be kept out.

    Attributes:
        open_descriptors: that were opened or created, and not closed.
        asked_for: capabilities that were to be enabled, in order.
        most_protected: at most so many entries does one reset protect again; None: all (Linux 6.17 with a pending
            signal takes fewer).
        forgotten_pages: do not enter the ring.
        never_done: a guest stays in until it is kicked.
        ends_with: an exit reason instead of that of the ``out``.
    """

    def __init__(
        self,
        *,
        quota: QuotaAbi | None = None,
        modification_log_entries: int = 0,
        open_errno: int = 0,
        create_vm_errno: int = 0,
        api_version: int = api.API_VERSION,
        has_ring: bool = True,
        has_acquire_release: bool = True,
        has_immediate_exit: bool = True,
    ) -> None:
        self.quota = quota
        self.modification_log_entries = modification_log_entries
        self.reserved_entries = RESERVED_ENTRIES + modification_log_entries
        self.open_descriptors: dict[int, str] = {}
        self.asked_for: list[int] = []
        self.most_protected: int | None = None
        self.forgotten_pages: frozenset[int] = frozenset()
        self.never_done = False
        self.ends_with = api.EXIT_IO
        self._open_errno = open_errno
        self._create_vm_errno = create_vm_errno
        self._extensions = {
            9: 2,
            api.CAP_MAX_VCPUS: 1024,
            api.CAP_IMMEDIATE_EXIT: int(has_immediate_exit),
            api.CAP_DIRTY_LOG_RING: _MOST_RING_BYTES * has_ring,
            api.CAP_DIRTY_LOG_RING_ACQ_REL: _MOST_RING_BYTES * (has_ring and has_acquire_release),
            _PRE_FAULT_MEMORY: 1,
        }
        if quota is not None:
            self._extensions[quota.capability] = 1
        self._api_version = api_version
        self._vms: dict[int, _Vm] = {}
        self._vcpus: dict[int, _Vcpu] = {}
        self._next_descriptor = 1000
        self._lock = threading.Lock()

    # --- KernelApi ----------------------------------------------------------------------------------------------------

    def open(self) -> int:
        if self._open_errno:
            raise OSError(self._open_errno, os.strerror(self._open_errno), api.DEVICE)
        return self._new_descriptor("system")

    def ioctl(self, descriptor: int, request: int, argument: int | ctypes.Structure = 0) -> int:
        kind = self.open_descriptors.get(descriptor)
        if kind is None:
            raise _error(errno.EBADF)
        with self._lock:
            match kind:
                case "system":
                    return self._system_ioctl(request, argument)
                case "vm":
                    return self._vm_ioctl(self._vms[descriptor], request, argument)
                case _:
                    return self._vcpus[descriptor].ioctl(request, argument)

    def run(self, vcpu: int) -> int:
        if vcpu not in self.open_descriptors:
            return errno.EBADF
        one = self._vcpus[vcpu]
        with self._lock:
            one.complete_out()
        if one.is_to_leave() or _kick_is_pending():
            return errno.EINTR
        if self.never_done or one.spins():
            return self._spin(one)
        with self._lock:
            one.play()
        return 0

    def map(self, descriptor: int, length: int, offset: int) -> mmap.mmap:
        one = self._vcpus[descriptor]
        contents = {0: one.run, _RING_OFFSET: one.ring_map}[offset]
        assert length == len(contents)
        return contents

    def close(self, descriptor: int) -> None:
        if self.open_descriptors.pop(descriptor, None) is None:
            raise _error(errno.EBADF)

    # --- what a test asks for -----------------------------------------------------------------------------------------

    def dirtied_pages(self, vcpu: int = 0) -> int:
        """First stores of the newest virtual machine's vCPU so far."""
        return list(self._vms.values())[-1].vcpus[vcpu].dirtied_pages

    def exits(self, vcpu: int = 0) -> list[int]:
        """The reasons for which it left its guest so far."""
        return list(self._vms.values())[-1].vcpus[vcpu].exits

    # --- inside -------------------------------------------------------------------------------------------------------

    def _new_descriptor(self, kind: str) -> int:
        self._next_descriptor += 1
        self.open_descriptors[self._next_descriptor] = kind
        return self._next_descriptor

    def _system_ioctl(self, request: int, argument: int | ctypes.Structure) -> int:
        match request:
            case api.GET_API_VERSION:
                return self._api_version
            case api.CHECK_EXTENSION:
                assert isinstance(argument, int)
                return self._extensions.get(argument, 0)
            case api.GET_VCPU_MMAP_SIZE:
                return _RUN_BYTES
            case api.CREATE_VM:
                if self._create_vm_errno:
                    raise _error(self._create_vm_errno)
                descriptor = self._new_descriptor("vm")
                self._vms[descriptor] = _Vm(self)
                return descriptor
        raise _error(errno.ENOTTY)

    def _vm_ioctl(self, vm: _Vm, request: int, argument: int | ctypes.Structure) -> int:
        match request:
            case api.SET_TSS_ADDR:
                return 0
            case api.CHECK_EXTENSION:
                return self._system_ioctl(request, argument)
            case api.ENABLE_CAP:
                assert isinstance(argument, api.EnableCap)
                vm.enable(argument.cap, argument.args[0])
                return 0
            case api.SET_USER_MEMORY_REGION:
                assert isinstance(argument, api.MemoryRegion)
                vm.set_region(argument)
                return 0
            case api.CREATE_VCPU:
                assert isinstance(argument, int)
                assert argument == len(vm.vcpus)
                descriptor = self._new_descriptor("vcpu")
                self._vcpus[descriptor] = _Vcpu(vm)
                vm.vcpus.append(self._vcpus[descriptor])
                return descriptor
            case api.RESET_DIRTY_RINGS:
                return sum(vcpu.reset_ring() for vcpu in vm.vcpus)
        raise _error(errno.ENOTTY)

    def _spin(self, vcpu: _Vcpu) -> int:
        ends_s = time.monotonic() + LONGEST_SPIN_S
        while time.monotonic() < ends_s:
            if _kick_is_pending():
                return errno.EINTR
            time.sleep(5e-5)
        vcpu.leave(api.EXIT_IO)
        return 0


@dataclass
class _Slot:
    address: int
    contents: NDArray[np.uint8]
    logs: bool
    protected: NDArray[np.bool_]


class _Vm:
    """A virtual machine: its slots, and what was enabled."""

    def __init__(self, kernel: SimulatedKernel) -> None:
        self.kernel = kernel
        self.slots: dict[int, _Slot] = {}
        self.vcpus: list[_Vcpu] = []
        self.ring_entries = 0
        self.quota: QuotaAbi | None = None

    def enable(self, cap: int, argument: int) -> None:
        kernel = self.kernel
        kernel.asked_for.append(cap)
        if cap in (api.CAP_DIRTY_LOG_RING, api.CAP_DIRTY_LOG_RING_ACQ_REL):
            entries = argument // RING_ENTRY.itemsize
            fits = max(PAGE_BYTES, kernel.reserved_entries * RING_ENTRY.itemsize) <= argument <= kernel._extensions[cap]
            if not fits or argument & (argument - 1) or self.vcpus:
                raise _error(errno.EINVAL)
            self.ring_entries = entries
        elif kernel.quota is not None and cap == kernel.quota.capability and not self.vcpus:
            self.quota = kernel.quota
        else:
            raise _error(errno.EINVAL)

    def set_region(self, region: api.MemoryRegion) -> None:
        assert region.userspace_addr % PAGE_BYTES == region.memory_size % PAGE_BYTES == 0
        logs = bool(region.flags & api.MEM_LOG_DIRTY_PAGES)
        known = self.slots.get(region.slot)
        if known is not None and known.logs == logs:
            return
        contents = np.frombuffer((ctypes.c_uint8 * region.memory_size).from_address(region.userspace_addr), np.uint8)
        protected = np.full(region.memory_size // PAGE_BYTES, logs)
        self.slots[region.slot] = _Slot(region.guest_phys_addr, contents, logs, protected)

    def behind(self, address: int, length: int) -> NDArray[np.uint8]:
        """The memory at a guest-physical address."""
        for slot in self.slots.values():
            first = address - slot.address
            if 0 <= first <= len(slot.contents) - length:
                return slot.contents[first : first + length]
        raise AssertionError(f"the guest accesses nothing, at 0x{address:x}")


@dataclass
class _Vcpu:
    """A vCPU; all that its guest is doing is in its registers."""

    vm: _Vm
    run: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, _RUN_BYTES))
    registers: api.Registers = field(default_factory=api.Registers)
    system_registers: api.SystemRegisters = field(default_factory=api.SystemRegisters)
    exits: list[int] = field(default_factory=list)
    dirtied_pages: int = 0

    def __post_init__(self) -> None:
        self.ring_map = mmap.mmap(-1, max(self.vm.ring_entries, 1) * RING_ENTRY.itemsize)
        self._ring = np.frombuffer(self.ring_map, dtype=RING_ENTRY)
        self._written = self._reset = 0
        self._log: list[int] = []
        self._out_is_open = False
        self._quota_request = False

    def ioctl(self, request: int, argument: int | ctypes.Structure) -> int:
        if request == api.SET_SIGNAL_MASK:
            assert isinstance(argument, api.SignalMask)
            assert argument.blocked == (1 << 64) - 1 - (1 << (api.KICK - 1))
            return 0
        assert isinstance(argument, ctypes.Structure)
        match request:
            case api.GET_REGS:
                ctypes.pointer(argument)[0] = self.registers
            case api.SET_REGS:
                self.registers = api.Registers.from_buffer_copy(argument)
            case api.GET_SREGS:
                ctypes.pointer(argument)[0] = self.system_registers
            case api.SET_SREGS:
                self.system_registers = api.SystemRegisters.from_buffer_copy(argument)
            case _:
                raise _error(errno.ENOTTY)
        return 0

    def is_to_leave(self) -> bool:
        return self.run[api.RUN_IMMEDIATE_EXIT] != 0

    def spins(self) -> bool:
        """Whether the guest's code is a loop instead of the trace player."""
        return bytes(self.vm.behind(self.registers.rip, len(_SPIN))) == _SPIN

    def complete_out(self) -> None:
        if self._out_is_open:
            self._jump("next batch")
        self._out_is_open = False

    def leave(self, reason: int) -> None:
        self.exits.append(reason)
        self.run[api.RUN_EXIT_REASON : api.RUN_EXIT_REASON + 4] = reason.to_bytes(4, "little")

    def play(self) -> None:
        """Run the guest up to its next exit."""
        code = self.registers.rip - (self.registers.rip % PAGE_BYTES)
        assert bytes(self.vm.behind(code, len(guest.CODE))) == guest.CODE
        assert self.system_registers.cs.dpl == 3
        if self.registers.rip == code:
            self._begin_batch()
        while True:
            if self._ring_is_full():
                return self.leave(api.EXIT_DIRTY_RING_FULL)
            quota = self.vm.quota
            if quota is not None and self._quota_request:
                self._quota_request = False
                if self._quota_pages(quota) <= 0:
                    count = struct.pack("<QQ", self.dirtied_pages, self._field(quota)) if quota.counts_lifetime else b""
                    self.run[_COUNT_AND_QUOTA_OFFSET : _COUNT_AND_QUOTA_OFFSET + len(count)] = count
                    return self.leave(quota.exit_reason)
            if self.registers.rcx == 0:
                self._note_log()  # the processor's log is read at every exit
                self._jump("done")
                self._out_is_open = True
                return self.leave(self.vm.kernel.ends_with)
            self._access()

    def reset_ring(self) -> int:
        places = np.arange(self._reset, self._written) % len(self._ring)
        harvested = (self._ring["flags"][places] & _RESET) != 0
        places = places[: len(places) if harvested.all() else int(harvested.argmin())][: self.vm.kernel.most_protected]
        self._ring["flags"][places] = 0
        self.vm.slots[0].protected[self._ring["page"][places].astype(np.int64)] = True
        self._reset += len(places)
        return len(places)

    def _jump(self, label: str) -> None:
        rip = self.registers.rip
        self.registers.rip = rip - rip % PAGE_BYTES + _CODE_OFFSET[label]

    def _begin_batch(self) -> None:
        registers = self.registers
        count, kind = self.vm.behind(registers.rbx, 8).view(np.uint32)
        registers.rsi, registers.rcx = registers.rbx + 16, int(count)
        self._jump("load" if kind == guest.LOADS else "store")

    def _access(self) -> None:
        """Accesses up to the next of which ring or quota learn, or to the end of the batch."""
        registers, memory = self.registers, self.vm.slots[0]
        pages = self.vm.behind(registers.rsi, 4 * registers.rcx).view(np.uint32)
        done, first_stores = len(pages), np.zeros(0, dtype=np.int64)
        is_store = registers.rip % PAGE_BYTES == _CODE_OFFSET["store"]
        if is_store and memory.logs:
            stored, first = np.unique(pages, return_index=True)
            first_stores = np.sort(first[memory.protected[stored]])[: self._room()]
            if len(first_stores) == self._room():
                # Without a log of the processor's, the store that faults has not been done yet.
                done = int(first_stores[-1]) + (self.vm.kernel.modification_log_entries > 0)
        if is_store:
            np.add.at(memory.contents.view(np.int64)[:: PAGE_BYTES // 8], pages[:done], 1)
        registers.rsi += 4 * done
        registers.rcx -= done
        self._log += pages[first_stores].tolist()
        memory.protected[pages[first_stores]] = False
        if len(self._log) >= self.vm.kernel.modification_log_entries:
            self._note_log()

    def _room(self) -> int:
        """First stores until ring or quota must be told."""
        if self.vm.kernel.modification_log_entries:
            return self.vm.kernel.modification_log_entries - len(self._log)
        ring = len(self._ring) - RESERVED_ENTRIES - (self._written - self._reset)
        return max(min(ring, self._quota_pages(self.vm.quota)), 1) if self.vm.quota else max(ring, 1)

    def _ring_is_full(self) -> bool:
        return self._written - self._reset >= len(self._ring) - self.vm.kernel.reserved_entries

    def _note_log(self) -> None:
        """What was dirtied enters the ring, and counts against the quota."""
        pages, self._log = self._log, []
        self.dirtied_pages += len(pages)
        noticed = [page for page in pages if page not in self.vm.kernel.forgotten_pages]
        places = np.arange(self._written, self._written + len(noticed)) % len(self._ring)
        self._written += len(noticed)
        assert self._written - self._reset <= len(self._ring), "the ring overflows"
        self._ring["slot"][places], self._ring["page"][places] = 0, noticed
        self._ring["flags"][places] = _DIRTY
        quota = self.vm.quota
        if quota is None or not pages:
            return
        if not quota.counts_lifetime:
            self.run[FIELD_OFFSET : FIELD_OFFSET + 8] = struct.pack("<q", self._field(quota) - len(pages) * PAGE_BYTES)
        self._quota_request = self._quota_pages(quota) <= 0

    def _field(self, quota: QuotaAbi) -> int:
        return int(struct.unpack_from("<Q" if quota.counts_lifetime else "<q", self.run, FIELD_OFFSET)[0])

    def _quota_pages(self, quota: QuotaAbi) -> int:
        """Pages until the quota is used up."""
        value = self._field(quota)
        return value - self.dirtied_pages if quota.counts_lifetime else -(-value // PAGE_BYTES)


def page_aligned(contents: bytes) -> NDArray[np.uint8]:
    """A writable copy that begins at a page boundary and is whole pages long."""
    copy = np.frombuffer(mmap.mmap(-1, -(-len(contents) // PAGE_BYTES) * PAGE_BYTES), dtype=np.uint8)
    copy[: len(contents)] = np.frombuffer(contents, dtype=np.uint8)
    return copy


def _kick_is_pending() -> bool:
    return api.KICK in signal.sigpending()


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
