"""What must hold in the kernel and in the page-exact reference, whatever is migrated and however it is throttled."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqgym.backends.model import ModelBackend
from dqgym.backends.reference import ReferenceBackend
from dqgym.scenario import ConstantLink, Limits, Scenario, VcpuGroup, VirtualMachine
from dqgym.scenario.hosts.host import Host
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import VcpuField, VmField
from tests.model.migrations import NO_COSTS, READERS, SLOTS, Constant, migrate
from tests.model.sampling import HOSTS, draw_case, throttle_of

BACKENDS = pytest.mark.parametrize("make_backend", [ModelBackend, ReferenceBackend], ids=["kernel", "reference"])
PAGE = 4096
FEW = settings(max_examples=25, deadline=None, derandomize=True)
draws = st.integers(0, 2**32 - 1)
"""A seed of the sampler: any small migration."""


def case_of(draw: int):
    return draw_case(np.random.default_rng(draw))


@pytest.mark.slow
@BACKENDS
@FEW
@given(draw=draws)
def test_bytes_are_conserved(make_backend, draw):
    """What was sent and what remains is the memory once and what the syncs found, at any time."""
    case = case_of(draw)
    run = migrate(
        case.scenario, throttle=throttle_of([case]), parameters=HOSTS[case.host], make_backend=make_backend
    ).recorder
    page = case.scenario.vm.dirty_granule_bytes
    memory = case.scenario.vm.memory_bytes // page * page
    kept = run.vm(VmField.SENT_BYTES) + run.vm(VmField.REMAINING_BYTES) - run.vm(VmField.SYNCED_DIRTY_BYTES)
    np.testing.assert_allclose(kept, memory, rtol=1e-9 if make_backend is ReferenceBackend else 1e-6)


@pytest.mark.slow
@BACKENDS
@FEW
@given(draw=draws)
def test_run_and_stall_times_add_up_and_absent_vcpus_do_nothing(make_backend, draw):
    case = case_of(draw)
    run = migrate(
        case.scenario, throttle=throttle_of([case]), parameters=HOSTS[case.host], make_backend=make_backend
    ).recorder
    present = np.arange(SLOTS) < case.scenario.vcpus
    run_s, stalled_s = run.vcpu(VcpuField.RUN_S)[:, 0], run.vcpu(VcpuField.STALLED_S)[:, 0]
    interval_s = run.vm(VmField.INTERVAL_S)
    np.testing.assert_allclose((run_s + stalled_s)[:, present], np.tile(interval_s, present.sum()), atol=2e-5)
    assert (run_s >= -1e-6).all()
    assert not run_s[:, ~present].any()
    assert not run.vcpu(VcpuField.DIRTIED_BYTES)[:, 0, ~present].any()


@pytest.mark.slow
@BACKENDS
@FEW
@given(draw=draws)
def test_what_is_sent_takes_the_bandwidth_its_time(make_backend, draw):
    """No faster than the line, or without one than the highest bandwidth."""
    case = case_of(draw)
    scenario = case.scenario
    highest = scenario.link.line_speed_bytes_per_s or (
        scenario.bandwidth_bytes_per_s * 3.0  # as far as an Ornstein-Uhlenbeck link goes
    )
    if isinstance(scenario.link, ConstantLink) and scenario.link.line_speed_bytes_per_s is None:
        highest = scenario.bandwidth_bytes_per_s
    outcomes = migrate(
        scenario, throttle=throttle_of([case]), parameters=HOSTS[case.host], make_backend=make_backend
    ).outcomes
    assert outcomes.total_time_s[0] >= outcomes.bytes_sent[0] / highest * (1.0 - 1e-6)
    assert outcomes.bytes_sent[0] >= scenario.vm.memory_bytes * 0.999 or not outcomes.converged[0]


@pytest.mark.slow
@BACKENDS
@FEW
@given(
    pages=st.integers(5_000, 50_000),
    pass_time_s=st.floats(2.0, 60.0),
    downtime_s=st.floats(0.1, 1.0),
    log=st.sampled_from(["bitmap", "ring", "software"]),
)
def test_without_writes_a_migration_takes_one_pass(make_backend, pages, pass_time_s, downtime_s, log):
    scenario = Scenario(
        name="idle",
        vm=VirtualMachine(memory_bytes=pages * PAGE),
        workload=(READERS,),
        link=ConstantLink(bandwidth_bytes_per_s=pages * PAGE / pass_time_s),
        limits=Limits(downtime_s=downtime_s),
        dirty_log={"kind": log},
    )
    outcomes = migrate(scenario, make_backend=make_backend).outcomes
    page_s = pass_time_s / pages
    assert outcomes.total_time_s[0] == pytest.approx(pass_time_s, abs=3 * page_s)
    assert outcomes.bytes_sent[0] == pytest.approx(pages * PAGE)
    # Whole windows before the guest stops.
    running_s = outcomes.total_time_s[0] - outcomes.downtime_s[0]
    windows = running_s / NO_COSTS.window_s
    assert windows == pytest.approx(round(windows), abs=3 * page_s / NO_COSTS.window_s + 1e-6)
    assert outcomes.downtime_s[0] <= downtime_s + 1e-9


@pytest.mark.slow
@BACKENDS
@FEW
@given(draw=draws)
def test_a_migration_that_converges_is_down_no_longer_than_the_limit_and_the_host_s_last_stage(make_backend, draw):
    """However slowly zeros are scanned, and whatever waits for its sync."""
    case = case_of(draw)
    outcomes = migrate(
        case.scenario, throttle=throttle_of([case]), parameters=HOSTS[case.host], make_backend=make_backend
    ).outcomes
    longest_s = case.scenario.limits.downtime_s + case.scenario.last_stage_s
    assert not outcomes.converged[0] or outcomes.downtime_s[0] <= longest_s * (1.0 + 1e-6)


@pytest.mark.slow
@BACKENDS
@FEW
@given(draw=draws, zero_share=st.floats(0.01, 5.0), scan_s=st.floats(0.1, 20.0), stage_s=st.floats(0.0, 0.5))
def test_zeros_take_the_time_of_their_scan_and_a_last_stage_its_own(make_backend, draw, zero_share, scan_s, stage_s):
    """On top of what is sent, at no more than the highest bandwidth; and zeros themselves are not sent."""
    case = case_of(draw)
    zero_bytes = int(zero_share * case.scenario.vm.memory_bytes)
    vm = case.scenario.vm.model_copy(update={"zero_bytes": zero_bytes})
    host = Host(scan_speed_bytes_per_s=zero_bytes / scan_s, last_stage_s=stage_s)
    scenario = case.scenario.model_copy(update={"vm": vm, "host": host})
    outcomes = migrate(
        scenario, throttle=throttle_of([case]), parameters=HOSTS[case.host], make_backend=make_backend
    ).outcomes
    highest = scenario.link.line_speed_bytes_per_s or 3.0 * scenario.bandwidth_bytes_per_s
    least_s = outcomes.bytes_sent[0] / highest + scan_s + stage_s
    assert not outcomes.converged[0] or outcomes.total_time_s[0] >= least_s * (1.0 - 1e-6)
    assert outcomes.total_time_s[0] <= scenario.latest_end_s * (1.0 + 1e-6) + scenario.limits.downtime_s + stage_s


@BACKENDS
@FEW
@given(
    pattern=st.sampled_from(["uniform", "sequential", "hot-cold"]),
    log=st.sampled_from(["bitmap", "software"]),
    rate=st.floats(0.1, 5.0),
    share=st.floats(0.02, 2.0),
    cap=st.sampled_from([1.0, 0.5]),
)
def test_a_limit_holds_and_never_raises_what_is_dirtied(make_backend, pattern, log, rate, share, cap):
    """In the first round: later ones are not the same."""
    pages, pages_per_s, seconds = 20_000, 1000.0, 10.0
    hot = {"hot_fraction": 0.1, "hot_share": 0.7} if pattern == "hot-cold" else {}
    group = VcpuGroup(
        vcpus=1,
        pattern=pattern,
        working_set_bytes=pages // 2 * PAGE,
        write_rate_bytes_per_s=rate * pages_per_s * PAGE,
        **hot,
    )
    scenario = Scenario(
        name="limited",
        vm=VirtualMachine(memory_bytes=pages * PAGE),
        workload=(group,),
        link=ConstantLink(bandwidth_bytes_per_s=pages_per_s * PAGE),
        dirty_log={"kind": log},
    )
    limit = share * pages_per_s
    free, limited = (
        _pages_dirtied(scenario, Constant(each * PAGE, cap, control_interval=ControlInterval(seconds)), make_backend)
        for each in (math.inf, limit)
    )
    assert limited <= free + 4.0 * math.sqrt(free) + 2.0
    assert limited <= limit * (seconds + 0.02) + 2.0


def _pages_dirtied(scenario: Scenario, throttle: Constant, make_backend) -> float:
    """In the first control interval."""
    backend = make_backend(NO_COSTS, vcpu_slots=SLOTS)
    begun = backend.start([scenario], [0])
    throttle.reset(backend.facts)
    after = backend.step(throttle.act(begun), throttle.control_interval.seconds(backend.facts))
    assert after.per_vm(VmField.ROUND)[0] == 1
    return float(after.per_vcpu(VcpuField.DIRTIED_BYTES)[0, 0]) / PAGE
