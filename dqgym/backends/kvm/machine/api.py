"""KVM's ioctls, as far as a migration needs them: numbers and structures of ``linux/kvm.h`` for x86-64.

``Kernel`` is the one place that talks to the operating system, so that a simulated kernel can stand in for it.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import signal
from typing import Protocol

DEVICE = "/dev/kvm"
API_VERSION = 12

# ioctls: _IO, _IOR, _IOW, _IOWR of type 0xAE
GET_API_VERSION = 0xAE00
CREATE_VM = 0xAE01
CHECK_EXTENSION = 0xAE03
GET_VCPU_MMAP_SIZE = 0xAE04
CREATE_VCPU = 0xAE41
SET_USER_MEMORY_REGION = 0x4020AE46
SET_TSS_ADDR = 0xAE47
RUN = 0xAE80
GET_REGS = 0x8090AE81
SET_REGS = 0x4090AE82
GET_SREGS = 0x8138AE83
SET_SREGS = 0x4138AE84
SET_SIGNAL_MASK = 0x4004AE8B
ENABLE_CAP = 0x4068AEA3
RESET_DIRTY_RINGS = 0xAEC7

CAP_MAX_VCPUS = 66
CAP_IMMEDIATE_EXIT = 136
CAP_DIRTY_LOG_RING = 192
CAP_DIRTY_LOG_RING_ACQ_REL = 223
"""Both name the same ring; x86 has both."""

MEM_LOG_DIRTY_PAGES = 1

EXIT_IO = 2
EXIT_SHUTDOWN = 8
EXIT_INTR = 10
EXIT_DIRTY_RING_FULL = 31

# struct kvm_run
RUN_IMMEDIATE_EXIT = 1
RUN_EXIT_REASON = 8

PAGE_BYTES = mmap.PAGESIZE


class MemoryRegion(ctypes.Structure):
    """struct kvm_userspace_memory_region."""

    _fields_ = (
        ("slot", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("guest_phys_addr", ctypes.c_uint64),
        ("memory_size", ctypes.c_uint64),
        ("userspace_addr", ctypes.c_uint64),
    )


class EnableCap(ctypes.Structure):
    """struct kvm_enable_cap."""

    _fields_ = (
        ("cap", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("args", ctypes.c_uint64 * 4),
        ("pad", ctypes.c_uint8 * 64),
    )


class SignalMask(ctypes.Structure):
    """struct kvm_signal_mask: the signals that are blocked while the vCPU runs."""

    _pack_ = 1
    _fields_ = (("len", ctypes.c_uint32), ("blocked", ctypes.c_uint64))


class Registers(ctypes.Structure):
    """struct kvm_regs."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rsp", "rbp", "r8", "r9", "r10", "r11", "r12", "r13",
                     "r14", "r15", "rip", "rflags")
    )  # fmt: skip


class Segment(ctypes.Structure):
    """struct kvm_segment."""

    _fields_ = (
        ("base", ctypes.c_uint64),
        ("limit", ctypes.c_uint32),
        ("selector", ctypes.c_uint16),
        *((name, ctypes.c_uint8) for name in ("type", "present", "dpl", "db", "s", "l", "g", "avl", "unusable", "pad")),
    )


class DescriptorTable(ctypes.Structure):
    """struct kvm_dtable."""

    _fields_ = (("base", ctypes.c_uint64), ("limit", ctypes.c_uint16), ("padding", ctypes.c_uint16 * 3))


class SystemRegisters(ctypes.Structure):
    """struct kvm_sregs."""

    _fields_ = (
        *((name, Segment) for name in ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldt")),
        *((name, DescriptorTable) for name in ("gdt", "idt")),
        *((name, ctypes.c_uint64) for name in ("cr0", "cr2", "cr3", "cr4", "cr8", "efer", "apic_base")),
        ("interrupt_bitmap", ctypes.c_uint64 * 4),
    )


class KernelApi(Protocol):
    """The operating system, as a virtual machine uses it. Every failure is an OSError with its ``errno``."""

    def open(self) -> int:
        """A file descriptor of /dev/kvm."""
        ...

    def ioctl(self, descriptor: int, request: int, argument: int | ctypes.Structure = 0) -> int:
        """One ioctl; a structure is passed by reference and may be written to."""
        ...

    def run(self, vcpu: int) -> int:
        """KVM_RUN in this thread: 0, or the errno (EINTR where a signal or ``immediate_exit`` ended it)."""
        ...

    def map(self, descriptor: int, length: int, offset: int) -> mmap.mmap:
        """Shared memory of a vCPU: its run structure at offset 0, its dirty ring at 64 pages."""
        ...

    def close(self, descriptor: int) -> None:
        """Close a file descriptor."""
        ...


class Kernel:
    """The kernel that this process runs on."""

    def __init__(self) -> None:
        self._ioctl = ctypes.CDLL(None, use_errno=True).ioctl  # releases the interpreter's lock while it runs
        self._ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
        self._ioctl.restype = ctypes.c_int

    def open(self) -> int:
        """See ``KernelApi``."""
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)

    def ioctl(self, descriptor: int, request: int, argument: int | ctypes.Structure = 0) -> int:
        """See ``KernelApi``."""
        value = argument if isinstance(argument, int) else ctypes.addressof(argument)
        result: int = self._ioctl(descriptor, request, value)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"KVM ioctl 0x{request:X}: {os.strerror(number)}")
        return result

    def run(self, vcpu: int) -> int:
        """See ``KernelApi``."""
        return ctypes.get_errno() if self._ioctl(vcpu, RUN, 0) < 0 else 0

    def map(self, descriptor: int, length: int, offset: int) -> mmap.mmap:
        """See ``KernelApi``."""
        return mmap.mmap(descriptor, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)

    def close(self, descriptor: int) -> None:
        """See ``KernelApi``."""
        os.close(descriptor)


def enable_cap(kernel: KernelApi, descriptor: int, cap: int, argument: int) -> None:
    """KVM_ENABLE_CAP with one argument. OSError (mostly EINVAL) where the kernel does not know it."""
    request = EnableCap(cap=cap)
    request.args[0] = argument
    kernel.ioctl(descriptor, ENABLE_CAP, request)


KICK = signal.SIGUSR1
"""Gets a vCPU's thread out of KVM_RUN; blocked everywhere else."""


def admit_kicks_while_running(kernel: KernelApi, vcpu: int) -> None:
    """Block every signal but the kick in KVM_RUN; the thread itself must block the kick, too.

    A signal that is pending in a thread that resets dirty rings cuts the reset short (Linux 6.17 and later), and pages
    are never protected again. So the kick is let in only where it is needed, and is consumed right after.
    """
    everything_else = (1 << 64) - 1 & ~(1 << (KICK - 1))
    kernel.ioctl(vcpu, SET_SIGNAL_MASK, SignalMask(len=8, blocked=everything_else))


def consume_kick() -> None:
    """Take a kick that is pending off this thread."""
    signal.sigtimedwait({KICK}, 0)


INTERRUPTED = (errno.EINTR, errno.EAGAIN)
"""Given by KVM_RUN when a kick came."""
