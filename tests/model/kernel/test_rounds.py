"""Rounds, completion, downtime and deadlines of the model, against closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from dqgym.backends.model import ModelBackend
from dqgym.backends.reference import ReferenceBackend
from dqgym.scenario import ConstantLink, DeviceWrites, Limits, VirtualMachine
from dqgym.scenario.hosts.host import Host
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.command import free_command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import VmField
from tests.model.migrations import MB, NO_COSTS, PAGE_BY_PAGE, READERS, SLOTS, Constant, migrate, scenario, writers

BACKENDS = pytest.mark.parametrize("make_backend", [ModelBackend, ReferenceBackend], ids=["kernel", "reference"])
PAGE = 4096
CONSTANT_LINKS = [
    each
    for each in get_suite("stationary").scenarios(64, seed=3, max_vcpus=SLOTS)
    if isinstance(each.link, ConstantLink)
]


@pytest.mark.parametrize("memory_mb", [64.0, 1000.0, 1e6])
def test_without_writes_the_time_is_one_pass(memory_mb):
    readers_and_idlers = (READERS, READERS.model_copy(update={"pattern": "idle", "vcpus": 3}))
    run = migrate(scenario(*readers_and_idlers, memory_mb=memory_mb, bandwidth_mb_per_s=7.0))
    assert run.t == pytest.approx(1.0, abs=1e-6)
    assert run.outcomes.converged[0]
    assert run.outcomes.rounds[0] == 1
    assert run.outcomes.bytes_sent[0] == pytest.approx(memory_mb * MB)


def test_the_last_stage_lasts_the_downtime_limit_where_nothing_is_dirtied():
    run = migrate(scenario(bandwidth_mb_per_s=10.0, limits=Limits(downtime_s=0.2)))
    assert run.outcomes.downtime_s[0] == pytest.approx(0.2)
    assert run.outcomes.guest_runtime[0] == pytest.approx(1.0 - 0.2 / 100.0, rel=1e-6)


@pytest.mark.parametrize(
    ("downtime_limit_s", "downtime_s"), [(0.11, 0.1), (0.19, 0.1), (0.2, 0.2), (0.25, 0.2), (0.09, 0.0)]
)
def test_the_sender_looks_at_the_start_of_a_window_whether_to_sync(downtime_limit_s, downtime_s):
    """A pass of 100 s is a thousand windows of 0.1 s; the guest is stopped at the start of one."""
    run = migrate(scenario(bandwidth_mb_per_s=10.0, limits=Limits(downtime_s=downtime_limit_s)))
    assert run.outcomes.downtime_s[0] == pytest.approx(downtime_s, abs=1e-6)
    assert run.outcomes.total_time_s[0] == pytest.approx(100.0)


@pytest.mark.parametrize(("zero_mb", "downtime_s"), [(0.0, 0.3), (1.0, 0.2), (2.0, 0.1), (3.0, 0.0)])
def test_pages_of_zeros_wait_in_the_first_round_and_send_nothing(zero_mb, downtime_s):
    """The first sync comes when the 3 MB of the downtime limit hold the rest and the zeros."""
    vm = VirtualMachine(memory_bytes=100 * MB, zero_bytes=int(zero_mb * MB))
    run = migrate(scenario(vm=vm, bandwidth_mb_per_s=10.0, host=Host(scan_speed_bytes_per_s=1e15)))
    assert run.outcomes.total_time_s[0] == pytest.approx(10.0)
    assert run.outcomes.downtime_s[0] == pytest.approx(downtime_s, abs=1e-6)
    assert run.outcomes.bytes_sent[0] == pytest.approx(100 * MB)


@BACKENDS
@pytest.mark.parametrize("pages_per_s", [50.0, 100.0, 2000.0])
def test_pages_of_zeros_take_time_at_the_scan_speed_of_the_host(make_backend, pages_per_s):
    """10 s for a thousand pages, then the zeros, all but what fits into the downtime; that comes in it.

    30 pages fit as far as the link goes, and no more than the sender scans in 0.3 s.
    """
    vm = VirtualMachine(memory_bytes=1000 * PAGE, zero_bytes=9030 * PAGE)
    host = Host(scan_speed_bytes_per_s=pages_per_s * PAGE, last_stage_s=0.02)
    link = ConstantLink(bandwidth_bytes_per_s=100.0 * PAGE)
    outcomes = migrate(scenario(vm=vm, link=link, host=host), make_backend=make_backend).outcomes
    assert outcomes.total_time_s[0] == pytest.approx(10.0 + 9030.0 / pages_per_s + 0.02, abs=0.1)
    assert outcomes.downtime_s[0] == pytest.approx(0.02 + min(30.0 / pages_per_s, 0.3), abs=0.1)
    assert outcomes.downtime_s[0] <= 0.3 + 0.02 + 1e-9
    assert outcomes.bytes_sent[0] == pytest.approx(1000 * PAGE)
    assert outcomes.converged[0]


@BACKENDS
def test_a_last_stage_grows_with_the_guest(make_backend):
    """By its sync, of 1 ms for each of the 2 GiB."""
    vm = VirtualMachine(memory_bytes=1024 * PAGE, zero_bytes=2**31 - 1024 * PAGE)
    link = ConstantLink(bandwidth_bytes_per_s=512.0 * PAGE)
    plain, slow = (
        migrate(scenario(vm=vm, link=link, host=host), make_backend=make_backend).outcomes
        for host in (Host(), Host(last_stage_s=0.015, sync_per_gib_s=1e-3))
    )
    assert slow.downtime_s[0] - plain.downtime_s[0] == pytest.approx(0.017, abs=1e-6)
    assert slow.total_time_s[0] - plain.total_time_s[0] == pytest.approx(0.017, abs=1e-6)


def test_the_last_stage_goes_at_line_speed():
    link = ConstantLink(bandwidth_bytes_per_s=10.0 * MB, line_speed_bytes_per_s=40.0 * MB)
    run = migrate(scenario(link=link, limits=Limits(downtime_s=0.4)))
    assert run.outcomes.downtime_s[0] == pytest.approx(0.1)
    assert run.outcomes.total_time_s[0] == pytest.approx(100.0 - 0.4 + 0.1)


@pytest.mark.parametrize("pattern", ["uniform", "sequential"])
@pytest.mark.parametrize("x", [0.05, 0.2, 0.4])
def test_a_slow_writer_makes_rounds_a_geometric_series(pattern, x):
    """Each round is x times the last, but the first is halved: half of it meets pages that still wait to be sent."""
    run = migrate(scenario(writers(pattern, set_mb=1e3, rate_mb_per_s=x)))
    first = x / 2.0 if pattern == "sequential" else _mean_of_deferred_uniform(x)
    assert run.t == pytest.approx(1.0 + first / (1.0 - x), rel=0.02)
    assert 1.0 + 0.9 * x / 2.0 < run.t < 1.0 / (1.0 - x)


def _mean_of_deferred_uniform(x: float) -> float:
    """Share dirty after a pass: a page sent at u, uniform in 0 .. 1, is written at least once in the 1 - u after it."""
    return 1.0 - (1.0 - np.exp(-x)) / x


@pytest.mark.parametrize("quota_share", [0.2, 0.5, 0.8])
def test_streaming_writers_under_a_constant_quota_dirty_what_the_link_has_to_spare(quota_share):
    """sum_i d_i = B - m / T: what is sent is the memory and what was dirtied, whatever the schedule."""
    group = writers("sequential", vcpus=4, set_mb=250.0, rate_mb_per_s=5.0)
    run = migrate(scenario(group), throttle=Constant(quota_share / 4 * MB))
    dirtied_per_s = run.dirtied_bytes.sum() / run.outcomes.total_time_s[0]
    assert dirtied_per_s == pytest.approx(MB * (1.0 - 1.0 / run.t), rel=1e-3)
    assert dirtied_per_s == pytest.approx(quota_share * MB, rel=0.01)
    # A little less: while hardly anything is sent, hardly anything can be dirtied.
    assert run.t == pytest.approx(1.0 / (1.0 - quota_share), rel=0.02)


def test_bytes_are_conserved():
    """All that is sent is the memory once, and what the syncs found dirty; nothing is dirtied that no sync finds."""
    links = [each.model_copy(update={"dirty_log": PAGE_BY_PAGE}) for each in CONSTANT_LINKS]
    run = migrate(*links, throttle=Constant(2.0 * MB))
    outcomes, converged = run.outcomes, run.outcomes.converged
    assert converged.sum() > 20
    memory = np.array([each.vm.memory_bytes for each in CONSTANT_LINKS])
    found = run.recorder.telemetry[-1].per_vm(VmField.SYNCED_DIRTY_BYTES)
    np.testing.assert_allclose(outcomes.bytes_sent[converged], (memory + found)[converged], rtol=1e-9)
    without_devices = converged & [each.device.rate_bytes_per_s == 0 for each in CONSTANT_LINKS]
    assert without_devices.sum() > 10
    np.testing.assert_allclose(run.dirtied_bytes.sum(axis=1)[without_devices], found[without_devices], rtol=1e-3)


def test_no_migration_is_faster_than_the_link():
    run = migrate(*CONSTANT_LINKS, throttle=Constant(run_share_cap=0.3))
    own_line = np.array([each.link.line_speed_bytes_per_s is None for each in CONSTANT_LINKS])
    assert own_line.sum() > 10
    bandwidth = np.array([each.bandwidth_bytes_per_s for each in CONSTANT_LINKS])
    least_s = run.outcomes.bytes_sent / bandwidth
    assert (run.outcomes.total_time_s >= least_s * (1.0 - 1e-9))[own_line].all()
    assert (run.outcomes.time_over_t0 >= 1.0 - 1e-9)[own_line].all()


def test_a_migration_that_never_converges_ends_at_its_deadline():
    greedy = writers(vcpus=2, set_mb=400.0, rate_mb_per_s=50.0)
    run = migrate(scenario(greedy, limits=Limits(downtime_s=0.3, deadline_pass_times=3.0)))
    assert not run.outcomes.converged[0]
    assert run.outcomes.total_time_s[0] == pytest.approx(3000.0)
    assert np.isnan(run.outcomes.downtime_s[0])
    assert run.outcomes.bytes_sent[0] == pytest.approx(3000.0 * MB, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("pass_times", [0.003, 0.02, 0.11, 1.7])
def test_what_happens_does_not_depend_on_the_control_interval(pass_times):
    """Rounds end when they end, not at the border of an interval."""
    group = writers("uniform", vcpus=2, set_mb=100.0, rate_mb_per_s=0.25)
    fine = migrate(scenario(group), throttle=Constant(control_interval=ControlInterval(0.0, 0.001)))
    coarse = migrate(scenario(group), throttle=Constant(control_interval=ControlInterval(0.0, pass_times)))
    assert coarse.t == pytest.approx(fine.t, rel=5e-3)
    assert abs(int(coarse.outcomes.rounds[0]) - int(fine.outcomes.rounds[0])) <= 1


def test_a_requested_sync_ends_no_round_and_finds_what_was_dirtied_so_far():
    backend = ModelBackend(NO_COSTS, vcpu_slots=SLOTS)
    begun = backend.start([scenario(writers("uniform", set_mb=100.0, rate_mb_per_s=0.5))], [0])
    free = free_command(backend.facts)
    assert begun.per_vm(VmField.SYNCS)[0] == begun.per_vm(VmField.ROUND)[0] == 1
    before = backend.step(free, np.array([500.0]))
    after = backend.step(replace(free, sync=np.array([True])), np.array([1e-6]))
    assert before.per_vm(VmField.SYNCS)[0] == 1
    assert after.per_vm(VmField.SYNCS)[0] == 2
    assert after.per_vm(VmField.ROUND)[0] == 1
    assert after.per_vm(VmField.SYNC_TIME_S)[0] == pytest.approx(500.0)
    assert after.per_vm(VmField.SYNCED_SENT_BYTES)[0] == pytest.approx(500.0 * MB)
    found = after.per_vm(VmField.SYNCED_DIRTY_BYTES)[0]
    assert found == pytest.approx(before.vcpu[0, 0].sum(), rel=1e-6)
    assert found > 10 * MB
    assert after.per_vm(VmField.REMAINING_BYTES)[0] == pytest.approx(500.0 * MB + found, rel=1e-6)


def test_devices_go_on_writing_while_no_vcpu_runs():
    device = DeviceWrites(rate_bytes_per_s=int(0.2 * MB), working_set_bytes=int(1e3 * MB))
    run = migrate(scenario(device=device), throttle=Constant(0.0, run_share_cap=0.0))
    found = run.recorder.telemetry[-1].per_vm(VmField.SYNCED_DIRTY_BYTES)[0]
    assert run.outcomes.guest_runtime[0] == 0.0
    assert run.dirtied_bytes.sum() == 0.0
    assert found == pytest.approx(1e3 * MB * _mean_of_deferred_uniform(0.2) / 0.8, rel=0.03)
    assert run.t == pytest.approx(1.0 + found / (1e3 * MB), rel=1e-3)


def test_a_guest_that_is_stopped_is_down_all_the_time():
    run = migrate(scenario(writers(rate_mb_per_s=5.0)), throttle=Constant(run_share_cap=0.0))
    assert run.t == pytest.approx(1.0, abs=1e-6)
    assert run.outcomes.downtime_s[0] == pytest.approx(1000.0)
    assert run.outcomes.max_throttle_percent[0] == 100.0
