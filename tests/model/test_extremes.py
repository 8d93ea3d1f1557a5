"""No scenario within the bounds makes the kernel hang, or gives numbers that are none."""

from __future__ import annotations

import numpy as np
import pytest

from dqgym.backends.model import ModelBackend
from dqgym.cost import MAX_STALL
from dqgym.jit.lane_rows import in_rows
from dqgym.model.layout import Vm
from dqgym.scenario import Scenario
from dqgym.throttles.registry import make_throttle
from tests.model_state import vm_column
from tests.scenario.extremes import extreme_scenario

SLOTS = 4
FIRST_SEED = 0
SCENARIOS = 250
INTERVALS = 12
MOST_SLICED_S = 6.0
PIECES_PER_S = 500.0
"""Ten rounds, and the slices of caps, which are 10 ms long."""


class BoundedModel(ModelBackend):
    """The model, with a look at every interval."""

    def step(self, command, interval_s):
        before_s, before = vm_column(self, Vm.TIME_S)[0], vm_column(self, Vm.PIECES)[0]
        telemetry = super().step(command, interval_s)
        self.took = vm_column(self, Vm.PIECES)[0] - before, vm_column(self, Vm.TIME_S)[0] - before_s
        return telemetry


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
        if throttle_name == "auto-converge":  # which lets vCPUs sleep every 10 ms, for as long as a scenario lasts
            interval_s = np.minimum(interval_s, MOST_SLICED_S)
        telemetry = backend.step(throttle.act(telemetry), interval_s)
        assert np.isfinite(telemetry.vm).all(), (scenario, telemetry.vm)
        assert np.isfinite(telemetry.vcpu).all(), (scenario, telemetry.vcpu)
        assert np.isfinite(in_rows(backend._vm, 1)).all(), scenario
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
