import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqgym.controller.loop import run_migrations
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField, first_telemetry
from dqgym.throttles.rules.quota_rule import QuotaRule, RuleParameters, rounds_done, smallest_within
from dqgym.throttles.rules.tuned_rule import TunedRule, TunedRuleOptions
from tests.controller.fakes import MIB, FakeBackend, FakeMigration, writers

MEMORY, BANDWIDTH, INTERVAL_S = 1e9, 1e8, 0.4


def facts(present=(True, True, True)):
    return Facts(
        present=np.array([present]),
        memory_bytes=np.array([MEMORY]),
        bandwidth_bytes_per_s=np.array([BANDWIDTH]),
        downtime_limit_s=np.array([0.3]),
        deadline_s=np.array([200.0]),
        ring_bytes=np.array([16.0 * MIB]),
    )


def telemetry(dirtied, run_s=(INTERVAL_S,) * 3, sent=0.0, remaining=MEMORY, synced_sent=0.0, syncs=1, **others):
    vm = np.zeros((1, len(VmField)))
    values = {
        VmField.INTERVAL_S: INTERVAL_S,
        VmField.SENT_BYTES: sent,
        VmField.REMAINING_BYTES: remaining,
        VmField.ROUND: syncs,
        VmField.SYNCS: syncs,
        VmField.SYNCED_SENT_BYTES: synced_sent,
        VmField.BANDWIDTH_BYTES_PER_S: others.get("bandwidth", BANDWIDTH),
    }
    for field, value in values.items():
        vm[0, field] = value
    vcpu = np.zeros((1, len(VcpuField), 3), dtype=np.float32)
    vcpu[0, VcpuField.DIRTIED_BYTES] = dirtied
    vcpu[0, VcpuField.RUN_S] = run_s
    return Telemetry(vcpu, vm, np.array([others.get("done", False)]))


def limits(throttle, *seen):
    for one in seen:
        command = throttle.act(one)
    return command.dirty_limit_bytes_per_s[0]


def rule(present=(True, True, True), **options):
    throttle = TunedRule(TunedRuleOptions(**options))
    throttle.reset(facts(present))
    return throttle


def test_all_run_free_until_the_free_rounds_are_done_and_then_share_the_quota_equally():
    throttle = rule(free_rounds=0.5, quota_fraction=0.3, working_set_threshold=0)
    assert np.isinf(limits(throttle, first_telemetry(facts()))).all()
    dirtied = (1e6, 2e6, 3e6)
    assert np.isinf(limits(throttle, telemetry(dirtied, sent=0.49e9, remaining=0.51e9))).all()
    assert limits(throttle, telemetry(dirtied, sent=0.5e9, remaining=0.5e9)) == pytest.approx([1e7] * 3)


def test_the_quota_follows_the_measured_bandwidth_and_the_configured_one_where_none_is_measured():
    for measured, expected in ((5e7, 5e6), (np.nan, 1e7)):
        throttle = rule(free_rounds=0, quota_fraction=0.3, working_set_threshold=0)
        assert limits(throttle, telemetry((1, 1, 1), bandwidth=measured)) == pytest.approx([expected] * 3)


def test_those_with_the_smallest_working_sets_are_spared_and_the_others_share_all_of_the_quota():
    throttle = rule(free_rounds=0, quota_fraction=0.3, working_set_threshold=0.05)
    # 5 % of this round's 1e9 bytes: 20 + 30 fit.
    assert list(limits(throttle, telemetry((20e6, 200e6, 30e6)))) == pytest.approx([np.inf, 3e7, np.inf])
    # 21 + 30 do not.
    assert list(limits(throttle, telemetry((1e6, 0, 0)))) == pytest.approx([np.inf, 1.5e7, 1.5e7])


def test_the_threshold_is_of_the_bytes_of_this_round():
    throttle = rule(free_rounds=0, quota_fraction=0.3, working_set_threshold=0.05)
    small_round = {"sent": 1.1e9, "synced_sent": 1e9, "remaining": 1e8, "syncs": 2}
    assert limits(throttle, telemetry((20e6, 200e6, 5e6), **small_round)) == pytest.approx([1.5e7, 1.5e7, np.inf])


def test_no_limit_is_below_the_floor_at_the_largest_demand_so_far():
    throttle = rule(free_rounds=0, quota_fraction=0.03, working_set_threshold=0, floor=0.1)
    # Demands by run time: 40e6 / 0.4 s = 1e8/s, 40e6 / 0.1 s = 4e8/s, none.
    first = telemetry((40e6, 40e6, 0), run_s=(0.4, 0.1, 0.4))
    assert list(limits(throttle, first)) == pytest.approx([1e7, 4e7, np.inf])
    assert list(limits(throttle, telemetry((1e6, 1e6, 0)))) == pytest.approx([1e7, 4e7, np.inf])


def test_a_backend_that_measures_nothing_of_the_vcpus_leaves_them_free():
    throttle = rule(free_rounds=0, working_set_threshold=0, floor=0.1)
    assert np.isinf(limits(throttle, telemetry((np.nan,) * 3, run_s=(np.nan,) * 3))).all()
    # Without a run time, the whole interval counts.
    limit = limits(rule(free_rounds=0, quota_fraction=0.01, working_set_threshold=0, floor=1.0),
                   telemetry((40e6,) * 3, run_s=(np.nan,) * 3))  # fmt: skip
    assert limit == pytest.approx([1e8] * 3)


def test_absent_vcpus_take_no_part_of_the_quota():
    throttle = rule(present=(True, True, False), free_rounds=0, quota_fraction=0.3, working_set_threshold=0)
    assert limits(throttle, telemetry((1e6, 1e6, 0))) == pytest.approx([1.5e7, 1.5e7, np.inf])


def test_a_working_set_is_the_most_that_was_dirtied_between_two_syncs():
    known = QuotaRule(facts())
    for seen, now, largest in (
        (telemetry((1, 10, 0)), 10, 10),
        (telemetry((1, 20, 0)), 30, 30),
        (telemetry((1, 5, 0), syncs=2), 0, 35),  # the interval with the sync counts to the round that ended
        (telemetry((1, 7, 0), syncs=2), 7, 35),
    ):
        known.observe(seen)
        assert known.sets.round_bytes[0, 1] == now
        assert known.sets.largest_round_bytes[0, 1] == largest


def test_migrations_that_have_ended_are_left_alone():
    known = QuotaRule(facts())
    running = known.observe(telemetry((1, 1, 1), done=True))
    assert running.rows.size == 0
    command = known.command(running, RuleParameters(0.0, 0.1, 0.0, 0.0))
    assert np.isinf(command.dirty_limit_bytes_per_s).all()


def test_each_migration_may_have_numbers_of_its_own():
    known = QuotaRule(Facts(*(np.concatenate([value, value]) for value in vars(facts()).values() if value is not None)))
    one = telemetry((40e6, 40e6, 40e6))
    two = Telemetry(np.concatenate([one.vcpu] * 2), np.concatenate([one.vm] * 2), np.array([False, False]))
    parameters = RuleParameters(*(np.array(pair) for pair in ((0.0, 1.0), (0.3, 0.3), (0.0, 0.0), (0.0, 0.0))))
    command = known.command(known.observe(two), parameters)
    assert command.dirty_limit_bytes_per_s[0] == pytest.approx([1e7] * 3)
    assert np.isinf(command.dirty_limit_bytes_per_s[1]).all()


def test_rounds_done_counts_the_bytes_of_the_round_that_are_sent():
    third_round_half_sent = telemetry((0, 0, 0), sent=1.7e9, synced_sent=1.6e9, remaining=1e8, syncs=3)
    assert rounds_done(third_round_half_sent) == pytest.approx([2.5])


@pytest.mark.slow
@given(
    sizes=st.lists(st.integers(0, 20), min_size=1, max_size=7),
    bound=st.integers(-1, 60),
)
def test_smallest_within_takes_as_many_of_the_smallest_as_fit(sizes, bound):
    within = smallest_within(np.array([sizes], dtype=np.float32), np.array([float(bound)]))[0]
    by_size = sorted(range(len(sizes)), key=lambda index: (sizes[index], index))
    expected = set()
    total = 0
    for index in by_size:
        total += sizes[index]
        if total > bound:
            break
        expected.add(index)
    assert set(np.flatnonzero(within)) == expected


def test_a_writer_of_little_runs_free_beside_one_that_is_held_down():
    mixed = FakeMigration((500 * MIB, 200 * MIB), (124 * MIB, 1 * MIB))
    throttle = TunedRule(TunedRuleOptions(free_rounds=0, quota_fraction=0.2, working_set_threshold=0.05))
    outcome = run_migrations(FakeBackend(), [mixed], throttle, [0])
    assert outcome.converged.all()
    assert outcome.time_over_t0[0] < 1.6  # 1 / (1 - 0.2), and what is dirtied before the first decision
    large, small = outcome.guest_runtime_per_vcpu[0]
    assert small > 0.75 > 0.3 > large


@pytest.mark.slow
def test_it_converges_sooner_with_a_smaller_quota():
    times = [
        run_migrations(
            FakeBackend(), [writers(500)], TunedRule(TunedRuleOptions(free_rounds=0, quota_fraction=fraction)), [0]
        ).time_over_t0[0]
        for fraction in (0.05, 0.3, 0.6)
    ]
    assert times == sorted(times)


@pytest.mark.parametrize("slots", [1, 2, 8, 64])
def test_of_equal_sizes_the_first_ones_fit(slots):
    rng = np.random.default_rng(slots)
    sizes = rng.integers(0, 4, (200, slots)).astype(np.float32) * np.float32(3.3e5)
    bound = rng.uniform(0.0, 1.2, 200) * sizes.sum(axis=1)
    order = np.argsort(sizes, axis=1, kind="stable")
    within = np.zeros(sizes.shape, dtype=bool)
    for row, smallest_first in enumerate(order):
        together = np.float32(0)
        for slot in smallest_first:
            together += sizes[row, slot]
            within[row, slot] = together <= bound[row]
    np.testing.assert_array_equal(smallest_within(sizes, bound), within)
