import pytest

from dqgym.backends.kvm.machine.vcpu_clocks import TICK_S, HaltClock, WorkloadClock


def test_halts_add_up_and_the_one_that_lasts_counts_up_to_now():
    halts = HaltClock()
    halts.begin(10.0)
    assert halts.halted_s(10.5) == pytest.approx(0.5)
    halts.end(11.0)
    assert halts.halted_s(20.0) == pytest.approx(1.0)
    halts.begin(20.0)
    halts.end(22.0)
    assert halts.halted_s(30.0) == pytest.approx(3.0)


def test_the_run_clock_stands_still_while_the_vcpu_is_halted_or_parked():
    halts = HaltClock()
    before_s = halts.run_clock_s(10.0)
    halts.begin(10.0)
    assert halts.run_clock_s(14.0) == before_s
    halts.end(14.0)
    halts.parked_s += 2.0
    assert halts.run_clock_s(17.0) == pytest.approx(before_s + 1.0)


def begun(began_s: float = 100.0, now_s: float = 100.0) -> WorkloadClock:
    clock = WorkloadClock()
    clock.begin(began_s)
    clock.begin_to_accrue(now_s)
    return clock


def test_accesses_fall_due_without_a_gap_and_the_run_time_leaves_out_halts():
    clock = begun(began_s=99.0)
    assert clock.accrue(103.0, halted_s=0.5) == pytest.approx((1.0, 4.0, 2.5))
    assert clock.accrue(104.0, halted_s=0.7) == pytest.approx((4.0, 5.0, 0.8))


def test_a_run_time_is_never_negative():
    assert begun().accrue(101.0, halted_s=1.5) == pytest.approx((0.0, 1.0, 0.0))


def test_batches_that_are_late_are_not_made_up_for():
    clock = begun()
    assert clock.ticks(100.0)
    assert not clock.ticks(100.0 + 0.5 * TICK_S)
    assert clock.ticks(107.0)
    assert clock.next_tick_s == 107.0


def test_the_workloads_time_and_its_batches_stand_still_while_the_vcpu_is_parked():
    clock = begun()
    clock.accrue(101.0, halted_s=0.0)
    clock.stand_still(5.0)
    assert clock.time_s == pytest.approx(1.0)
    assert clock.next_tick_s == pytest.approx(105.0)
    assert clock.accrue(107.0, halted_s=0.0) == pytest.approx((1.0, 2.0, 1.0))
