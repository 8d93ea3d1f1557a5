from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from dqgym.backends.kvm.machine import guest
from dqgym.backends.kvm.machine.api import PAGE_BYTES, SystemRegisters
from dqgym.units import MIB
from tests.backends.kvm.simulated_kernel import page_aligned

LARGE = 2 * MIB
PRESENT, WRITABLE, USER, ACCESSED, DIRTY, IS_LARGE = 1, 2, 4, 0x20, 0x40, 0x80
MEMORIES = [PAGE_BYTES, LARGE - PAGE_BYTES, LARGE, LARGE + PAGE_BYTES, 64 * MIB, 2**30 - LARGE, 2**30]

# Where the lines begin that are jumped to, counted by hand: 4 + 2 + 2 + 2 + 4 + 2 bytes come before the stores, and
# 2 + 4 + 4 + 3 + 2 + 2 + 2, 2 + 4 + 4 + 3 + 2 + 2 in the blocks that follow.
NEXT_BATCH, STORE, LOAD, DONE, END = 0, 16, 35, 52, 56
JUMPS = [
    (8, "74", DONE),
    (14, "75", LOAD),
    (31, "75", STORE),
    (33, "eb", DONE),
    (50, "75", LOAD),
    (54, "eb", NEXT_BATCH),
]
LABELS = {"next_batch": NEXT_BATCH, "store": STORE, "load": LOAD, "done": DONE}


# --- code -------------------------------------------------------------------------------------------------------------


def test_every_jump_goes_where_the_listing_says() -> None:
    assert len(guest.CODE) == END
    lines_begin = np.cumsum([0, *(len(bytes.fromhex(code)) for code, _ in guest.LISTING)]).tolist()
    jumps = {at: said.split()[1] for at, (_, said) in zip(lines_begin, guest.LISTING, strict=False) if said[0] == "j"}
    assert [at for at, _, _ in JUMPS] == list(jumps)
    for at, opcode, target in JUMPS:
        assert guest.CODE[at] == int(opcode, 16)
        assert at + 2 + int.from_bytes(guest.CODE[at + 1 : at + 2], signed=True) == target
        assert LABELS[jumps[at]] == target
        assert target in lines_begin


def test_the_code_is_what_the_listing_says(tmp_path: Path) -> None:
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("objdump (package binutils) is not installed")
    (tmp_path / "code").write_bytes(guest.CODE)
    command = [objdump, "-D", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", str(tmp_path / "code")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.split("\t") for line in printed.splitlines() if re.match(r"\s+[0-9a-f]+:\t", line)]
    assert [(code.strip(), _normal(said)) for _, code, said in lines] == [
        (code, _normal(said)) for code, said in guest.LISTING
    ]


def _normal(said: str) -> str:
    """An instruction in words that listing and objdump share; sizes that a register tells are left out."""
    name, _, operands = said.lower().replace(" ptr", "").partition(" ")
    if name in ("mov", "lea"):
        operands = re.sub(r"\b[dq]word ", "", operands)
    operand = operands.strip()
    if name[0] == "j":
        target = LABELS[operand] if operand in LABELS else int(operand, 16)
        return f"{name.replace('ne', 'nz').replace('je', 'jz')} {target}"
    numbers = re.sub(r"\b0x([0-9a-f]+)", lambda match: str(int(match[1], 16)), operand)
    return f"{name} {re.sub(r', *', ', ', numbers)}"


# --- platform ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_bytes", MEMORIES)
def test_every_byte_is_mapped_to_itself(memory_bytes: int) -> None:
    base = guest.platform_address(memory_bytes)
    tables = np.frombuffer(guest.new_platform(memory_bytes, 2)[: 4 * PAGE_BYTES], dtype="<u8")

    def entry(table: int, number: int) -> int:
        first = (table - base) // 8
        assert 0 <= first <= len(tables) - 512
        return int(tables[first + number])

    for address in range(0, base + guest.platform_bytes(2), LARGE):
        table = base  # cr3
        for shift in (39, 30):
            upper = entry(table, address >> shift & 511)
            assert upper & 0xFFF == PRESENT | WRITABLE | USER | ACCESSED
            table = upper & ~0xFFF
        leaf = entry(table, address >> 21 & 511)
        assert leaf == address | PRESENT | WRITABLE | USER | ACCESSED | DIRTY | IS_LARGE


@pytest.mark.parametrize("memory_bytes", MEMORIES)
def test_the_platform_lies_behind_the_memory_and_in_one_large_page(memory_bytes: int) -> None:
    base = guest.platform_address(memory_bytes)
    assert base % LARGE == 0
    assert memory_bytes <= base < memory_bytes + LARGE
    assert guest.platform_bytes(64) <= LARGE
    assert len(guest.new_platform(memory_bytes, 64)) == guest.platform_bytes(64)


def test_tables_code_task_and_commands_do_not_overlap() -> None:
    for memory_bytes in MEMORIES:
        image = guest.new_platform(memory_bytes, 3)
        assert image[0x4000 : 0x4000 + len(guest.CODE)] == guest.CODE
        assert not any(image[0x4000 + len(guest.CODE) : 0x5000])
        task = image[0x5000:0x6000]
        assert task[102:104] == (104).to_bytes(2, "little")
        assert not any(task[:102]) and not any(task[104:])  # noqa: PT018 - two halves of one statement
        assert not any(image[0x6000:])
        assert len(image) == 0x6000 + 3 * 2 * PAGE_BYTES


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vcpu", [0, 2])
@pytest.mark.parametrize("count", [0, 1, guest.MOST_ACCESSES])
@pytest.mark.parametrize("kind", [guest.STORES, guest.LOADS])
def test_a_batch_is_where_its_vcpu_looks_for_it(vcpu: int, count: int, kind: int) -> None:
    memory_bytes = 8 * MIB
    platform = page_aligned(guest.new_platform(memory_bytes, 3))
    before = platform.copy()
    pages = np.random.default_rng(0).integers(0, memory_bytes // PAGE_BYTES, count).astype(np.uint32)
    guest.write_batch(platform, vcpu, pages, kind)
    at = guest.first_registers(memory_bytes, vcpu).rbx - guest.platform_address(memory_bytes)
    words = platform[at : at + 2 * PAGE_BYTES].view(np.uint32)
    assert words[:2].tolist() == [count, kind]
    assert words[4 : 4 + count].tolist() == pages.tolist()
    platform[at : at + 16 + 4 * count] = before[at : at + 16 + 4 * count]
    np.testing.assert_array_equal(platform, before)


def test_the_longest_batch_fills_the_command_pages() -> None:
    assert 16 + 4 * guest.MOST_ACCESSES == 2 * PAGE_BYTES


# --- registers --------------------------------------------------------------------------------------------------------


def test_a_vcpu_begins_with_its_own_batch() -> None:
    memory_bytes = 8 * MIB
    base = guest.platform_address(memory_bytes)
    first, second = (guest.first_registers(memory_bytes, vcpu) for vcpu in (0, 1))
    assert first.rip == second.rip == base + 0x4000
    assert second.rbx - first.rbx == 2 * PAGE_BYTES
    assert first.rflags == 0x3002


def test_the_guest_is_64_bit_user_code() -> None:
    registers = SystemRegisters()
    guest.set_user_mode(registers, 8 * MIB)
    assert (registers.cs.l, registers.cs.dpl, registers.cs.selector & 3) == (1, 3, 3)
    assert {getattr(registers, name).dpl for name in ("ds", "es", "fs", "gs", "ss")} == {3}
    assert registers.cr3 == guest.platform_address(8 * MIB)
    assert registers.cr0 & 0x80000001 == 0x80000001  # paging, protection
    assert registers.cr4 & 0x20
    assert registers.efer & 0x500 == 0x500
    assert registers.tr.base == registers.cr3 + 0x5000
    assert (registers.tr.type, registers.tr.present) == (11, 1)
