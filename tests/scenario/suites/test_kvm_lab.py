from __future__ import annotations

import numpy as np
import pytest

from dqgym.backends.base import Outcomes
from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.scenario import DirtyLog, Scenario, scenario_from_yaml, scenario_to_yaml
from dqgym.scenario.suites import get_suite
from dqgym.throttles.registry import make_throttle
from dqgym.units import MIB
from tests.model.migrations import SLOTS

SCENARIOS = get_suite("kvm-lab").scenarios()
THROTTLES = ("none", "auto-converge", "dirty-quota", "dirty-limit")


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcomes]:
    """What the model makes of the suite."""
    seeds = [0] * len(SCENARIOS)
    return {
        name: run_migrations(ModelBackend(vcpu_slots=SLOTS), SCENARIOS, make_throttle(name), seeds)
        for name in THROTTLES
    }


def test_there_are_eight_scenarios_with_names_of_their_own() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS) == 8


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario_is_small_enough_for_a_host_with_two_cores(scenario: Scenario) -> None:
    writers = [group for group in scenario.vcpu_groups if group.writes]
    assert sum(group.write_rate_bytes_per_s for group in writers) < 100 * MIB
    assert scenario.vcpus < 6
    assert 96 * MIB <= scenario.vm.memory_bytes <= 256 * MIB
    assert 40 * MIB <= scenario.bandwidth_bytes_per_s <= 100 * MIB
    assert 1.5 <= scenario.pass_time_s <= 3.5
    assert 15.0 <= scenario.deadline_s <= 20.0
    assert scenario.limits.downtime_s == 0.1
    assert scenario.dirty_log == DirtyLog(kind="bitmap", ring_entries=256, clear_chunk_bytes=4096)
    assert scenario.vm.dirty_granule_bytes == 4096
    assert scenario_from_yaml(scenario_to_yaml(scenario)) == scenario


def test_the_suite_covers_what_throttles_must_tell_apart() -> None:
    groups = [group for scenario in SCENARIOS for group in scenario.workload]
    assert {group.pattern for group in groups} == {"sequential", "uniform", "hot-cold", "read-only"}
    assert any(group.schedule.kind == "phased" for group in groups)
    assert any(scenario.link.kind == "steps" for scenario in SCENARIOS)
    pressure = [
        sum(group.write_rate_bytes_per_s for group in scenario.vcpu_groups) / scenario.bandwidth_bytes_per_s
        for scenario in SCENARIOS
    ]
    assert min(pressure) < 0.2
    assert max(pressure) > 2.0


def test_half_of_them_converge_by_themselves_and_all_with_help(outcomes: dict[str, Outcomes]) -> None:
    np.testing.assert_array_equal(outcomes["none"].converged, [True] * 4 + [False] * 4)
    assert outcomes["dirty-quota"].converged.all()
    assert outcomes["auto-converge"].converged.all()


def test_each_takes_2_to_20_s_and_all_of_them_less_than_six_minutes(outcomes: dict[str, Outcomes]) -> None:
    times_s = np.array([outcome.total_time_s for outcome in outcomes.values()])
    assert times_s.min() > 2.0
    assert times_s.max() < 20.0
    assert times_s.sum() < 360.0


def test_the_throttles_differ_in_time_or_in_what_they_take_from_the_guest(outcomes: dict[str, Outcomes]) -> None:
    def spread(values: list[np.ndarray]) -> np.ndarray:
        return np.ptp(values, axis=0)

    time_s = spread([outcome.total_time_s for outcome in outcomes.values()])
    runtime = spread([outcome.guest_runtime for outcome in outcomes.values()])
    differs = (time_s > 1.0) & (runtime > 0.05)
    np.testing.assert_array_equal(differs, [scenario.name != "quiet-guest" for scenario in SCENARIOS])
