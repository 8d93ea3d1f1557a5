"""Deadlines that pause, caps on rounds, growing downtime limits and slow senders, in the kernel and the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqgym.backends.kvm.migration.limits_in_force import LimitsInForce
from dqgym.backends.model import ModelBackend
from dqgym.backends.reference import ReferenceBackend
from dqgym.cost import MAX_STALL
from dqgym.scenario import ConstantLink, Limits, MarkovLink, OrnsteinUhlenbeckLink, StepsLink
from dqgym.scenario.limits import DoublingGrowth, SlopeGrowth, Span, StepsGrowth
from dqgym.telemetry.telemetry import VcpuField, VmField
from tests.model.guests import PAGE, guest, link, writer
from tests.model.migrations import Constant, migrate
from tests.model.sampling import HOSTS, draw_case, throttle_of, with_limits

BACKENDS = pytest.mark.parametrize("make_backend", [ModelBackend, ReferenceBackend], ids=["kernel", "reference"])
FEW = settings(max_examples=25, deadline=None, derandomize=True)
draws = st.integers(0, 2**32 - 1)
GREEDY = writer("uniform", 500, 200.0)
"""Half the memory, twice as fast as the link: it never converges."""


def limited(limits: Limits, *workload, log: str = "bitmap", **others):
    """A thousand pages that take ten seconds to send."""
    return guest(*(workload or (GREEDY,)), log=log, **others).model_copy(update={"limits": limits})


@BACKENDS
@pytest.mark.parametrize("log", ["bitmap", "software"])
def test_a_guest_that_is_paused_at_the_deadline_goes_over_with_what_is_left(make_backend, log):
    scenario = limited(Limits(downtime_s=0.1, deadline="40 s", on_deadline="pause"), log=log)
    run = migrate(scenario, make_backend=make_backend)
    outcomes = run.outcomes
    assert (outcomes.converged[0], outcomes.forced[0]) == (True, True)
    down_s = outcomes.downtime_s[0]
    assert 1.0 < down_s < 6.0  # of the 500 pages that the writer keeps dirty
    assert outcomes.total_time_s[0] == pytest.approx(40.0 + down_s, abs=1e-3)
    assert outcomes.guest_runtime[0] == pytest.approx(40.0 / outcomes.total_time_s[0], abs=1e-3)
    paused = run.recorder.vm(VmField.PAUSED)[:, 0] > 0
    ran = run.recorder.vcpu(VcpuField.RUN_S)[1:, 0, 0]
    assert not ran[paused[:-1]].any()
    assert ran[~paused[:-1]].all()
    # What is paused is lost runtime: all of it but the last stage.
    last_stage_s = outcomes.total_time_s[0] - run.recorder.vm(VmField.INTERVAL_S).sum()
    stalled_s = MAX_STALL * (down_s - last_stage_s)
    assert outcomes.stall_s[0] == pytest.approx(stalled_s, rel=0.02, abs=0.1)
    assert outcomes.cost(0.5)[0] == pytest.approx((outcomes.total_time_s[0] + 0.5 * outcomes.stall_s[0]) / 10.0)


@BACKENDS
def test_at_the_deadline_a_migration_is_cancelled_unless_said_otherwise(make_backend):
    outcomes = migrate(limited(Limits(downtime_s=0.1, deadline="40 s")), make_backend=make_backend).outcomes
    assert (outcomes.converged[0], outcomes.forced[0]) == (False, False)
    assert outcomes.total_time_s[0] == pytest.approx(40.0)
    assert outcomes.cost(0.5)[0] == pytest.approx(8.0)


@BACKENDS
def test_a_paused_migration_whose_link_is_gone_has_failed_after_two_deadlines(make_backend):
    gone = StepsLink(times_s=(0.0, 39.0), bandwidths_bytes_per_s=(100.0 * PAGE, 0.01 * PAGE))
    scenario = limited(Limits(downtime_s=0.1, deadline="40 s", on_deadline="pause"), link=gone)
    outcomes = migrate(scenario, make_backend=make_backend).outcomes
    assert not outcomes.converged[0]
    assert not outcomes.forced[0]
    assert outcomes.total_time_s[0] == pytest.approx(80.0)


@BACKENDS
def test_after_the_last_round_a_guest_is_paused_or_stays(make_backend):
    pausing = migrate(limited(Limits(downtime_s=0.1, max_rounds=3)), make_backend=make_backend).outcomes
    assert (pausing.converged[0], pausing.forced[0]) == (True, True)
    assert pausing.rounds[0] == 4  # three, and what was left
    assert pausing.downtime_s[0] > 0.5
    limits = Limits(downtime_s=0.1, deadline="100 s", max_rounds=3, on_max_rounds="cancel")
    cancelled = migrate(limited(limits), make_backend=make_backend).outcomes
    assert not cancelled.converged[0]
    assert cancelled.rounds[0] == 3
    assert cancelled.total_time_s[0] == pytest.approx(pausing.total_time_s[0] - pausing.downtime_s[0], abs=0.2)
    assert cancelled.cost(0.5)[0] == pytest.approx(20.0, rel=1e-3)  # nothing is gained by an early end
    calm = migrate(limited(limits, writer("uniform", 20, 1.0)), make_backend=make_backend).outcomes
    assert (calm.converged[0], calm.forced[0]) == (True, False)


GROWTHS = [
    StepsGrowth(end_s=6.0, steps=6, delay="5 s"),
    StepsGrowth(end_s=6.0, steps=6, delay="0.5 T0", rise="exponential", first="12 s"),
    SlopeGrowth(end_s=6.0, over_s=60.0),
    DoublingGrowth(delay="2 rounds"),
    DoublingGrowth(delay="1 round", first="4 rounds"),
    DoublingGrowth(delay="4 s", first="3 rounds"),
    StepsGrowth(end_s=6.0, steps=6, delay="1 round", first="20 s"),
]


@BACKENDS
@pytest.mark.parametrize("growth", GROWTHS, ids=str)
def test_a_downtime_limit_that_grows_lets_a_greedy_guest_go(make_backend, growth):
    scenario = limited(Limits(downtime_s=0.2, downtime_growth=growth, deadline="200 s"))
    run = migrate(scenario, make_backend=make_backend)
    assert run.outcomes.converged[0]
    assert not run.outcomes.forced[0]
    limits_s = run.recorder.vm(VmField.DOWNTIME_LIMIT_S)[:, 0]
    assert (np.diff(limits_s) >= 0.0).all()
    assert limits_s[0] == 0.2 < limits_s[-1]
    assert run.outcomes.downtime_s[0] <= limits_s[-1] + 0.02
    assert run.outcomes.stall_s[0] == pytest.approx(0.0, abs=0.02)  # within the limit in force


@pytest.mark.parametrize("growth", GROWTHS, ids=str)
def test_a_real_migration_has_the_limits_of_the_model(growth):
    scenario = limited(Limits(downtime_s=0.2, downtime_growth=growth, deadline="200 s"))
    seen = migrate(scenario, make_backend=ModelBackend).recorder
    rows = [seen.vm(field)[:-1, 0] for field in (VmField.TIME_S, VmField.ROUND, VmField.DOWNTIME_LIMIT_S)]
    followed = LimitsInForce(scenario)
    off = 0
    for time_s, round, limit_s in zip(*rows, strict=True):
        followed.follow(float(time_s) + 1e-6, int(round))
        off += followed.downtime_s != pytest.approx(limit_s)
    assert off <= 0.1 * len(rows[0])  # it looks once an interval, where a round may have ended before its end


def test_the_limits_of_a_real_migration_say_whether_it_pauses_or_ends():
    limits = LimitsInForce(limited(Limits(deadline="40 s", on_deadline="pause", max_rounds=3, on_max_rounds="cancel")))
    assert not limits.after_last(2)
    assert limits.after_last(3)
    assert (limits.pauses(at_deadline=True), limits.pauses(at_deadline=False)) == (True, False)
    limits.pause(40.0)
    assert (limits.paused_s, limits.ends_s) == (40.0, 80.0)
    assert not limits.after_last(3)
    assert not limits.pauses(at_deadline=True)


def test_a_paused_guest_stands_whatever_a_throttle_commands():
    scenario = limited(Limits(downtime_s=0.1, deadline="40 s", on_deadline="pause"), log="ring")
    for throttle in (Constant(ring_sleep_s=0.5), Constant(run_share_cap=0.7)):
        for make_backend in (ModelBackend, ReferenceBackend):
            run = migrate(scenario, throttle=throttle, make_backend=make_backend)
            assert run.outcomes.forced[0]
            paused = run.recorder.vm(VmField.PAUSED)[:-1, 0] > 0
            assert paused.any()
            assert not run.recorder.vcpu(VcpuField.RUN_S)[1:, 0][paused].any()
            assert run.outcomes.downtime_s[0] == pytest.approx(run.outcomes.total_time_s[0] - 40.0, abs=1e-3)


@BACKENDS
@pytest.mark.parametrize("line_pages_per_s", [None, 1000.0])
def test_a_sender_is_a_ceiling_beside_the_link(make_backend, line_pages_per_s):
    slow = link(400.0, line_pages_per_s).model_copy(update={"sender_bytes_per_s": 100.0 * PAGE})
    calm = writer("uniform", 50, 5.0)
    outcomes = migrate(guest(calm, link=slow), make_backend=make_backend).outcomes
    alone = migrate(guest(calm, link=link(100.0)), make_backend=make_backend).outcomes
    assert outcomes.pass_time_s[0] == 10.0
    assert outcomes.total_time_s[0] == pytest.approx(alone.total_time_s[0], rel=1e-3)
    several = link(400.0).model_copy(update={"sender_bytes_per_s": 800.0 * PAGE})  # channels: a larger ceiling
    assert migrate(guest(calm, link=several), make_backend=make_backend).outcomes.pass_time_s[0] == 2.5


@pytest.mark.parametrize(
    ("link", "least"),
    [
        (MarkovLink(high_bandwidth_bytes_per_s=200.0 * PAGE, low_bandwidth_bytes_per_s=50.0 * PAGE, high_hold_s=2.0,
                    low_hold_s=2.0, sender_bytes_per_s=100.0 * PAGE), 75.0),
        (OrnsteinUhlenbeckLink(mean_bandwidth_bytes_per_s=150.0 * PAGE, relative_sd=0.4, correlation_time_s=1.0,
                               sender_bytes_per_s=100.0 * PAGE), 100.0),
    ],
)  # fmt: skip
def test_a_random_link_never_carries_more_than_the_sender_sends(link, least):
    run = migrate(guest(writer("uniform", 50, 5.0), link=link))
    assert run.recorder.vm(VmField.BANDWIDTH_BYTES_PER_S).max() <= 100.0 * PAGE * (1 + 1e-9)
    assert link.nominal_bandwidth_bytes_per_s == pytest.approx(least * PAGE)


@pytest.mark.slow
@BACKENDS
@FEW
@given(draw=draws)
def test_with_a_pause_every_migration_ends_and_limits_never_shrink(make_backend, draw):
    rng = np.random.default_rng(draw)
    case = with_limits(rng, draw_case(rng))
    limits = case.scenario.limits.model_copy(update={"on_deadline": "pause", "on_max_rounds": None})
    # On a link that holds: another may be all but gone when the guest is paused.
    steady = ConstantLink(bandwidth_bytes_per_s=case.scenario.bandwidth_bytes_per_s)
    scenario = case.scenario.model_copy(update={"limits": limits, "link": steady})
    run = migrate(scenario, throttle=throttle_of([case]), parameters=HOSTS[case.host], make_backend=make_backend)
    assert run.outcomes.converged[0]
    assert (np.diff(run.recorder.vm(VmField.DOWNTIME_LIMIT_S)[:, 0]) >= 0.0).all()
    assert (np.diff(run.recorder.vm(VmField.PAUSED)[:, 0]) >= 0.0).all()
    assert run.outcomes.forced[0] == (run.recorder.vm(VmField.PAUSED)[-1, 0] > 0)
    if run.outcomes.forced[0]:
        assert run.outcomes.total_time_s[0] >= run.outcomes.downtime_s[0]


@pytest.mark.slow
@FEW
@given(
    rate=st.floats(5.0, 90.0),
    pages=st.integers(50, 800),
    limit_s=st.floats(0.1, 2.0),
    more=st.floats(1.0, 4.0),
    pattern=st.sampled_from(["uniform", "sequential"]),
)
def test_a_larger_limit_never_makes_a_steady_migration_longer(rate, pages, limit_s, more, pattern):
    """But for a send window, at the start of which alone the sender looks, and what the last stage then takes."""
    small, large = (
        migrate(limited(Limits(downtime_s=seconds), writer(pattern, pages, rate))).outcomes
        for seconds in (limit_s, more * limit_s)
    )
    assert large.total_time_s[0] <= small.total_time_s[0] + 0.1 + 1e-6
    assert large.rounds[0] <= small.rounds[0] + 1  # it ends rounds sooner, so that one more may fit


@pytest.mark.slow
@FEW
@given(rate=st.floats(5.0, 200.0), pages=st.integers(50, 800), growth=st.sampled_from(GROWTHS))
def test_a_limit_that_grows_never_makes_a_steady_migration_longer(rate, pages, growth):
    alone, growing = (
        migrate(limited(Limits(downtime_s=0.2, downtime_growth=one), writer("uniform", pages, rate))).outcomes
        for one in (None, growth)
    )
    assert growing.total_time_s[0] <= alone.total_time_s[0] + 0.1 + 1e-6


def test_a_span_in_rounds_has_no_length():
    with pytest.raises(ValueError, match="3 rounds is no time"):
        Span(3, "rounds").seconds(1.0, 1.0)
