"""The guest: a *trace player* in 21 instructions of 64-bit user code, and where it lives.

The host writes a list of page numbers into a vCPU's command pages; the guest adds 1 to the first word of each page (or
loads it), then tells the host by an ``out``. Any workload that can be written down as page numbers becomes real
stores, faults and dirty pages, and the sum of the counters proves afterwards that every store happened exactly once.

The code runs at privilege level 3: hosts that emulate privileged guest code (``kvm_pvm``) run user code natively, and
their emulation checks the dirty ring too rarely. There is no interrupt table and no stack: nothing is ever pushed.

Guest-physical memory: the guest's own memory from 0, then, at the next multiple of 2 MiB, the *platform*: page tables
(everything is mapped to itself in pages of 2 MiB), the code, a task state segment, and two command pages for each vCPU.
The platform is not part of the dirty log: the guest only reads it, and a migration sends it with the registers.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from dqgym.backends.kvm.machine.api import PAGE_BYTES, Registers, Segment, SystemRegisters

LARGE_PAGE_BYTES = 2 * 2**20
MOST_MEMORY_BYTES = 2**30

LISTING = (
    # next batch: rbx holds the address of the command pages: u32 count, u32 kind, 8 bytes unused, u32 pages[count]
    ("48 8d 73 10", "lea   rsi, [rbx+16]"),
    ("8b 0b", "mov   ecx, [rbx]"),
    ("85 c9", "test  ecx, ecx"),
    ("74 2a", "jz    done"),
    ("83 7b 04 00", "cmp   dword [rbx+4], 0"),
    ("75 13", "jnz   load"),
    # store: add 1 to the first word of the page
    ("8b 06", "mov   eax, [rsi]"),
    ("48 83 c6 04", "add   rsi, 4"),
    ("48 c1 e0 0c", "shl   rax, 12"),
    ("48 ff 00", "inc   qword [rax]"),
    ("ff c9", "dec   ecx"),
    ("75 ef", "jnz   store"),
    ("eb 11", "jmp   done"),
    # load: read the first word of the page
    ("8b 06", "mov   eax, [rsi]"),
    ("48 83 c6 04", "add   rsi, 4"),
    ("48 c1 e0 0c", "shl   rax, 12"),
    ("48 8b 10", "mov   rdx, [rax]"),
    ("ff c9", "dec   ecx"),
    ("75 ef", "jnz   load"),
    # done: tell the host
    ("e6 10", "out   16, al"),
    ("eb c8", "jmp   next_batch"),
)
"""Machine code and what it says; ``ecx`` and ``rsi`` carry a batch that was interrupted."""
CODE = bytes.fromhex("".join(code for code, _ in LISTING))

STORES, LOADS = 0, 1
"""Kinds of batch."""

_PML4, _PDPT, _DIRECTORIES, _CODE, _TASK, _COMMANDS = (0x0, 0x1000, 0x2000, 0x4000, 0x5000, 0x6000)
"""Offsets in the platform; the two directories map 1 GiB each."""
_TASK_IO_MAP_OFFSET, _TASK_BYTES = 102, 104
"""Of a 64-bit task state segment: the field that says where its map of forbidden ports begins; its size."""
COMMAND_BYTES = 2 * PAGE_BYTES
_COMMAND_HEADER = struct.Struct("<IIQ")
MOST_ACCESSES = (COMMAND_BYTES - _COMMAND_HEADER.size) // 4
"""Longest batch."""

_PRESENT, _WRITABLE, _USER, _ACCESSED, _DIRTY, _LARGE = (1 << bit for bit in (0, 1, 2, 5, 6, 7))


def platform_address(memory_bytes: int) -> int:
    """Guest-physical address of the platform."""
    return -(-memory_bytes // LARGE_PAGE_BYTES) * LARGE_PAGE_BYTES


def platform_bytes(vcpus: int) -> int:
    """Size of the platform."""
    return _COMMANDS + vcpus * COMMAND_BYTES


def new_platform(memory_bytes: int, vcpus: int) -> bytes:
    """Page tables, code and empty command pages for a guest with this much memory."""
    base = platform_address(memory_bytes)
    image = bytearray(platform_bytes(vcpus))
    table = np.frombuffer(image, dtype="<u8")
    flags = _PRESENT | _WRITABLE | _USER | _ACCESSED
    table[_PML4 // 8] = base + _PDPT | flags
    mapped_bytes = base + LARGE_PAGE_BYTES
    for gigabyte in range(-(-mapped_bytes // 2**30)):
        table[_PDPT // 8 + gigabyte] = base + _DIRECTORIES + gigabyte * PAGE_BYTES | flags
    large_pages = np.arange(mapped_bytes // LARGE_PAGE_BYTES, dtype=np.uint64)
    first = _DIRECTORIES // 8
    table[first : first + len(large_pages)] = large_pages * np.uint64(LARGE_PAGE_BYTES) | np.uint64(
        flags | _DIRTY | _LARGE  # dirty and accessed already, so that the processor never writes to the tables
    )
    image[_CODE : _CODE + len(CODE)] = CODE
    struct.pack_into("<H", image, _TASK + _TASK_IO_MAP_OFFSET, _TASK_BYTES)  # zeros follow: no port is forbidden
    return bytes(image)


def write_batch(platform: NDArray[np.uint8], vcpu: int, pages: NDArray[np.uint32], kind: int) -> None:
    """Put a batch into a vCPU's command pages; it must have finished the last one."""
    at = _COMMANDS + vcpu * COMMAND_BYTES
    _COMMAND_HEADER.pack_into(platform.data, at, len(pages), kind, 0)
    first = at + _COMMAND_HEADER.size
    platform[first : first + 4 * len(pages)] = pages.view(np.uint8)


def first_registers(memory_bytes: int, vcpu: int) -> Registers:
    """The general registers at the start: the vCPU's first batch comes next."""
    base = platform_address(memory_bytes)
    return Registers(
        rip=base + _CODE,
        rbx=base + _COMMANDS + vcpu * COMMAND_BYTES,
        rflags=0x3002,  # I/O privilege level 3: `out` is allowed, also by kvm_pvm, which looks into the task's map
    )


def set_user_mode(registers: SystemRegisters, memory_bytes: int) -> None:
    """64-bit mode at privilege level 3, paging on."""
    code = {"type": 11, "present": 1, "dpl": 3, "s": 1, "l": 1, "g": 1}
    data = {"type": 3, "present": 1, "dpl": 3, "s": 1, "db": 1, "g": 1}
    registers.cs = Segment(limit=0xFFFFFFFF, selector=0x33, **code)
    for name in ("ds", "es", "fs", "gs", "ss"):
        setattr(registers, name, Segment(limit=0xFFFFFFFF, selector=0x2B, **data))
    platform = platform_address(memory_bytes)
    registers.tr = Segment(base=platform + _TASK, limit=PAGE_BYTES - 1, type=11, present=1)
    registers.cr0 = 0x80050033
    registers.cr3 = platform + _PML4
    registers.cr4 = 0x20  # physical address extension
    registers.efer = 0xD01  # system calls, long mode on and active, no-execute
