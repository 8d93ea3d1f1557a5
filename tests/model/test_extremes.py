"""No scenario within the bounds makes the kernel hang, or gives numbers that are none."""

from __future__ import annotations

import numpy as np
import pytest

from dqgym.backends.model import ModelBackend
from dqgym.cost import MAX_STALL
from dqgym.jit.array_views import at
from dqgym.jit.compile import kernel
from dqgym.model.kernel import (
    _EPSILON_S,
    begin_interval,
    end_interval,
    end_piece,
    plan_piece,
    stop_at_quota,
    write_without_quota,
)
from dqgym.model.layout import UNLIMITED_RATE, Vcpu, Vm
from dqgym.model.link_kernel import change_bandwidth
from dqgym.model.replayed_rates import replay_rates
from dqgym.model.schedules import draw_periods
from dqgym.model.sleeping import command_sleeps, lose_quota_asleep
from dqgym.scenario import Scenario
from dqgym.throttles.registry import make_throttle
from tests.scenario.extremes import extreme_scenario

SLOTS = 4
FIRST_SEED = 0
SCENARIOS = 250
INTERVALS = 12
MOST_PIECES = 3_000
"""Of an interval; where it takes more, the pieces must have brought the time on."""
PIECES_PER_S = 500.0
"""Ten rounds, and the slices of caps, which are 10 ms long."""


@kernel
def advance_at_most(  # type: ignore[no-untyped-def]
    vcpu, vm, random_states, slots, interval_s, parameters, limit, cap, sync, share_unclaimed,
    table_times, table_values, most_pieces,
):  # fmt: skip
    """What ``advance_all`` does with one migration, but for no more than so many pieces; returns how many it took."""
    tile, state = at(vcpu, 0), at(vm, 0)
    for i in range(len(slots)):
        tile[Vcpu.LIMIT, i] = min(max(limit[0, i], np.float32(0.0)), np.float32(UNLIMITED_RATE))
        tile[Vcpu.CAP, i] = min(max(cap[0, i], np.float32(0.0)), np.float32(1.0))
        tile[Vcpu.RING_SLEEP_S, i] = 0.0
    command_sleeps(tile, state, slots)
    if not share_unclaimed[0] and state[Vm.SYNC_WAITS] == 0.0:
        lose_quota_asleep(tile, slots, parameters)
    state[Vm.SHARE_UNCLAIMED] = 1.0 if share_unclaimed[0] else 0.0
    begin_interval(tile, state, slots, interval_s[0], sync[0])
    pieces = 0
    while pieces < most_pieces:
        pieces += 1
        plan_piece(tile, state, slots, parameters)
        if state[Vm.RECORDED] > 0.0:
            replay_rates(tile, slots, state[Vm.TIME_S], state[Vm.PIECE_S], table_times, table_values)
        write_without_quota(tile, state, slots)
        stop_at_quota(tile, state, slots, parameters)
        end_piece(tile, state, slots, parameters.window_s)
        if state[Vm.RANDOM_PERIODS] > 0.0:
            draw_periods(tile, random_states, 0, slots, state[Vm.PIECE_S])
        if state[Vm.DONE] == 0.0 and state[Vm.TIME_S] >= state[Vm.LINK_NEXT_S] - _EPSILON_S:
            change_bandwidth(state, random_states, 0, table_times, table_values)
        if state[Vm.DONE] > 0.0 or state[Vm.LEFT_S] <= _EPSILON_S:
            break
    end_interval(tile, state, slots)
    return pieces


class BoundedModel(ModelBackend):
    """The model, with a look at every interval."""

    def step(self, command, interval_s):
        pool, state = self._pool, self._vm[0]
        before_s = state[Vm.TIME_S]
        pieces = advance_at_most(
            self._vcpu, self._vm, self._random_states, (0,) * pool.slots, interval_s, self.parameters,
            command.dirty_limit_bytes_per_s, command.run_share_cap, command.sync, command.share_unclaimed,
            pool.table_times, pool.table_values, MOST_PIECES,
        )  # fmt: skip
        self.took = pieces, state[Vm.TIME_S] - before_s
        return self._telemetry()


def check(scenario: Scenario, throttle_name: str, seed: int, intervals: int = INTERVALS) -> None:
    """Run the first intervals of a migration, some of the usual length and some that end it soon."""
    backend, throttle = BoundedModel(vcpu_slots=SLOTS), make_throttle(throttle_name)
    telemetry = backend.start([scenario], [seed])
    throttle.reset(backend.facts)
    usual_s = throttle.control_interval.seconds(backend.facts)
    for number in range(intervals):
        if telemetry.done[0]:
            break
        interval_s = usual_s if number % 2 else np.maximum(usual_s, backend.facts.deadline_s / 5.0)
        telemetry = backend.step(throttle.act(telemetry), interval_s)
        assert np.isfinite(telemetry.vm).all(), (scenario, telemetry.vm)
        assert np.isfinite(telemetry.vcpu).all(), (scenario, telemetry.vcpu)
        assert np.isfinite(backend._vm).all(), scenario
        assert np.isfinite(backend._vcpu).all(), scenario
        pieces, went_s = backend.took
        entries = len(backend._pool.table_times)
        most = 100.0 + 2.0 * entries + PIECES_PER_S * went_s + 5.0 * scenario.link.changes_until(went_s)
        assert pieces <= most, (scenario, pieces, went_s)
    outcomes = backend.outcomes()
    for values in (outcomes.total_time_s, outcomes.bytes_sent, outcomes.guest_runtime, outcomes.stall_s):
        assert np.isfinite(values).all(), scenario
    assert 0 <= outcomes.guest_runtime[0] <= 1
    assert outcomes.total_time_s[0] <= scenario.deadline_s * (1.0 + 1e-9) + scenario.limits.downtime_s * MAX_STALL


@pytest.mark.slow
@pytest.mark.parametrize("throttle", ["none", "auto-converge", "dirty-quota"])
def test_every_scenario_within_the_bounds_goes_on_with_finite_numbers(throttle: str) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + SCENARIOS):
        check(extreme_scenario(np.random.default_rng(seed), SLOTS), throttle, seed)
