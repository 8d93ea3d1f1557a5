from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqgym.backends.kvm.machine.throttling import FOREVER_S, QuotaLedger, TimeSlices
from dqgym.model.parameters import TIMESLICE_S

GRANULE = 1000
LIMIT = 10_000.0
NONE = math.inf


def ledger(*limits: float, shared: bool = False) -> QuotaLedger:
    """With limits in force since time 0."""
    made = QuotaLedger(len(limits), GRANULE)
    made.command(limits, shared, 0.0)
    return made


# --- dirty quotas -----------------------------------------------------------------------------------------------------

_shares = st.floats(0.0, 1.0)


@given(turns=st.lists(st.tuples(st.integers(1, GRANULE), _shares), min_size=1, max_size=50))
def test_a_vcpu_that_wants_more_dirties_at_its_limit(turns: list[tuple[int, float]]) -> None:
    quota = ledger(LIMIT)
    now_s, total = 0.0, 0
    for dirtied, share in turns:
        now_s += quota.wait_s(0, now_s)
        now_s += share * dirtied / LIMIT  # how long it took to dirty that: no longer than the limit would have it
        quota.charge(0, dirtied, now_s)
        total += dirtied
    assert LIMIT * now_s - 1e-3 <= total <= LIMIT * now_s + GRANULE + 1e-3


@given(turns=st.lists(st.tuples(st.integers(1, GRANULE), st.floats(0.0, 10.0)), min_size=1, max_size=50))
def test_a_vcpu_never_dirties_more_than_its_limit_and_two_granules(turns: list[tuple[int, float]]) -> None:
    quota = ledger(LIMIT)
    now_s, total, spans = 0.0, 0, []
    for dirtied, slowness in turns:
        now_s += quota.wait_s(0, now_s)
        now_s += slowness * dirtied / LIMIT
        quota.charge(0, dirtied, now_s)
        spans.append((now_s, total))
        total += dirtied
    # From any charge on, whatever it saved before.
    assert all(total - before <= LIMIT * (now_s - begin_s) + 2 * GRANULE + 1e-3 for begin_s, before in spans)


@given(turns=st.lists(st.tuples(st.integers(1, GRANULE), st.floats(1.0, 10.0)), min_size=1, max_size=50))
def test_a_vcpu_that_wants_less_never_waits(turns: list[tuple[int, float]]) -> None:
    quota = ledger(LIMIT)
    now_s = 0.0
    for dirtied, slowness in turns:
        assert quota.wait_s(0, now_s) == 0.0
        now_s += slowness * dirtied / LIMIT + 1e-9
        quota.charge(0, dirtied, now_s)
    assert quota.wait_s(0, now_s) == 0.0


def test_a_debt_is_paid_off_at_the_limit() -> None:
    quota = ledger(LIMIT)
    quota.charge(0, 3 * GRANULE, 0.0)
    assert quota.wait_s(0, 0.0) == pytest.approx(0.3)
    assert quota.wait_s(0, 0.1) == pytest.approx(0.2)
    assert quota.wait_s(0, 0.3) == 0.0


def test_a_new_limit_takes_a_debt_over() -> None:
    quota = ledger(LIMIT)
    quota.charge(0, 3 * GRANULE, 0.0)
    quota.command([2 * LIMIT], False, 0.1)
    assert quota.limit(0) == 2 * LIMIT
    assert quota.wait_s(0, 0.1) == pytest.approx(0.1)


def test_under_a_limit_of_nothing_only_a_vcpu_that_has_dirtied_waits() -> None:
    quota = ledger(0.0)
    assert quota.wait_s(0, 100.0) == 0.0
    quota.charge(0, 1, 100.0)
    assert quota.wait_s(0, 200.0) == FOREVER_S


def test_no_limit_charges_nothing_and_forgets_a_debt() -> None:
    quota = ledger(LIMIT)
    quota.charge(0, 5 * GRANULE, 0.0)
    quota.command([NONE], False, 0.1)
    assert quota.wait_s(0, 0.1) == 0.0
    quota.charge(0, 5 * GRANULE, 0.2)
    quota.command([LIMIT], False, 0.3)
    assert quota.wait_s(0, 0.3) == 0.0
    quota.charge(0, GRANULE, 0.3)
    assert quota.wait_s(0, 0.3) == pytest.approx(0.1)  # nothing was saved meanwhile, either


def test_a_count_is_charged_once_whoever_tells_it_and_in_whatever_order() -> None:
    quota = ledger(LIMIT)
    for total in (2 * GRANULE, 2 * GRANULE, GRANULE, 3 * GRANULE):
        quota.charge_up_to(0, total, 0.0)
    assert quota.wait_s(0, 0.0) == pytest.approx(3 * GRANULE / LIMIT)


def test_what_was_dirtied_without_a_limit_is_not_charged_to_the_next_one() -> None:
    quota = ledger(NONE)
    quota.charge_up_to(0, 50 * GRANULE, 1.0)
    quota.command([LIMIT], False, 1.0)
    quota.charge_up_to(0, 50 * GRANULE, 1.0)
    assert quota.wait_s(0, 1.0) == 0.0
    quota.charge_up_to(0, 51 * GRANULE, 1.0)
    assert quota.wait_s(0, 1.0) == pytest.approx(GRANULE / LIMIT)


def test_a_vcpu_owes_for_itself_alone() -> None:
    quota = ledger(LIMIT, LIMIT)
    quota.charge(1, GRANULE, 0.0)
    assert quota.wait_s(0, 0.0) == 0.0
    assert quota.wait_s(1, 0.0) == pytest.approx(0.1)


def test_what_others_leave_pays_debts_first_come_first_served() -> None:
    quota = ledger(LIMIT, LIMIT, LIMIT, shared=True)
    # In 0.15 s vCPU 2 saves a granule and leaves half of one; the others spend what they get.
    for vcpu in (0, 1):
        quota.charge(vcpu, 1500 + GRANULE, 0.15)
    assert quota.wait_s(0, 0.15) == pytest.approx((2500 - 1000 - 3 * 500) / LIMIT, abs=1e-9)
    assert quota.wait_s(1, 0.15) == pytest.approx((2500 - 1000) / LIMIT)


def test_unshared_quota_is_lost() -> None:
    quota = ledger(LIMIT, LIMIT)
    quota.charge(0, 4 * GRANULE, 10.0)
    assert quota.wait_s(0, 10.0) == pytest.approx(3 * GRANULE / LIMIT)


def test_the_pool_holds_a_granule_for_each_vcpu() -> None:
    quota = ledger(LIMIT, LIMIT, LIMIT, shared=True)
    quota.wait_s(0, 1000.0)
    quota.charge(0, 10 * GRANULE, 1000.0)
    # One granule was saved, three were pooled.
    assert quota.wait_s(0, 1000.0) == pytest.approx(6 * GRANULE / LIMIT)


def test_the_pool_is_empty_when_sharing_begins_again() -> None:
    quota = ledger(LIMIT, LIMIT, shared=True)
    quota.wait_s(0, 1000.0)
    quota.command([LIMIT, LIMIT], False, 1000.0)
    quota.command([LIMIT, LIMIT], True, 1000.0)
    quota.charge(0, 2 * GRANULE, 1000.0)
    assert quota.wait_s(0, 1000.0) == pytest.approx(GRANULE / LIMIT)


def test_a_vcpu_without_a_limit_leaves_nothing_to_the_others() -> None:
    quota = ledger(LIMIT, NONE, shared=True)
    quota.charge(0, 3 * GRANULE, 0.0)
    assert quota.wait_s(0, 0.2) == pytest.approx(0.1)


@given(
    limits=st.lists(st.floats(0.0, 1e9) | st.just(NONE), min_size=1, max_size=4),
    steps=st.lists(st.tuples(st.integers(0, 3), st.floats(0.0, 5.0), st.integers(0, 5 * GRANULE)), max_size=30),
    shared=st.booleans(),
)
def test_all_that_is_dirtied_under_limits_was_granted_by_someone(
    limits: list[float], steps: list[tuple[int, float, int]], shared: bool
) -> None:
    quota = ledger(*limits, shared=shared)
    now_s = 0.0
    charged = [0] * len(limits)
    for number, span_s, dirtied in steps:
        now_s += span_s
        vcpu = number % len(limits)
        wait_s = quota.wait_s(vcpu, now_s)
        assert wait_s >= 0.0
        if wait_s == 0.0 and limits[vcpu] != NONE:
            quota.charge(vcpu, dirtied, now_s)
            charged[vcpu] += dirtied
    finite = [limit for limit in limits if limit != NONE]
    overdraft = 5 * GRANULE * len(finite) + 1.0
    assert sum(charged) <= sum(finite) * now_s * (1 + 1e-9) + overdraft
    if not shared:
        assert all(
            own <= limit * now_s * (1 + 1e-9) + 5 * GRANULE + 1.0
            for own, limit in zip(charged, limits, strict=True)
            if limit != NONE
        )


# --- time slices ------------------------------------------------------------------------------------------------------


def test_a_vcpu_sleeps_first_then_runs_for_a_slice() -> None:
    slices = TimeSlices()
    slices.command(0.25, 5.0, 2.0)
    assert slices.wait_s(5.0, 2.0) == pytest.approx(3 * TIMESLICE_S)
    assert slices.wait_s(5.0 + 3 * TIMESLICE_S, 2.0) == 0.0
    assert slices.wait_s(5.0 + 3.9 * TIMESLICE_S, 2.0 + 0.9 * TIMESLICE_S) == 0.0
    assert slices.wait_s(5.0 + 4 * TIMESLICE_S, 2.0 + 1.01 * TIMESLICE_S) == pytest.approx(3.03 * TIMESLICE_S)


def test_a_slice_that_ran_over_is_made_up() -> None:
    slices = TimeSlices()
    slices.command(0.5, 0.0, 0.0)
    assert slices.wait_s(0.01, 0.0) == 0.0
    assert slices.wait_s(0.09, 0.08) == pytest.approx(0.08)


def run_under(slices: TimeSlices, lengths_s: list[float], cap: float) -> float:
    """Share of the time in which it runs that looks up after each of these lengths of running."""
    slices.command(cap, 0.0, 0.0)
    now_s = run_s = 0.0
    for length_s in lengths_s:
        now_s += slices.wait_s(now_s, run_s)
        assert slices.wait_s(now_s, run_s) == pytest.approx(0.0, abs=1e-9)
        now_s += length_s
        run_s += length_s
    now_s += slices.wait_s(now_s, run_s)
    return run_s / now_s


@pytest.mark.slow
@given(
    cap=st.floats(0.01, 0.99),
    lengths_s=st.lists(st.floats(1.01 * TIMESLICE_S, 10 * TIMESLICE_S), min_size=20, max_size=60),
)
def test_the_share_is_the_cap_however_long_the_slices_come_out(cap: float, lengths_s: list[float]) -> None:
    # After the last slice and its sleep, the first sleep is the only one that was not earned.
    first_sleep_s = TIMESLICE_S * (1.0 - cap) / cap
    share = run_under(TimeSlices(), lengths_s, cap)
    run_s = sum(lengths_s)
    assert run_s / share - first_sleep_s == pytest.approx(run_s / cap)


@pytest.mark.parametrize("cap", [0.01, 0.3, 0.8, 0.99])
def test_the_share_is_the_cap_for_short_looks_too(cap: float) -> None:
    assert run_under(TimeSlices(), [0.0007] * 5000, cap) == pytest.approx(cap, rel=0.02)


def test_a_cap_of_one_never_sleeps_and_one_of_nothing_never_wakes() -> None:
    slices = TimeSlices()
    assert slices.wait_s(3.0, 1.0) == 0.0
    slices.command(0.0, 3.0, 1.0)
    assert slices.wait_s(3.0, 1.0) == FOREVER_S
    assert slices.wait_s(3000.0, 1.0) == FOREVER_S
    slices.command(1.0, 4.0, 1.0)
    assert slices.wait_s(4.0, 1.0) == 0.0


def test_a_vcpu_that_was_stopped_sleeps_first_under_a_cap() -> None:
    slices = TimeSlices()
    slices.command(0.0, 0.0, 0.0)
    slices.command(0.5, 10.0, 0.0)
    assert slices.wait_s(10.0, 0.0) == pytest.approx(TIMESLICE_S)


def test_a_changed_cap_takes_effect_with_the_next_cycle() -> None:
    slices = TimeSlices()
    slices.command(0.5, 0.0, 0.0)
    slices.command(0.1, 0.005, 0.0)
    assert slices.wait_s(0.005, 0.0) == pytest.approx(0.005)  # the sleep that had begun
    assert slices.wait_s(0.02, 0.01) == pytest.approx(9 * TIMESLICE_S)


def test_the_same_cap_again_changes_nothing() -> None:
    slices = TimeSlices()
    slices.command(0.5, 0.0, 0.0)
    slices.command(0.5, 0.009, 0.0)
    assert slices.wait_s(0.009, 0.0) == pytest.approx(0.001)
