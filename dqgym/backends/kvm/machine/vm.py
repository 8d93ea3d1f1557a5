"""A virtual machine with its vCPUs and their dirty rings, on any kernel: what to ask of KVM, and in which order."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from dataclasses import dataclass

import numpy as np

from dqgym.arrays import ByteArray
from dqgym.backends.kvm.machine import api, guest
from dqgym.backends.kvm.machine.api import PAGE_BYTES, KernelApi, Registers, SystemRegisters
from dqgym.backends.kvm.machine.ring import RING_ENTRY, DirtyRing
from dqgym.scenario.dirty_log import LARGEST_RING_ENTRIES

MEMORY_SLOT, PLATFORM_SLOT = 0, 1
RING_OFFSET = 64 * PAGE_BYTES
"""KVM_DIRTY_LOG_PAGE_OFFSET, in a vCPU's mapping."""
TSS_ADDRESS = 0xFFFBD000
"""Three pages that Intel hosts without unrestricted guests want; far above the guest's memory."""


class KvmError(RuntimeError):
    """A vCPU could not run; the message says why."""


@dataclass
class VcpuHandle:
    """A vCPU as KVM gives it.

    Attributes:
        descriptor: of the vCPU.
        run: the shared run structure.
        ring: its dirty ring.
    """

    descriptor: int
    run: mmap.mmap
    ring: DirtyRing

    @property
    def exit_reason(self) -> int:
        """Why the last KVM_RUN ended."""
        return int.from_bytes(self.run[api.RUN_EXIT_REASON : api.RUN_EXIT_REASON + 4], "little")

    def leave_at_once(self, wanted: bool) -> None:
        """Let KVM_RUN return before it enters the guest, or no longer."""
        self.run[api.RUN_IMMEDIATE_EXIT] = int(wanted)


class Vm:
    """A virtual machine around given memory.

    Args:
        kernel: whom to ask.
        memory: the guest's memory, whole pages at a page boundary.
        platform: writable copy of ``guest.new_platform``.
        vcpus: how many.
        ring_entries: entries of each dirty ring, a power of two. A host that keeps more of them in reserve (Intel's
            page-modification log takes 512) gets the next size that it accepts; see ``ring_entries`` for what came out.
        quota_capability: to enable on kernels with the dirty-quota patches.

    Raises:
        OSError: KVM refused.
    """

    def __init__(
        self,
        kernel: KernelApi,
        memory: ByteArray,
        platform: ByteArray,
        vcpus: int,
        ring_entries: int,
        quota_capability: int | None = None,
    ) -> None:
        self.kernel = kernel
        self.memory = memory
        self.platform = platform
        self._descriptors = [system := kernel.open()]
        try:
            self._descriptor = kernel.ioctl(system, api.CREATE_VM)
            self._descriptors.append(self._descriptor)
            kernel.ioctl(self._descriptor, api.SET_TSS_ADDR, TSS_ADDRESS)
            self.ring_entries = self._enable_ring(ring_entries)
            if quota_capability is not None:
                api.enable_cap(kernel, self._descriptor, quota_capability, 1)
            self.log_dirty_pages(False)
            self._map_slot(PLATFORM_SLOT, 0, guest.platform_address(memory.nbytes), platform)
            run_bytes = kernel.ioctl(system, api.GET_VCPU_MMAP_SIZE)
            self.vcpus = tuple(self._new_vcpu(index, run_bytes) for index in range(vcpus))
        except BaseException:
            self.close()
            raise

    def log_dirty_pages(self, wanted: bool) -> None:
        """Let first stores to pages of the guest's memory fault and enter the ring, or no longer."""
        self._map_slot(MEMORY_SLOT, api.MEM_LOG_DIRTY_PAGES if wanted else 0, 0, self.memory)

    def reset_rings(self) -> int:
        """Write-protect again what was harvested; the number of entries that KVM took back."""
        return self.kernel.ioctl(self._descriptor, api.RESET_DIRTY_RINGS)

    def registers(self, vcpu: int) -> tuple[bytes, bytes]:
        """The general and the system registers of a vCPU that does not run."""
        general, system = Registers(), SystemRegisters()
        self.kernel.ioctl(self.vcpus[vcpu].descriptor, api.GET_REGS, general)
        self.kernel.ioctl(self.vcpus[vcpu].descriptor, api.GET_SREGS, system)
        return bytes(general), bytes(system)

    def set_registers(self, vcpu: int, general: bytes, system: bytes) -> None:
        """Put back what ``registers`` gave."""
        descriptor = self.vcpus[vcpu].descriptor
        self.kernel.ioctl(descriptor, api.SET_SREGS, SystemRegisters.from_buffer_copy(system))
        self.kernel.ioctl(descriptor, api.SET_REGS, Registers.from_buffer_copy(general))

    def play_batch(self, vcpu: int) -> None:
        """Let a vCPU play the batch in its command pages to its end, in this thread; nothing may be logged.

        Raises:
            KvmError: it left the guest for anything else.
        """
        handle = self.vcpus[vcpu]
        number = self.kernel.run(handle.descriptor)
        if number or handle.exit_reason != api.EXIT_IO:
            reason = os.strerror(number) if number else f"exit reason {handle.exit_reason}"
            raise KvmError(f"vCPU {vcpu} did not play its batch: {reason}")

    def finish_io(self, vcpu: int) -> None:
        """Complete the instruction that the last exit was in, so that the registers are whole (this thread's vCPU)."""
        handle = self.vcpus[vcpu]
        handle.leave_at_once(True)
        number = self.kernel.run(handle.descriptor)
        handle.leave_at_once(False)
        if number not in (0, *api.INTERRUPTED):
            raise KvmError(f"KVM_RUN of vCPU {vcpu}: {os.strerror(number)}")

    def close(self) -> None:
        """Give the virtual machine back; its mappings go when nobody refers to them any more. Safe to call twice."""
        self.vcpus = ()
        while self._descriptors:
            self.kernel.close(self._descriptors.pop())

    def _enable_ring(self, entries: int) -> int:
        while True:
            try:
                api.enable_cap(self.kernel, self._descriptor, api.CAP_DIRTY_LOG_RING, entries * RING_ENTRY.itemsize)
                return entries
            except OSError as error:
                if error.errno != errno.EINVAL or entries >= LARGEST_RING_ENTRIES:
                    raise
                entries *= 2

    def _map_slot(self, slot: int, flags: int, address: int, contents: ByteArray) -> None:
        region = api.MemoryRegion(slot, flags, address, contents.nbytes, contents.ctypes.data)
        self.kernel.ioctl(self._descriptor, api.SET_USER_MEMORY_REGION, region)

    def _new_vcpu(self, index: int, run_bytes: int) -> VcpuHandle:
        descriptor = self.kernel.ioctl(self._descriptor, api.CREATE_VCPU, index)
        self._descriptors.append(descriptor)
        api.admit_kicks_while_running(self.kernel, descriptor)
        system = SystemRegisters()
        self.kernel.ioctl(descriptor, api.GET_SREGS, system)
        guest.set_user_mode(system, self.memory.nbytes)
        self.kernel.ioctl(descriptor, api.SET_SREGS, system)
        self.kernel.ioctl(descriptor, api.SET_REGS, guest.first_registers(self.memory.nbytes, index))
        ring = self.kernel.map(descriptor, self.ring_entries * RING_ENTRY.itemsize, RING_OFFSET)
        return VcpuHandle(
            descriptor,
            self.kernel.map(descriptor, run_bytes, 0),
            DirtyRing(np.frombuffer(ring, dtype=RING_ENTRY), MEMORY_SLOT),
        )


def new_memory(size_bytes: int) -> tuple[int, ByteArray]:
    """A file in memory and a shared mapping of it [size]; it goes when nothing maps it and its descriptor is closed."""
    descriptor = os.memfd_create("guest-memory", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, size_bytes)
    return descriptor, np.frombuffer(mmap.mmap(descriptor, size_bytes, mmap.MAP_SHARED), dtype=np.uint8)


def page_aligned(contents: bytes) -> ByteArray:
    """A writable copy that begins at a page boundary and is whole pages long."""
    size = -(-len(contents) // PAGE_BYTES) * PAGE_BYTES
    copy = np.frombuffer(mmap.mmap(-1, size), dtype=np.uint8)
    copy[: len(contents)] = np.frombuffer(contents, dtype=np.uint8)
    return copy


def private_view(descriptor: int, size_bytes: int) -> ByteArray:
    """Another mapping of such a file: it shows the file's contents, but what is written to it never gets there."""
    return np.frombuffer(mmap.mmap(descriptor, size_bytes, mmap.MAP_PRIVATE), dtype=np.uint8)


REGISTERS_BYTES = ctypes.sizeof(Registers), ctypes.sizeof(SystemRegisters)
"""Sizes of what ``Vm.registers`` gives."""
