"""Patterns, schedules and throttles of the page-exact reference, on stores that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dqgym.scenario import ConstantLink, DeviceWrites, Phased, Recorded, VcpuGroup, VirtualMachine
from dqgym.telemetry.telemetry import VcpuField, VmField
from tests.model.guests import NO_LINK, PAGE, Run, guest, writer
from tests.model.migrations import NO_COSTS, READERS

# --- the writers -----------------------------------------------------------------------------------------------------


def test_uniform_stores_leave_what_they_miss_clean():
    run = Run(guest(writer("uniform", 10_000, 1000.0), pages=20_000, log="software", link=NO_LINK))
    run.step(10.0)
    assert run.dirtied()[0] == pytest.approx(10_000 * (1.0 - np.exp(-1.0)), rel=0.02)


def test_hot_pages_get_their_share_of_the_stores():
    group = writer("hot-cold", 10_000, 1000.0, hot_fraction=0.1, hot_share=0.5)
    run = Run(guest(group, pages=20_000, log="software", link=NO_LINK))
    run.step(2.0)
    assert run.dirtied()[0] == pytest.approx(1000 * (1.0 - np.exp(-1.0)) + 9000 * (1.0 - np.exp(-1 / 9)), rel=0.03)


def test_zipf_pages_are_written_in_proportion_to_a_power_of_their_rank():
    skew, stores, pages = 1.0, 20_000, 5_000
    shares = np.arange(1.0, pages + 1.0) ** -skew
    shares /= shares.sum()
    run = Run(guest(writer("hot-cold", pages, 1000.0, zipf_skew=skew), pages=6000, log="software", link=NO_LINK))
    run.step(stores / 1000.0)
    assert run.dirtied()[0] == pytest.approx((1.0 - (1.0 - shares) ** stores).sum(), rel=0.02)


@pytest.mark.parametrize(("pattern", "dirtied"), [("uniform", 100), ("sequential", 100 / 16)])
def test_a_store_at_random_dirties_a_whole_large_page_and_a_loop_fills_it_first(pattern, dirtied):
    group = VcpuGroup(vcpus=1, pattern=pattern, working_set_bytes=500_000 * PAGE, write_rate_bytes_per_s=100 * PAGE)
    vm = VirtualMachine(memory_bytes=600_000 * PAGE, page_bytes=65536)
    run = Run(guest(group, vm=vm, log="software", link=ConstantLink(bandwidth_bytes_per_s=1e6)))
    run.step(1.0)
    assert run.dirtied()[0] == pytest.approx(dirtied, abs=1)


def test_first_writes_take_a_fault_and_later_ones_do_not():
    """A set of 100 pages: 10 ms a page the first time, 5 ms from then on."""
    parameters = NO_COSTS._replace(write_bytes_per_s=200.0 * PAGE, fault_s=5e-3)
    loop = writer("sequential", 100, 1e6)
    run = Run(guest(loop, log="software", link=NO_LINK), parameters)
    run.step(0.5)
    assert run.dirtied()[0] == pytest.approx(50, abs=1)
    run.step(0.5 + 0.25)  # in 0.25 s, 50 pages that are dirty already
    run.step(0.5, sync=True)  # only the sync makes them clean, and the loop goes on in its midst
    assert run.dirtied()[0] == pytest.approx(50, abs=1)


def test_schedules_say_when_a_vcpu_writes():
    phased = Phased(period_s=2.0, duty=0.5, low_rate_fraction=0.1, offset=0.25)
    recorded = Recorded(times_s=(0.0, 1.0, 1.5), rate_factors=(0.0, 2.0, 0.5), period_s=2.0)
    groups = (writer("sequential", 10_000, 1000.0, schedule=each) for each in (phased, recorded))
    run = Run(guest(*groups, pages=30_000, log="software", link=NO_LINK))
    for expected in ((500, 0), (50, 0), (50, 1000), (500, 250), (500, 0), (50, 0), (50, 1000)):
        run.step(0.5)
        np.testing.assert_allclose(run.dirtied()[:2], expected, atol=3)


def test_devices_write_whatever_the_vcpus_do_and_are_charged_to_nobody():
    """A page that was sent tau ago is still clean with probability e^(-tau / 0.9 s); half the pages are sent in 5 s."""
    device = DeviceWrites(rate_bytes_per_s=1000.0 * PAGE, working_set_bytes=900 * PAGE)
    run = Run(guest(device=device))
    run.step(5.0, limit_pages_per_s=0.0, cap=0.0)
    run.step(0.001, cap=0.0, sync=True)
    clean = 0.9 / 5.0 * (1.0 - np.exp(-5.0 / 0.9))
    assert run.pages(VmField.SYNCED_DIRTY_BYTES) == pytest.approx(450 * (1.0 - clean), rel=0.1)
    assert run.dirtied().sum() == 0


def test_open_loop_demand_is_made_up_for_and_closed_loop_demand_is_lost():
    groups = (writer("sequential", 10_000, 100.0, demand=demand) for demand in ("closed", "open"))
    run = Run(guest(*groups, pages=30_000, log="software", link=NO_LINK))
    run.step(5.0, cap=0.0)
    run.step(1.0)
    np.testing.assert_allclose(run.dirtied()[:2], [100, 600], atol=2)


# --- the throttles ---------------------------------------------------------------------------------------------------


def test_a_capped_vcpu_sleeps_first_and_then_runs_for_ten_milliseconds():
    run = Run(guest(writer("sequential", 900, 1000.0), log="software", link=NO_LINK))
    ran_s = []
    for _ in range(8):
        run.step(0.01, cap=0.25)
        ran_s.append(run.vcpus(VcpuField.RUN_S)[0])
        np.testing.assert_allclose(run.dirtied()[0], ran_s[-1] * 1000.0, atol=1.01)
    np.testing.assert_allclose(ran_s, [0.0, 0.0, 0.0, 0.01] * 2, atol=1e-6)


def test_a_new_cap_begins_when_the_cycle_of_the_old_one_ends():
    """At 35 ms the vCPU runs until 40 ms, as the old cycle of 40 ms has it; then come cycles of 20 ms, asleep first."""
    run = Run(guest(READERS))
    ran_s = []
    for duration_s, cap in ((0.035, 0.25), (0.005, 0.5), (0.01, 0.5), (0.01, 0.5)):
        run.step(duration_s, cap=cap)
        ran_s.append(run.vcpus(VcpuField.RUN_S)[0])
    np.testing.assert_allclose(ran_s, [0.005, 0.005, 0.0, 0.01], atol=1e-6)


def test_a_limited_vcpu_gets_its_quota_every_interval_and_one_page_more_in_all():
    run = Run(guest(writer("sequential", 900, 1e5), log="software", link=NO_LINK))
    for intervals in range(1, 6):
        run.step(0.01, limit_pages_per_s=300.0)
        assert run.dirtied()[0] == (4 if intervals == 1 else 3)
        assert run.vcpus(VcpuField.QUOTA_EXITS)[0] == 1


@pytest.mark.parametrize("overshoot_pages", [10, 50])
def test_an_overshoot_is_charged_to_what_follows(overshoot_pages):
    parameters = NO_COSTS._replace(overshoot_bytes=overshoot_pages * PAGE)
    run = Run(guest(writer("sequential", 900, 1e5), log="software", link=NO_LINK), parameters)
    run.step(0.01, limit_pages_per_s=200.0)
    assert run.dirtied()[0] == 2 + overshoot_pages
    run.step(1.0, limit_pages_per_s=200.0)
    assert run.dirtied()[0] == 200


def test_unused_quota_is_kept_for_one_more_interval():
    late = Recorded(times_s=(0.0, 0.5), rate_factors=(0.0, 1.0))
    run = Run(guest(writer("sequential", 900, 1e5, schedule=late), log="software", link=NO_LINK))
    run.step(0.5, limit_pages_per_s=300.0)
    assert run.dirtied()[0] == 0
    run.step(0.01, limit_pages_per_s=300.0)
    assert run.dirtied()[0] == 2 * 3 + 1


def test_a_limit_of_less_than_a_page_an_interval_adds_up():
    run = Run(guest(writer("sequential", 900, 1e5), log="software", link=NO_LINK))
    run.step(10.0, limit_pages_per_s=7.0)
    assert run.dirtied()[0] == pytest.approx(70, abs=2)


@pytest.mark.parametrize(("pool", "dirtied"), [(False, 100), (True, 200)])
def test_quota_that_readers_leave_unclaimed_goes_to_the_writers(pool, dirtied):
    groups = (writer("sequential", 900, 1e5, vcpus=2), VcpuGroup(vcpus=2, pattern="read-only"))
    run = Run(guest(*groups, pages=2000, log="software", link=NO_LINK))
    run.step(0.5, limit_pages_per_s=200.0, pool=pool)
    assert run.dirtied().sum() == pytest.approx(2 * dirtied, rel=0.03)
    np.testing.assert_allclose(run.dirtied()[:2], dirtied, rtol=0.2)


def test_a_vcpu_whose_ring_is_full_sleeps_and_goes_on_with_an_empty_one():
    """1024 pages take 0.1 s, then it sleeps for 0.4 s: five times in 2.5 s."""
    run = Run(guest(writer("sequential", 20_000, 10_240.0), pages=30_000, log="ring", link=NO_LINK))
    run.step(2.5, ring_sleep_s=0.4)
    assert run.dirtied()[0] == pytest.approx(5 * 1024, abs=2)
    assert run.vcpus(VcpuField.RUN_S)[0] == pytest.approx(0.5, abs=0.01)
    assert run.vcpus(VcpuField.STALLED_S)[0] == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(("kicks_wake", "rings"), [(True, 4), (False, 1)])
def test_reading_the_rings_wakes_the_sleepers_where_kicks_do(kicks_wake, rings):
    run = Run(guest(writer("sequential", 20_000, 10_240.0), pages=30_000, log="ring", link=NO_LINK))
    dirtied = [run.step(1.0, ring_sleep_s=15.0, kicks_wake=kicks_wake, read_rings=True) and run.dirtied()[0]
               for _ in range(4)]  # fmt: skip
    assert sum(dirtied) == pytest.approx(rings * 1024, abs=2)
    assert run.vm(VmField.SYNCS) == 1


def test_a_sync_whose_kick_wakes_sleepers_does_not_wait():
    run = Run(guest(writer("sequential", 20_000, 10_240.0), pages=30_000, log="ring", link=NO_LINK))
    run.step(1.0, ring_sleep_s=15.0, kicks_wake=True)
    run.step(1.0, ring_sleep_s=15.0, kicks_wake=True, sync=True)
    assert run.vm(VmField.SYNCS) == 2
    assert run.vm(VmField.SYNC_TIME_S) == pytest.approx(1.0, abs=0.01)
    assert run.dirtied()[0] == pytest.approx(1024, abs=2)


@pytest.mark.parametrize(("log", "dirtied"), [("ring", 5120), ("software", 2048)])
def test_a_page_enters_a_ring_again_once_the_ring_was_emptied(log, dirtied):
    """The set is two rings large: as soon as one is full it is emptied, and its pages are protected again."""
    run = Run(guest(writer("sequential", 2048, 10_240.0), pages=30_000, log=log, link=NO_LINK))
    run.step(0.5)
    assert run.dirtied()[0] == pytest.approx(dirtied, abs=2)
    run.step(0.001, sync=True)
    assert run.vm(VmField.SYNCS) == 2
    assert run.pages(VmField.SYNCED_DIRTY_BYTES) == 0  # all of it waits anyway


def test_a_working_set_that_fits_into_the_ring_never_fills_it():
    run = Run(guest(writer("uniform", 1000, 10_240.0), pages=30_000, log="ring", link=NO_LINK))
    run.step(5.0, ring_sleep_s=1.0)
    assert run.vcpus(VcpuField.RUN_S)[0] == pytest.approx(5.0)


def test_to_empty_a_ring_takes_a_while():
    """1024 pages take 0.1 s, and 0.1 s more until the ring is empty again."""
    parameters = NO_COSTS._replace(ring_exit_s=0.1)
    run = Run(guest(writer("sequential", 20_000, 10_240.0), pages=30_000, log="ring", link=NO_LINK), parameters)
    run.step(2.0)
    assert run.dirtied()[0] == pytest.approx(10 * 1024, abs=2)
