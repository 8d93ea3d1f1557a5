"""What the vCPUs dirty: patterns, quotas, run-share caps, schedules and demand, against closed forms.

Most tests stop the guest for 0.9 T0 and then look at a short interval: 0.9 of every working set is clean then, evenly,
and hardly anything more is sent meanwhile.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqgym.backends.model import ModelBackend
from dqgym.model.parameters import DEFAULT_PARAMETERS, ModelParameters
from dqgym.scenario import Bursty, Phased, Scenario, VirtualMachine
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.telemetry import Telemetry, VcpuField, VmField
from tests.model.migrations import MB, NO_COSTS, READERS, SLOTS, Constant, migrate, scenario, writers

SENT = 0.9
GB_MB = 1000.0
PAGE_MB = 4096 / MB


def first_writes(
    case: Scenario, duration_s: float, throttle: Constant | None = None, parameters: ModelParameters = NO_COSTS
) -> Telemetry:
    """The telemetry of ``duration_s`` after the guest has been stopped for 0.9 T0."""
    backend = ModelBackend(parameters, vcpu_slots=SLOTS)
    telemetry = backend.start([case], [0])
    for command, interval_s in (
        (Constant(run_share_cap=0.0), SENT * case.pass_time_s),
        (throttle or Constant(), duration_s),
    ):
        command.reset(backend.facts)
        telemetry = backend.step(command.act(telemetry), np.array([interval_s]))
    assert not telemetry.done[0]
    return telemetry


def dirtied_mb(telemetry: Telemetry) -> np.ndarray:
    """[V] megabytes."""
    return telemetry.vcpu[0, VcpuField.DIRTIED_BYTES].astype(np.float64) / MB


def run_share(telemetry: Telemetry, duration_s: float) -> np.ndarray:
    return telemetry.vcpu[0, VcpuField.RUN_S].astype(np.float64) / duration_s


@pytest.mark.parametrize("working_sets_written", [0.01, 0.3, 1.0, 4.0])
def test_random_writes_saturate_exponentially(working_sets_written):
    group = writers("uniform", set_mb=200.0, rate_mb_per_s=200.0 * working_sets_written)
    expected = SENT * 200.0 * (1.0 - np.exp(-working_sets_written))
    assert dirtied_mb(first_writes(scenario(group), 1.0))[0] == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("working_sets_written", [0.01, 0.3, 0.99])
def test_sequential_writes_are_all_first_writes_to_what_is_clean(working_sets_written):
    group = writers("sequential", set_mb=200.0, rate_mb_per_s=200.0 * working_sets_written)
    expected = SENT * 200.0 * working_sets_written
    assert dirtied_mb(first_writes(scenario(group), 1.0))[0] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("duration_s", [0.05, 0.5, 2.0, 10.0])
def test_the_hot_part_saturates_first(duration_s):
    group = writers("hot-cold", set_mb=500.0, rate_mb_per_s=100.0, hot_fraction=0.1, hot_share=0.8)
    hot = 50.0 * (1.0 - np.exp(-0.8 * 100.0 * duration_s / 50.0))
    cold = 450.0 * (1.0 - np.exp(-0.2 * 100.0 * duration_s / 450.0))
    assert dirtied_mb(first_writes(scenario(group), duration_s))[0] == pytest.approx(SENT * (hot + cold), rel=0.01)


def test_readers_and_idlers_dirty_nothing_and_run():
    telemetry = first_writes(scenario(READERS, READERS.model_copy(update={"pattern": "idle"}), writers()), 1.0)
    assert (dirtied_mb(telemetry)[[0, 1, 3]] == 0.0).all()
    np.testing.assert_allclose(run_share(telemetry, 1.0), [1.0, 1.0, 1.0, 0.0], rtol=1e-6)


@pytest.mark.parametrize(("page_bytes", "factor"), [(4096, 1), (65536, 16), (2 * 2**20, 512)])
def test_a_random_store_dirties_a_whole_page(page_bytes, factor):
    vm = VirtualMachine(memory_bytes=int(GB_MB * MB), dirty_granule_bytes=page_bytes)
    group = writers("uniform", set_mb=500.0, rate_mb_per_s=0.02)
    expected = SENT * 500.0 * (1.0 - np.exp(-0.02 * factor / 500.0))
    assert dirtied_mb(first_writes(scenario(group, vm=vm), 1.0))[0] == pytest.approx(expected, rel=2e-3)


def test_sequential_stores_fill_large_pages():
    small, large = (
        dirtied_mb(
            first_writes(
                scenario(
                    writers("sequential", set_mb=500.0, rate_mb_per_s=50.0),
                    vm=VirtualMachine(memory_bytes=int(GB_MB * MB), dirty_granule_bytes=page_bytes),
                ),
                1.0,
            )
        )[0]
        for page_bytes in (4096, 2 * 2**20)
    )
    assert large == pytest.approx(small, rel=1e-3)


@pytest.mark.parametrize(("page_bytes", "stores_per_fault"), [(4096, 1), (65536, 16), (2 * 2**20, 512)])
def test_a_sequential_writer_takes_one_fault_for_each_page(page_bytes, stores_per_fault):
    """4 KiB are stored in 4096 ns, and a fault takes as long. After a sync the writer meets clean pages only."""
    parameters = NO_COSTS._replace(write_bytes_per_s=1e9, fault_s=4096e-9)
    vm = VirtualMachine(memory_bytes=int(GB_MB * MB), dirty_granule_bytes=page_bytes)
    group = writers("sequential", set_mb=900.0, rate_mb_per_s=1e6)
    telemetry = first_writes(scenario(group, vm=vm), 0.01, Constant(sync=True), parameters)
    assert dirtied_mb(telemetry)[0] == pytest.approx(0.01 * 1000.0 / (1.0 + 1.0 / stores_per_fault), rel=1e-3)


@pytest.mark.parametrize("pattern", ["uniform", "sequential"])
def test_a_vcpu_writes_no_faster_than_the_host(pattern):
    parameters = NO_COSTS._replace(write_bytes_per_s=50.0 * MB)
    group = writers(pattern, set_mb=990.0, rate_mb_per_s=1e6)
    wrote = dirtied_mb(first_writes(scenario(group), 0.1, Constant(sync=True), parameters))[0]
    assert wrote == pytest.approx(5.0 * (SENT if pattern == "uniform" else 1.0), rel=0.01)


@pytest.mark.parametrize(
    ("pattern", "limit_mb_per_s"),
    [
        *(("uniform", limit) for limit in (0.0, 0.5, 5.0)),
        *(("sequential", limit) for limit in (0.0, 0.5)),
        ("sequential", 5.0),
    ],
)
def test_a_limited_vcpu_dirties_its_limit(pattern, limit_mb_per_s):
    """And the page at which it is stopped."""
    group = writers(pattern, set_mb=500.0, rate_mb_per_s=20.0)
    telemetry = first_writes(scenario(group), 2.0, Constant(limit_mb_per_s * MB))
    assert dirtied_mb(telemetry)[0] == pytest.approx(2.0 * limit_mb_per_s, rel=0.01, abs=1.01 * PAGE_MB)


def test_a_limited_vcpu_runs_for_the_share_that_its_quota_covers_and_stalls_for_the_rest():
    group = writers("uniform", set_mb=500.0, rate_mb_per_s=10.0)
    telemetry = first_writes(scenario(group), 1.0, Constant(0.3 * SENT * 10.0 * MB))
    assert run_share(telemetry, 1.0)[0] == pytest.approx(0.3, rel=0.02)
    assert telemetry.vcpu[0, VcpuField.STALLED_S, 0] == pytest.approx(0.7, rel=0.02)
    assert telemetry.vcpu[0, VcpuField.QUOTA_EXITS, 0] == pytest.approx(100.0)  # one in every quota interval of 10 ms


@pytest.mark.parametrize(
    "pattern",
    [
        "uniform",
        "sequential",
    ],
)
def test_a_limit_that_hardly_bites_hardly_stalls(pattern):
    """A writer that loops over a tenth of the memory can dirty only what is sent of it, a tenth of the bandwidth."""
    group = writers(pattern, set_mb=100.0, rate_mb_per_s=0.4)
    above, below = (
        migrate(scenario(group), throttle=Constant(share * 0.1 * MB)).outcomes.guest_runtime[0]
        for share in (1.01, 0.97)
    )
    assert above - 0.05 < below <= above + 1e-3


def test_a_limit_above_the_demand_changes_nothing():
    group = writers("uniform", set_mb=500.0, rate_mb_per_s=10.0)
    free, limited = (first_writes(scenario(group), 1.0, each) for each in (Constant(), Constant(11.0 * MB)))
    np.testing.assert_array_equal(limited.vcpu, free.vcpu)
    assert limited.vcpu[0, VcpuField.QUOTA_EXITS, 0] == 0.0


@pytest.mark.slow
def test_a_run_share_cap_scales_run_time_and_writes():
    group = writers("uniform", set_mb=300.0, rate_mb_per_s=1.0, vcpus=3)
    telemetry = first_writes(scenario(group), 1.0, Constant(run_share_cap=[0.1, 0.5, 1.0]))
    np.testing.assert_allclose(dirtied_mb(telemetry)[:3], SENT * np.array([0.1, 0.5, 1.0]), rtol=2e-3)
    np.testing.assert_allclose(run_share(telemetry, 1.0)[:3], [0.1, 0.5, 1.0], rtol=1e-6)
    np.testing.assert_allclose(telemetry.vcpu[0, VcpuField.STALLED_S, :3], [0.9, 0.5, 0.0], atol=1e-6)


def test_quota_that_readers_leave_unclaimed_goes_to_the_writers():
    group = writers("uniform", set_mb=300.0, rate_mb_per_s=20.0, vcpus=2)
    readers = READERS.model_copy(update={"vcpus": 2})
    strict, pooled = (
        dirtied_mb(first_writes(scenario(group, readers), 1.0, Constant(1.0 * MB, share_unclaimed=shared)))
        for shared in (False, True)
    )
    np.testing.assert_allclose(strict, [1.0, 1.0, 0.0, 0.0], rtol=0.01)
    np.testing.assert_allclose(pooled, [2.0, 2.0, 0.0, 0.0], rtol=0.01)


def test_the_common_pool_gives_no_more_than_is_asked_for():
    small, large = (
        writers("uniform", set_mb=400.0, rate_mb_per_s=0.5),
        writers("uniform", set_mb=400.0, rate_mb_per_s=1.2),
    )
    pooled = dirtied_mb(first_writes(scenario(small, large), 1.0, Constant(1.0 * MB, share_unclaimed=True)))
    np.testing.assert_allclose(pooled[:2], [SENT * 0.5, SENT * 1.2], rtol=5e-3)


def test_exits_cost_what_the_harmonic_rule_says():
    """1/q = 1/limit + (1 - limit/natural) (1 + contention n (n - 1)) / exit_bytes_per_s for each of n throttled."""
    parameters = NO_COSTS._replace(exit_bytes_per_s=2.0 * MB, contention=0.1)
    group = writers("uniform", set_mb=240.0, rate_mb_per_s=20.0, vcpus=4)
    natural = SENT * 240.0 * (1.0 - np.exp(-20.0 / 240.0))
    expected = 1.0 / (1.0 / 1.5 + (1.0 - 1.5 / natural) * (1.0 + 0.1 * 12.0) / 2.0)
    telemetry = first_writes(scenario(group), 1.0, Constant(1.5 * MB), parameters)
    np.testing.assert_allclose(dirtied_mb(telemetry), expected, atol=1.01 * PAGE_MB)  # which the last exit comes after


def test_an_overshoot_is_paid_back():
    parameters = NO_COSTS._replace(overshoot_bytes=0.5 * MB)
    group = writers("uniform", set_mb=500.0, rate_mb_per_s=50.0)
    short, long = (
        dirtied_mb(first_writes(scenario(group), duration_s, Constant(1.0 * MB), parameters))[0]
        for duration_s in (0.1, 10.0)
    )
    assert 0.1 < short < 0.1 + 0.51
    assert long == pytest.approx(10.0, rel=0.06)


def test_open_loop_demand_makes_up_for_a_stall_and_closed_loop_demand_does_not():
    closed, open_loop = (
        dirtied_mb(first_writes(scenario(writers("uniform", set_mb=900.0, rate_mb_per_s=0.1, demand=demand)), 1.0))[0]
        for demand in ("closed", "open")
    )
    assert closed == pytest.approx(SENT * 0.1, rel=2e-3)
    backlog = 0.1 * (SENT * 1000.0 + 1.0)
    assert open_loop == pytest.approx(SENT * 900.0 * (1.0 - np.exp(-backlog / 900.0)), rel=2e-3)


def test_an_open_loop_backlog_is_worked_off_as_fast_as_pages_can_be_written():
    parameters = NO_COSTS._replace(write_bytes_per_s=20.0 * MB)
    group = writers("uniform", set_mb=900.0, rate_mb_per_s=0.1, demand="open")
    assert dirtied_mb(first_writes(scenario(group), 1.0, None, parameters))[0] == pytest.approx(
        SENT * 900.0 * (1.0 - np.exp(-20.0 / 900.0)), rel=2e-3
    )


@pytest.mark.parametrize(
    ("begin", "periods", "busy_periods"), [(0.0, 0.25, 0.25), (0.25, 0.75, 0.0), (0.0, 1.0, 0.25), (0.1, 2.3, 0.65)]
)
def test_a_phased_vcpu_writes_only_in_its_busy_part(begin, periods, busy_periods):
    """Periods of 10 s, a quarter of each busy; the guest was stopped for ninety of them."""
    schedule = Phased(period_s=10.0, duty=0.25, offset=begin)
    group = writers("uniform", set_mb=900.0, rate_mb_per_s=0.01, schedule=schedule)
    wrote = dirtied_mb(first_writes(scenario(group), 10.0 * periods))[0]
    sent = SENT + 0.5 * 10.0 * periods / 1000.0  # half-way through the interval
    assert wrote == pytest.approx(sent * 0.01 * 10.0 * busy_periods, rel=5e-3, abs=1e-6)


def test_schedules_average_out():
    """A slow writer whose periods are short dirties duty * rate + (1 - duty) * low * rate, phased or bursty."""
    mean_rate = 0.1 * (0.25 + 0.75 * 0.2)
    steady, phased, bursty = (
        migrate(scenario(writers("uniform", set_mb=900.0, rate_mb_per_s=rate, **schedule))).t - 1.0
        for rate, schedule in (
            (mean_rate, {}),
            (0.1, {"schedule": Phased(period_s=3.0, duty=0.25, low_rate_fraction=0.2)}),
            (0.1, {"schedule": Bursty(period_s=1.0, duty=0.25, low_rate_fraction=0.2)}),
        )
    )
    assert phased == pytest.approx(steady, rel=0.02)
    assert bursty == pytest.approx(steady, rel=0.1)


MIXED = get_suite("mixed").scenarios(48, seed=5, max_vcpus=SLOTS)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(shares=st.lists(st.floats(1e-3, 3.0), min_size=SLOTS, max_size=SLOTS), pass_times=st.floats(0.01, 0.5))
def test_a_limit_holds_and_never_raises_what_a_vcpu_dirties(shares, pass_times):
    backend = ModelBackend(DEFAULT_PARAMETERS, vcpu_slots=SLOTS)
    dirtied = []
    limit = np.array([[share * each.bandwidth_bytes_per_s for share in shares] for each in MIXED])
    interval_s = np.array([pass_times * each.pass_time_s for each in MIXED])
    for throttle in (Constant(), Constant(limit)):
        telemetry = backend.start(MIXED, [0] * len(MIXED))
        throttle.reset(backend.facts)
        telemetry = backend.step(throttle.act(telemetry), interval_s)
        dirtied.append(telemetry.per_vcpu(VcpuField.DIRTIED_BYTES).astype(np.float64))
    free, limited = dirtied
    one_round = telemetry.per_vm(VmField.ROUND) == 1  # later rounds are not the same ones
    assert one_round.sum() > 10
    assert (limited <= free * (1.0 + 1e-4) + 4096.0)[one_round].all()
    assert (limited <= limit * (interval_s[:, None] + 0.02) + DEFAULT_PARAMETERS.overshoot_bytes + 4096.0).all()


@pytest.mark.slow
def test_a_lower_cap_never_makes_a_migration_longer():
    cases = get_suite("working-sets").scenarios(60, seed=2, max_vcpus=SLOTS)
    times = np.array(
        [
            migrate(*cases, throttle=Constant(run_share_cap=cap), parameters=DEFAULT_PARAMETERS).outcomes.time_over_t0
            for cap in (1.0, 0.8, 0.6, 0.4, 0.2, 0.05)
        ]
    )
    assert times[0].max() > 5.0
    assert (np.diff(times, axis=0) <= 1e-3 * times[1:]).all()
