from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dqgym.backends.kvm.machine.ring import RING_ENTRY, DirtyRing

SLOT = 3
SIZE = 8
CLEAN, DIRTY, RESET = 0, 1, 2


class KernelSide:
    """Writes entries and takes them back, as KVM does."""

    def __init__(self, size: int = SIZE) -> None:
        self.entries: NDArray[np.void] = np.zeros(size, dtype=RING_ENTRY)
        self._written = self._taken_back = 0

    @property
    def free(self) -> int:
        return len(self.entries) - (self._written - self._taken_back)

    def push(self, *pages: int, slot: int = SLOT) -> None:
        for page in pages:
            assert self.free
            self.entries[self._written % len(self.entries)] = (DIRTY, slot, page)
            self._written += 1

    def reset(self) -> int:
        count = 0
        while self._taken_back < self._written:
            entry = self.entries[self._taken_back % len(self.entries)]
            if entry["flags"] != RESET:
                break
            entry["flags"] = CLEAN
            self._taken_back += 1
            count += 1
        return count


@pytest.fixture
def kernel() -> KernelSide:
    return KernelSide()


@pytest.fixture
def ring(kernel: KernelSide) -> DirtyRing:
    return DirtyRing(kernel.entries, SLOT)


def test_pages_come_out_once_and_oldest_first(kernel: KernelSide, ring: DirtyRing) -> None:
    kernel.push(5, 3, 9)
    assert ring.harvest().tolist() == [5, 3, 9]
    assert ring.harvest().tolist() == []
    kernel.push(3)
    assert ring.harvest().tolist() == [3]


def test_an_empty_ring_gives_an_empty_array_of_page_numbers(ring: DirtyRing) -> None:
    pages = ring.harvest()
    assert pages.shape == (0,)
    assert pages.dtype == np.int64


def test_what_came_out_is_marked_for_the_reset_and_nothing_else_is(kernel: KernelSide, ring: DirtyRing) -> None:
    kernel.push(1, 2)
    ring.harvest()
    assert kernel.entries["flags"].tolist() == [RESET] * 2 + [CLEAN] * 6
    assert kernel.reset() == 2
    assert not kernel.entries["flags"].any()


def test_an_entry_that_waits_for_the_reset_is_not_given_again(kernel: KernelSide, ring: DirtyRing) -> None:
    kernel.push(*range(SIZE))
    assert len(ring.harvest()) == SIZE
    assert len(ring.harvest()) == 0  # the whole ring is marked, and nobody has reset it
    kernel.reset()
    assert len(ring.harvest()) == 0


def test_a_ring_wraps_around(kernel: KernelSide, ring: DirtyRing) -> None:
    kernel.push(*range(6))
    ring.harvest()
    kernel.reset()
    kernel.push(*range(10, 17))
    assert ring.harvest().tolist() == list(range(10, 17))


def test_a_page_number_may_be_large(kernel: KernelSide, ring: DirtyRing) -> None:
    kernel.push(2**40)
    assert ring.harvest().tolist() == [2**40]


def test_an_entry_of_another_slot_is_an_error(kernel: KernelSide, ring: DirtyRing) -> None:
    kernel.push(1)
    kernel.push(2, slot=SLOT + 1)
    with pytest.raises(RuntimeError, match=r"entries of the slots \[3 4\], not 3"):
        ring.harvest()


def test_a_slot_that_is_left_over_from_long_ago_does_not_matter(kernel: KernelSide, ring: DirtyRing) -> None:
    kernel.entries["slot"] = SLOT + 1
    kernel.push(1)
    assert ring.harvest().tolist() == [1]


@pytest.mark.slow
@given(
    size=st.sampled_from([1, 2, 4, 16]),
    steps=st.lists(st.integers(0, 20) | st.sampled_from(["harvest", "reset"]), max_size=60),
)
def test_every_page_comes_out_exactly_once_and_in_order(size: int, steps: list[int | str]) -> None:
    kernel = KernelSide(size)
    ring = DirtyRing(kernel.entries, SLOT)
    pushed: deque[int] = deque()
    marked = number = 0
    for step in [*steps, "harvest", "reset"]:
        if step == "harvest":
            pages = ring.harvest().tolist()
            assert pages == list(pushed)
            marked += len(pages)
            pushed.clear()
        elif step == "reset":
            assert kernel.reset() == marked
            marked = 0
        else:
            for _ in range(min(int(step), kernel.free)):
                kernel.push(number)
                pushed.append(number)
                number += 1
