import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.cost import LEAST_RUN_SHARE, MAX_STALL
from dqgym.model.parameters import DEFAULT_PARAMETERS
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.command import free_command
from dqgym.telemetry.telemetry import VcpuField, VmField
from dqgym.throttles.registry import make_throttle
from tests.model.migrations import MB, SLOTS, Constant, migrate, scenario, writers

MIXED = get_suite("mixed").scenarios(40, seed=11, max_vcpus=SLOTS)
SEEDS = list(range(100, 140))


def run(scenarios, seeds, slots=SLOTS):
    return run_migrations(ModelBackend(vcpu_slots=slots), scenarios, make_throttle("dirty-quota"), seeds)


def assert_same(outcomes, others, rows=slice(None)):
    for name in ("total_time_s", "downtime_s", "guest_runtime", "bytes_sent", "rounds", "stall_s", "converged"):
        np.testing.assert_array_equal(getattr(outcomes, name)[rows], getattr(others, name), err_msg=name)


@pytest.mark.slow
def test_the_same_seeds_give_the_same_migrations():
    assert_same(run(MIXED, SEEDS), run(MIXED, SEEDS))


def test_another_seed_gives_another_migration_where_something_is_random():
    first, other = run(MIXED, SEEDS), run(MIXED, [seed + 1000 for seed in SEEDS])
    differ = first.total_time_s != other.total_time_s
    is_random = np.array(
        [
            each.link.kind in ("markov", "ornstein-uhlenbeck")
            or any(group.schedule.kind == "bursty" for group in each.workload)
            for each in MIXED
        ]
    )
    assert not differ[~is_random].any()
    assert differ[is_random].mean() > 0.5  # in a short migration, perhaps nothing changes


def test_a_migration_is_the_same_wherever_it_stands_in_a_batch():
    together = run(MIXED, SEEDS)
    for rows in (slice(7, 8), slice(13, 30)):
        assert_same(together, run(MIXED[rows], SEEDS[rows]), rows)
    backwards = run(MIXED[::-1], SEEDS[::-1])
    assert_same(together, backwards, slice(None, None, -1))


def test_a_backend_that_has_played_them_before_plays_them_the_same():
    backend, twice = ModelBackend(vcpu_slots=SLOTS), tuple(MIXED)

    def play(scenarios):
        return run_migrations(backend, scenarios, make_throttle("dirty-quota"), SEEDS[: len(scenarios)])

    first, again, others = play(twice), play(twice), play(twice[5:9])
    assert_same(first, again)
    assert_same(run(MIXED[5:9], SEEDS[:4]), others)


def test_a_backend_that_is_told_other_constants_does_not_play_the_ones_before():
    guests, faster = (
        tuple(MIXED),
        DEFAULT_PARAMETERS._replace(exit_bytes_per_s=10.0 * DEFAULT_PARAMETERS.exit_bytes_per_s),
    )

    def time_s(backend):
        return run_migrations(backend, guests, make_throttle("dirty-quota"), range(len(guests))).total_time_s

    told = ModelBackend(vcpu_slots=SLOTS)
    before = time_s(told)
    told.parameters = faster
    np.testing.assert_array_equal(time_s(told), time_s(ModelBackend(faster, vcpu_slots=SLOTS)))
    assert (time_s(told) != before).any()


@pytest.mark.slow
def test_what_is_commanded_for_absent_slots_has_no_effect():
    case = scenario(writers(vcpus=2, set_mb=100.0, rate_mb_per_s=0.3))
    plain = migrate(case, throttle=Constant([0.1 * MB, 0.2 * MB, np.inf, np.inf], run_share_cap=[0.9, 0.8, 1.0, 1.0]))
    odd = migrate(case, throttle=Constant([0.1 * MB, 0.2 * MB, 0.0, 5.0], run_share_cap=[0.9, 0.8, 0.0, 0.3]))
    np.testing.assert_array_equal(odd.outcomes.total_time_s, plain.outcomes.total_time_s)
    np.testing.assert_array_equal(odd.outcomes.guest_runtime, plain.outcomes.guest_runtime)
    assert odd.outcomes.max_throttle_percent[0] == pytest.approx(20.0)


def test_an_ended_migration_stays_as_it_is():
    short, long = scenario(memory_mb=100.0), scenario(memory_mb=1000.0)
    backend = ModelBackend(vcpu_slots=SLOTS)
    backend.start([short, long], [0, 1])
    free = free_command(backend.facts)
    interval_s = np.array([150.0, 150.0])
    ended = backend.step(free, interval_s)
    np.testing.assert_array_equal(ended.done, [True, False])
    for _ in range(3):
        later = backend.step(free, interval_s)
        np.testing.assert_array_equal(later.vcpu[0], ended.vcpu[0])
        np.testing.assert_array_equal(later.vm[0], ended.vm[0])
    assert later.per_vm(VmField.TIME_S)[1] == pytest.approx(600.0)


def test_telemetry_is_not_overwritten_by_later_steps():
    backend = ModelBackend(vcpu_slots=SLOTS)
    begun = backend.start(MIXED[:4], [0] * 4)
    vcpu, vm = begun.vcpu.copy(), begun.vm.copy()
    backend.step(free_command(backend.facts), np.ones(4))
    np.testing.assert_array_equal(begun.vcpu, vcpu)
    np.testing.assert_array_equal(begun.vm, vm)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(
    cap=st.floats(0.0, 1.0),
    limit_share=st.one_of(st.none(), st.floats(0.0, 2.0)),
    pass_times=st.floats(0.002, 0.5),
    shared=st.booleans(),
)
def test_telemetry_adds_up(cap, limit_share, pass_times, shared):
    backend = ModelBackend(vcpu_slots=SLOTS)
    before = backend.start(MIXED, SEEDS)
    limit = np.inf if limit_share is None else [[limit_share * each.bandwidth_bytes_per_s] for each in MIXED]
    throttle = Constant(np.broadcast_to(limit, (len(MIXED), SLOTS)), cap, share_unclaimed=shared)
    throttle.reset(backend.facts)
    interval_s = pass_times * backend.facts.pass_time_s
    for _ in range(6):
        after = backend.step(throttle.act(before), interval_s)
        took_s = after.per_vm(VmField.INTERVAL_S)
        running = ~before.done
        assert (took_s <= interval_s * (1.0 + 1e-9) + 1e-9)[running].all()
        run_s, stalled_s = after.per_vcpu(VcpuField.RUN_S), after.per_vcpu(VcpuField.STALLED_S)
        present = backend.facts.present
        np.testing.assert_allclose(
            (run_s + stalled_s)[running], (took_s[:, None] * present)[running], rtol=1e-4, atol=1e-5
        )
        assert (run_s >= 0.0).all()
        assert (stalled_s >= -1e-6).all()
        assert (run_s <= (cap * took_s[:, None] * present) * (1.0 + 1e-4) + 1e-6)[running].all()
        assert (after.per_vcpu(VcpuField.DIRTIED_BYTES)[~present] == 0.0).all()
        assert np.isfinite(after.vcpu).all()
        assert np.isfinite(after.vm).all()
        downtime_s = after.vm[:, VmField.TIME_S] - before.vm[:, VmField.TIME_S] - took_s
        assert (np.abs(downtime_s[running & ~after.done]) < 1e-6).all()
        assert (downtime_s > -1e-6)[running].all()
        before = after


def test_measured_bandwidth_is_what_was_sent_over_the_time_it_took():
    result = migrate(*MIXED, throttle=Constant(0.0))
    sent = np.diff(result.recorder.vm(VmField.SENT_BYTES), axis=0)
    took_s = result.recorder.vm(VmField.INTERVAL_S)[1:]
    measured = result.recorder.vm(VmField.BANDWIDTH_BYTES_PER_S)[1:]
    done = np.array([each.done for each in result.recorder.telemetry])
    sending = ~done[1:]
    assert sending.sum() > 100
    # Right after the last page of a round, the sender may wait for the round to be 100 ms long.
    ratio = (sent / took_s / measured)[sending]
    assert (ratio <= 1.0 + 1e-6).all()
    assert np.median(ratio) == pytest.approx(1.0, abs=1e-6)


def test_outcomes_agree_with_telemetry():
    result = migrate(*MIXED, throttle=Constant(run_share_cap=0.4))
    outcomes, last = result.outcomes, result.recorder.telemetry[-1]
    np.testing.assert_array_equal(outcomes.total_time_s, last.per_vm(VmField.TIME_S))
    np.testing.assert_array_equal(outcomes.bytes_sent, last.per_vm(VmField.SENT_BYTES))
    np.testing.assert_array_equal(outcomes.rounds, last.per_vm(VmField.ROUND))
    run_s = result.recorder.vcpu(VcpuField.RUN_S).sum(axis=0)
    present = ~np.isnan(outcomes.guest_runtime_per_vcpu)
    per_vcpu = run_s / outcomes.total_time_s[:, None]
    np.testing.assert_allclose(outcomes.guest_runtime_per_vcpu[present], per_vcpu[present], rtol=1e-3)
    np.testing.assert_allclose(outcomes.guest_runtime, np.nanmean(outcomes.guest_runtime_per_vcpu, axis=1))
    np.testing.assert_array_equal(outcomes.worst_vcpu_runtime, np.nanmin(outcomes.guest_runtime_per_vcpu, axis=1))
    np.testing.assert_allclose(outcomes.max_throttle_percent, 60.0, rtol=1e-6)
    assert (np.isnan(outcomes.downtime_s) == ~outcomes.converged).all()


def test_stall_is_the_integral_of_the_cost_over_windows():
    """At a constant run share r the integral is -ln r times the running time."""
    result = migrate(scenario(memory_mb=100.0), throttle=Constant(run_share_cap=0.25))
    running_s = result.outcomes.total_time_s[0] - result.outcomes.downtime_s[0]
    assert result.outcomes.stall_s[0] == pytest.approx(-np.log(0.25) * running_s, rel=1e-5)
    stopped = migrate(scenario(memory_mb=100.0), throttle=Constant(run_share_cap=0.0))
    assert stopped.outcomes.stall_s[0] == pytest.approx(min(MAX_STALL, -np.log(LEAST_RUN_SHARE)) * 99.7, rel=1e-4)


def test_a_migration_completes_within_its_downtime_limit():
    result = migrate(*MIXED, throttle=Constant(run_share_cap=0.2))
    limit_s = np.array([each.limits.downtime_s for each in MIXED])
    assert result.outcomes.converged.sum() > 20
    assert (result.outcomes.downtime_s <= limit_s * (1.0 + 1e-9))[result.outcomes.converged].all()


def test_seeds_must_be_as_many_as_scenarios():
    with pytest.raises(ValueError, match="2 scenarios need as many seeds, not 1"):
        ModelBackend(vcpu_slots=SLOTS).start(MIXED[:2], [0])


def test_slots_that_are_too_few_are_refused():
    with pytest.raises(ValueError, match="more than vcpu_slots=2"):
        ModelBackend(vcpu_slots=2).start([scenario(writers(vcpus=3))], [0])


def test_close_can_be_called_twice():
    backend = ModelBackend()
    backend.close()
    backend.close()
