from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqgym.backends.kvm.machine import api, guest
from dqgym.backends.kvm.machine.api import PAGE_BYTES, KernelApi
from dqgym.backends.kvm.machine.page_log import LostPagesError, PageLog
from dqgym.backends.kvm.machine.vm import Vm
from tests.backends.kvm.simulated_kernel import SimulatedKernel, page_aligned

PAGES = 600
RING_ENTRIES = 256
GRANULE = 192


class Guest:
    """A virtual machine whose vCPUs run when a test says so, and in its thread."""

    def __init__(self, kernel: KernelApi, vcpus: int = 1, pages: int = PAGES) -> None:
        self.kernel = kernel
        self.memory = page_aligned(bytes(pages * PAGE_BYTES))
        self.platform = page_aligned(guest.new_platform(self.memory.nbytes, vcpus))
        self.vm = Vm(kernel, self.memory, self.platform, vcpus, RING_ENTRIES)
        self.log = PageLog(self.vm)

    @property
    def counters(self) -> np.ndarray:
        return self.memory.view(np.int64)[:: PAGE_BYTES // 8]

    def store(self, *pages: int, vcpu: int = 0, kind: int = guest.STORES) -> None:
        """Play a batch; a full ring is emptied, as a vCPU's thread does."""
        guest.write_batch(self.platform, vcpu, np.array(pages, dtype=np.uint32), kind)
        handle = self.vm.vcpus[vcpu]
        while True:
            assert self.kernel.run(handle.descriptor) == 0
            if handle.exit_reason == api.EXIT_IO:
                return
            assert handle.exit_reason == api.EXIT_DIRTY_RING_FULL
            self.log.flush(vcpu)

    def begin_and_take_all(self) -> None:
        self.log.begin()
        assert len(self.log.take(PAGES)) == PAGES


@pytest.fixture
def simulated() -> SimulatedKernel:
    return SimulatedKernel()


@pytest.fixture
def one(simulated: SimulatedKernel) -> Guest:
    return Guest(simulated)


def taken_after_a_sync(some: Guest) -> list[int]:
    some.log.sync()
    return some.log.take(PAGES).tolist()


def test_at_first_every_page_is_to_send_at_ascending_addresses(one: Guest) -> None:
    one.log.begin()
    assert one.log.pending_pages == PAGES
    assert one.log.take(10).tolist() == list(range(10))
    assert one.log.pending_pages == PAGES - 10
    assert one.log.take(PAGES).tolist() == list(range(10, PAGES))
    assert one.log.take(PAGES).tolist() == []
    assert (one.log.pending_pages, one.log.syncs) == (0, 1)


def test_before_it_begins_nothing_is_logged(one: Guest) -> None:
    one.store(*range(PAGES))
    one.log.flush(0)
    assert one.log.entries == [0]
    assert one.kernel.exits() == [api.EXIT_IO]


def test_a_page_written_after_it_was_taken_is_dirty_again(one: Guest) -> None:
    one.begin_and_take_all()
    one.store(7, 3, 7)
    one.log.sync()
    assert (one.log.pending_pages, one.log.synced_dirty_pages, one.log.syncs) == (2, 2, 2)
    assert one.log.take(PAGES).tolist() == [3, 7]
    assert taken_after_a_sync(one) == []


def test_a_page_written_while_it_waits_costs_nothing(one: Guest) -> None:
    one.log.begin()
    one.store(7, 3)
    one.log.flush(0)
    assert one.log.first_writes == [0]
    assert one.log.entries == [2]
    assert len(one.log.take(PAGES)) == PAGES
    assert taken_after_a_sync(one) == []  # what was published before it was taken is in the copy


def test_a_store_that_nobody_has_published_is_published_after_the_take(one: Guest) -> None:
    one.log.begin()
    one.store(7)  # in the ring, and in the copy by luck only
    one.log.take(PAGES)
    assert taken_after_a_sync(one) == [7]


def test_a_page_that_was_taken_faults_again_even_if_it_was_written_before(one: Guest) -> None:
    one.log.begin()
    one.store(7)
    one.log.flush(0)
    one.log.take(PAGES)
    one.store(7)
    assert taken_after_a_sync(one) == [7]


def test_a_page_is_charged_once_a_round_to_who_writes_it_first(simulated: SimulatedKernel) -> None:
    two = Guest(simulated, vcpus=2)
    two.begin_and_take_all()
    two.store(1, 2, 3, vcpu=1)
    two.log.flush(1)
    two.store(3, 4, vcpu=0)
    two.log.flush(0, 1)
    assert two.log.entries == [2, 3]
    assert two.log.first_writes == [1, 3]
    two.log.sync()
    assert two.log.synced_dirty_pages == 4
    two.store(1, 5, vcpu=0)  # 1 waits to be sent anyway
    two.log.flush(0)
    assert two.log.first_writes == [2, 3]


def test_a_round_goes_on_where_the_sender_is_and_around_the_end(one: Guest) -> None:
    one.begin_and_take_all()
    one.store(10, 20, 30)
    one.log.sync()
    assert one.log.take(2).tolist() == [10, 20]
    one.store(5, 25)
    assert one.log.take(0).tolist() == []
    assert taken_after_a_sync(one) == [25, 30, 5]


def test_a_full_ring_is_emptied_on_the_way(one: Guest) -> None:
    one.begin_and_take_all()
    one.store(*range(500))
    one.log.sync()
    assert one.kernel.exits() == [api.EXIT_DIRTY_RING_FULL] * 2 + [api.EXIT_IO]
    # The page at which the ring was full comes twice, before its store and with it.
    assert one.log.entries == [502]
    assert one.log.first_writes == [500]
    assert one.log.take(PAGES).tolist() == list(range(500))
    assert one.counters.tolist() == [1] * 500 + [0] * 100


def test_loads_dirty_nothing(one: Guest) -> None:
    one.begin_and_take_all()
    one.store(*range(100), kind=guest.LOADS)
    assert taken_after_a_sync(one) == []


def test_what_the_host_writes_is_marked_by_hand(one: Guest) -> None:
    one.begin_and_take_all()
    one.log.mark(np.array([9, 4, 9]))
    one.log.sync()
    assert one.log.synced_dirty_pages == 2
    assert one.log.take(PAGES).tolist() == [4, 9]
    assert one.log.first_writes == [0]


def test_a_mark_on_a_page_that_waits_makes_no_new_one(one: Guest) -> None:
    one.log.begin()
    one.log.mark(np.array([4]))
    one.log.sync()
    assert one.log.synced_dirty_pages == 0
    assert one.log.pending_pages == PAGES


@pytest.mark.parametrize("how", ["flush", "sync"])
def test_a_reset_that_protects_fewer_pages_is_an_error(one: Guest, simulated: SimulatedKernel, how: str) -> None:
    one.begin_and_take_all()
    one.store(1, 2, 3)
    simulated.most_protected = 1
    with pytest.raises(LostPagesError, match="protected 1 pages of 3"):
        one.log.flush(0) if how == "flush" else one.log.sync()


def test_afterwards_nothing_is_logged_and_the_rings_are_empty(one: Guest) -> None:
    one.begin_and_take_all()
    one.store(*range(100))
    one.log.end()
    assert one.log.entries == [0]
    one.store(*range(PAGES))
    assert len(one.vm.vcpus[0].ring.harvest()) == 0
    assert one.kernel.exits()[-1] == api.EXIT_IO


def test_it_can_begin_again(one: Guest) -> None:
    one.begin_and_take_all()
    one.store(1)
    one.log.end()
    one.begin_and_take_all()
    assert one.log.syncs == 1
    one.store(2)
    assert taken_after_a_sync(one) == [2]


def test_in_a_survey_first_writes_are_distinct_pages(simulated: SimulatedKernel) -> None:
    """Whoever empties the rings, and however often; what the host writes is nobody's."""
    two = Guest(simulated, vcpus=2)
    two.log.begin_survey()
    assert two.log.pending_pages == 0
    two.store(*range(300), *range(50), vcpu=0)
    two.log.flush(0, 1)
    two.store(*range(250, 320), vcpu=0)
    two.store(*range(400, 410), vcpu=1)
    two.log.mark(np.array([500, 501]))
    two.log.flush(0, 1)
    assert two.log.first_writes == [320, 10]


def test_after_a_survey_every_page_is_to_send_and_none_is_dirty(one: Guest) -> None:
    one.log.begin_survey()
    one.store(*range(300))
    one.log.flush(0)
    one.store(1, 400)  # these are in the ring when the survey ends
    one.log.begin()
    assert one.log.first_writes == [301]
    assert (one.log.pending_pages, one.log.syncs, one.log.synced_dirty_pages) == (PAGES, 1, 0)
    assert one.log.take(PAGES).tolist() == list(range(PAGES))
    assert taken_after_a_sync(one) == []
    one.store(1, 5)
    assert taken_after_a_sync(one) == [1, 5]


def test_a_reset_that_protects_fewer_pages_ends_a_survey(one: Guest, simulated: SimulatedKernel) -> None:
    one.log.begin_survey()
    one.store(1, 2, 3)
    simulated.most_protected = 1
    with pytest.raises(LostPagesError, match="protected 1 pages of 3"):
        one.log.begin()


_pages = st.lists(st.integers(0, PAGES - 1), max_size=300)


@pytest.mark.slow
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["store 0", "store 1", "mark"]), _pages)
        | st.tuples(st.just("take"), st.integers(0, PAGES))
        | st.tuples(st.sampled_from(["flush 0", "flush 1", "sync"]), st.none()),
        max_size=25,
    ),
    modification_log_entries=st.sampled_from([0, 32]),
    surveyed=st.none() | st.lists(st.tuples(st.integers(0, 1), _pages, st.booleans()), max_size=5),
)
@settings(deadline=None, max_examples=60)
def test_the_copy_is_the_memory_in_the_end(
    steps: list[tuple[str, object]],
    modification_log_entries: int,
    surveyed: list[tuple[int, list[int], bool]] | None,
) -> None:
    two = Guest(SimulatedKernel(modification_log_entries=modification_log_entries), vcpus=2)
    copy = np.full(PAGES, -1)
    issued = np.zeros(PAGES, dtype=np.int64)

    def take(most: int) -> None:
        pages = two.log.take(most)
        copy[pages] = two.counters[pages]

    if surveyed is not None:
        two.log.begin_survey()
    for vcpu, pages, flushed in surveyed or ():
        two.store(*pages, vcpu=vcpu)
        np.add.at(issued, pages, 1)
        if flushed:
            two.log.flush(vcpu)
    two.log.begin()
    for step, argument in steps:
        match step.split():
            case ["store", vcpu]:
                two.store(*argument, vcpu=int(vcpu))
                np.add.at(issued, argument, 1)
            case ["mark"]:
                pages = np.array(argument, dtype=np.int64)
                np.add.at(two.counters, pages, 1)
                np.add.at(issued, pages, 1)
                two.log.mark(pages)
            case ["take"]:
                take(argument)
            case ["flush", vcpu]:
                two.log.flush(int(vcpu))
            case _:
                two.log.sync()
    two.log.sync()
    take(PAGES)
    np.testing.assert_array_equal(two.counters, issued)
    np.testing.assert_array_equal(copy, issued)
    two.log.sync()
    assert two.log.pending_pages == 0
    two.vm.close()


@pytest.mark.usefixtures("blocked_signals")
def test_a_survey_on_the_real_kernel_counts_every_page_and_protects_all_of_them_again(real_kvm: KernelApi) -> None:
    some = Guest(real_kvm, vcpus=2)
    some.log.begin_survey()
    some.store(*range(500), *range(500), vcpu=0)
    some.log.flush(0)
    some.store(*range(450, 520), vcpu=0)
    some.store(*range(560, 570), vcpu=1)
    some.log.begin()
    assert some.log.first_writes == [520, 10]
    assert len(some.log.take(PAGES)) == PAGES
    some.store(*range(0, 600, 3), vcpu=1)
    assert taken_after_a_sync(some) == list(range(0, 600, 3))
    some.vm.close()


@pytest.mark.usefixtures("blocked_signals")
def test_the_same_on_the_real_kernel(real_kvm: KernelApi) -> None:
    some = Guest(real_kvm, vcpus=2)
    some.begin_and_take_all()
    some.store(*range(500), vcpu=0)
    some.store(*range(490, 510), *range(490, 500), vcpu=1)
    some.log.sync()
    assert some.log.synced_dirty_pages == 510
    assert sum(some.log.first_writes) == 510
    assert some.log.take(PAGES).tolist() == list(range(510))
    assert some.counters.tolist() == [1] * 490 + [3] * 10 + [1] * 10 + [0] * 90
    some.store(5, 600 - 1)
    assert taken_after_a_sync(some) == [599, 5]
    some.vm.close()
