"""vCPUs that sleep: at full dirty rings, in the time slices of a cap, and syncs that wait for them."""

import numpy as np
import pytest

from dqgym.backends.model import ModelBackend
from dqgym.model.parameters import ModelParameters
from dqgym.scenario import ConstantLink, DirtyLog, Scenario
from dqgym.telemetry.telemetry import Telemetry, VcpuField, VmField
from tests.model.migrations import MB, NO_COSTS, READERS, SLOTS, Constant, scenario, writers

RING_BYTES = 1024 * 4096
RATE_MB_PER_S = 20.0
FILL_S = RING_BYTES / (RATE_MB_PER_S * MB)
NOTHING_DUE_S = 9.7
"""When 100 MB at 10 MB/s are sent but for the 3 MB of the downtime limit."""


def guest(*workload, log: str = "ring", **others) -> Scenario:
    return scenario(*workload, dirty_log=DirtyLog(kind=log, ring_entries=1024, clear_chunk_bytes=4096), **others)


def short_guest(*workload, log: str) -> Scenario:
    return guest(*workload, log=log, memory_mb=100.0, bandwidth_mb_per_s=10.0)


def sequential(set_mb: float = 900.0, **others):
    return writers("sequential", set_mb=set_mb, rate_mb_per_s=RATE_MB_PER_S, **others)


class Migration:
    """A migration that is stepped by hand."""

    def __init__(self, case: Scenario, parameters: ModelParameters = NO_COSTS, **command) -> None:
        self.backend = ModelBackend(parameters, vcpu_slots=SLOTS)
        self.at = self.backend.start([case], [0])
        self.throttle = Constant(**command)
        self.throttle.reset(self.backend.facts)

    def step(self, duration_s: float) -> Telemetry:
        self.at = self.backend.step(self.throttle.act(self.at), np.array([duration_s]))
        return self.at

    def vcpus(self, field: VcpuField) -> np.ndarray:
        return self.at.vcpu[0, field].astype(float)

    def vm(self, field: VmField) -> float:
        return float(self.at.vm[0, field])


@pytest.mark.parametrize("sleep_s", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("log", ["ring", "software"])
def test_a_writer_fills_its_ring_and_sleeps_in_turn(log, sleep_s):
    rings = 10
    migration = Migration(guest(sequential(), log=log), ring_sleep_s=sleep_s)
    migration.step(rings * (FILL_S + sleep_s))
    assert migration.vcpus(VcpuField.DIRTIED_BYTES)[0] == pytest.approx(rings * RING_BYTES, rel=1e-3)
    assert migration.vcpus(VcpuField.RUN_S)[0] == pytest.approx(rings * FILL_S, rel=1e-3)
    assert migration.vcpus(VcpuField.STALLED_S)[0] == pytest.approx(rings * sleep_s, rel=1e-3)


def test_each_sleep_comes_when_the_ring_is_full_and_lasts_on_into_the_next_interval():
    migration = Migration(guest(sequential()), ring_sleep_s=1.0)
    ran_s = [migration.step(0.5).vcpu[0, VcpuField.RUN_S, 0] for _ in range(5)]
    # Awake until 0.21 s, from 1.21 to 1.42 s, from 2.42 s on.
    assert ran_s == pytest.approx([FILL_S, 0.0, FILL_S, 0.0, 2.5 - 2.0 * (FILL_S + 1.0)], abs=1e-3)


def test_a_vcpu_that_fills_no_ring_never_sleeps():
    slow = writers("uniform", set_mb=300.0, rate_mb_per_s=0.1)
    migration = Migration(guest(READERS, slow, sequential(set_mb=600.0)), ring_sleep_s=5.0)
    migration.step(20.0)
    np.testing.assert_allclose(migration.vcpus(VcpuField.RUN_S)[:2], 20.0, rtol=1e-6)
    np.testing.assert_allclose(migration.vcpus(VcpuField.STALLED_S)[:2], 0.0, atol=1e-6)
    assert migration.vcpus(VcpuField.STALLED_S)[2] > 15.0


@pytest.mark.parametrize("log", ["ring", "software"])
def test_a_sync_waits_for_a_vcpu_that_sleeps_at_its_ring_and_nothing_is_sent_meanwhile(log):
    """The ring of a vCPU that writes from the beginning is full at 0.21 s; it then sleeps for 15 s."""
    migration = Migration(short_guest(sequential(set_mb=50.0), log=log), ring_sleep_s=15.0)
    for time_s in (9.0, 12.0, 15.0):
        migration.step(time_s - migration.vm(VmField.TIME_S))
    assert migration.vm(VmField.SYNCS) == 1
    assert migration.vm(VmField.SENT_BYTES) == pytest.approx(10.0 * MB * NOTHING_DUE_S, rel=1e-6)
    migration.step(0.5)
    assert migration.vm(VmField.SYNCS) == 2
    assert migration.vm(VmField.SYNC_TIME_S) == pytest.approx(FILL_S + 15.0, abs=2e-3)
    assert migration.vm(VmField.SENT_BYTES) == pytest.approx(
        10.0 * MB * (NOTHING_DUE_S + 15.5 - migration.vm(VmField.SYNC_TIME_S)), rel=1e-3
    )


@pytest.mark.parametrize("log", ["ring", "software"])
def test_a_sync_whose_kick_wakes_sleepers_does_not_wait(log):
    migration = Migration(short_guest(sequential(set_mb=50.0), log=log), ring_sleep_s=15.0, kicks_wake=True)
    migration.step(9.0)
    assert migration.vcpus(VcpuField.DIRTIED_BYTES)[0] == pytest.approx(RING_BYTES, rel=1e-3)
    migration.step(0.9)
    assert migration.vm(VmField.SYNCS) == 2
    assert migration.vm(VmField.SYNC_TIME_S) == pytest.approx(NOTHING_DUE_S, abs=0.1)
    migration.step(0.5)  # one more ring, and again asleep
    assert migration.vcpus(VcpuField.STALLED_S)[0] > 0.25


@pytest.mark.parametrize(("kicks_wake", "rings"), [(True, 4), (False, 1)])
def test_reading_the_rings_wakes_the_sleepers_where_kicks_do(kicks_wake, rings):
    migration = Migration(guest(sequential()), ring_sleep_s=15.0, kicks_wake=kicks_wake, read_rings=True)
    dirtied = sum(migration.step(1.0).vcpu[0, VcpuField.DIRTIED_BYTES, 0] for _ in range(4))
    assert dirtied == pytest.approx(rings * RING_BYTES, rel=1e-3)
    assert migration.vm(VmField.SYNCS) == 1


def test_a_ring_with_a_reserve_is_full_that_much_earlier():
    whole = guest(sequential())
    log = DirtyLog(kind="ring", ring_entries=1024, ring_entries_lost=576)
    dirtied = [Migration(each, ring_sleep_s=20.0).step(5.0).vcpu[0, VcpuField.DIRTIED_BYTES, 0]
               for each in (whole, whole.model_copy(update={"dirty_log": log}))]  # fmt: skip
    assert dirtied == pytest.approx([1024 * 4096, 448 * 4096], rel=1e-3)


@pytest.mark.parametrize("log", ["ring", "software"])
@pytest.mark.parametrize("cap", [0.1, 0.5, 0.9])
def test_time_slices_average_to_the_cap(log, cap):
    migration = Migration(guest(sequential(), READERS, log=log), run_share_cap=cap)
    duration_s = 50 * 0.010 / cap
    migration.step(duration_s)
    np.testing.assert_allclose(migration.vcpus(VcpuField.RUN_S)[:2], cap * duration_s, rtol=1e-3)
    assert migration.vcpus(VcpuField.DIRTIED_BYTES)[0] == pytest.approx(RATE_MB_PER_S * MB * cap * duration_s, rel=2e-3)


def test_a_slice_begins_with_the_sleep():
    migration = Migration(guest(READERS, log="software"), run_share_cap=0.1)
    ran_s = [migration.step(each).vcpu[0, VcpuField.RUN_S, 0] for each in (0.09, 0.01, 0.05, 0.04, 0.01)]
    assert ran_s == pytest.approx([0.0, 0.01, 0.0, 0.0, 0.01], abs=1e-5)


def test_where_no_sync_waits_only_the_mean_of_a_cap_matters():
    migration = Migration(guest(READERS, log="bitmap"), run_share_cap=0.1)
    ran_s = [migration.step(each).vcpu[0, VcpuField.RUN_S, 0] for each in (0.09, 0.01)]
    assert ran_s == pytest.approx([0.009, 0.001], rel=1e-4)


# In cycles of 1 s a vCPU that is capped at 0.01 sleeps for 0.99 s; a stopped one does not take part in a sync.
@pytest.mark.parametrize(
    ("log", "cap", "sync_s"),
    [
        ("bitmap", 0.01, 9.7),
        ("ring", 0.01, 9.99),
        ("software", 0.01, 9.99),
        ("software", 0.1, 9.79),
        ("software", 1.0, 9.7),
        ("software", 0.0, 9.7),
    ],
)
def test_a_sync_waits_for_a_vcpu_that_sleeps_in_its_time_slice(log, cap, sync_s):
    migration = Migration(short_guest(READERS, log=log), run_share_cap=cap)
    migration.step(20.0)
    assert migration.at.done[0]
    assert migration.vm(VmField.SYNC_TIME_S) == pytest.approx(sync_s, abs=1e-3)
    assert migration.backend.outcomes().total_time_s[0] == pytest.approx(sync_s + 0.3, abs=1e-3)


# Three quarters of 10 MB/s: at a line of 40 MB/s a quarter of each window is enough to send its budget.
@pytest.mark.slow
@pytest.mark.parametrize(("cap", "sync_s", "made_up_for_s"), [(0.1, 9.79, 0.09), (0.01, 9.99, 0.1)])
def test_after_a_wait_the_idle_time_of_at_most_one_window_is_made_up_for_at_line_speed(cap, sync_s, made_up_for_s):
    link = ConstantLink(bandwidth_bytes_per_s=10.0 * MB, line_speed_bytes_per_s=40.0 * MB)
    busy = guest(READERS, sequential(set_mb=50.0), log="software", memory_mb=100.0, link=link)
    migration = Migration(busy, run_share_cap=[cap, 1.0, 1.0, 1.0])
    migration.step(9.75)
    assert migration.vm(VmField.SENT_BYTES) == pytest.approx(97.0 * MB, rel=1e-6)
    migration.step(10.0 - 9.75)
    assert migration.vm(VmField.SYNC_TIME_S) == pytest.approx(sync_s, abs=1e-5)
    sent_mb = 97.0 + 7.5 * made_up_for_s + 10.0 * (10.0 - sync_s)
    assert migration.vm(VmField.SENT_BYTES) == pytest.approx(sent_mb * MB, rel=1e-5)
