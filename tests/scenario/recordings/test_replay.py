"""Recorded runs as workloads: the demand comes out although the throttle hid it."""

from pathlib import Path

import numpy as np
import pytest

from dqgym.scenario import load_scenario
from dqgym.scenario.recordings.qemu_runs import MIB, read_qemu_runs
from dqgym.scenario.recordings.qemu_scenario import payload_bytes_per_s
from dqgym.scenario.recordings.replay import Replay, held, replay_of, replay_scenario

RUNS = {run.id: run for run in read_qemu_runs()}
QUIET_CLOSED = [run.id for run in RUNS.values() if run.host == "quiet" and run.accelerator.startswith("tcg")]
EXAMPLE = Path(__file__).parents[3] / "configs" / "scenarios" / "recorded.yaml"


@pytest.mark.parametrize("name", QUIET_CLOSED)
def test_demand_and_bandwidth_are_found_again_under_any_throttle(name: str) -> None:
    run, replay = RUNS[name], replay_of(RUNS[name])
    # Auto-converge let these writers run for as little as 1 % of the time.
    assert np.median(replay.demand_bytes_per_s) == pytest.approx(run.demand_bytes_per_s, rel=0.01)
    assert np.median(replay.bandwidth_bytes_per_s) == pytest.approx(
        payload_bytes_per_s(run.bandwidth_bytes_per_s), rel=0.02
    )


def test_a_link_keeps_its_bandwidth_while_the_sender_waits_for_sleepers() -> None:
    run = RUNS["D05"]
    line, replay = run.timeline, replay_of(run)
    waits = np.diff(np.interp(np.append(replay.time_s, line.time_s[-1]), line.time_s, line.sent_pages)) == 0
    assert waits.any()
    assert (replay.bandwidth_bytes_per_s > 0).all()


def test_a_replay_is_a_scenario_with_a_trace_and_recorded_schedules() -> None:
    run, scenario = RUNS["Q07"], replay_scenario(RUNS["Q07"])
    replay = replay_of(run)
    writer, readers = scenario.workload
    assert scenario.link.kind == "trace"
    assert (writer.pattern, writer.schedule.kind, readers.pattern) == ("sequential", "recorded", "read-only")
    rates = writer.write_rate_bytes_per_s * np.array(writer.schedule.rate_factors)
    np.testing.assert_allclose(rates, replay.demand_bytes_per_s[:, 0])
    assert writer.schedule.times_s == scenario.link.times_s == tuple(range(31))
    assert scenario.deadline_s == pytest.approx(run.limit_s)


@pytest.mark.parametrize("name", list(RUNS))
def test_every_run_can_be_replayed(name: str) -> None:
    scenario = replay_scenario(RUNS[name])
    assert scenario.vcpus == RUNS[name].vcpus
    assert scenario.vm.memory_bytes > RUNS[name].working_set_bytes


def test_unknown_steps_hold_the_last_known_value_and_the_first_ones_the_first() -> None:
    values, known = np.array([9.0, 1.0, 9.0, 2.0, 9.0]), np.array([False, True, False, True, False])
    assert held(values, known).tolist() == [1, 1, 1, 2, 2]
    assert held(values, np.zeros(5, dtype=bool)).tolist() == [0] * 5


def test_a_recording_that_sent_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing was sent"):
        Replay(np.zeros(1), np.zeros(1), np.ones((1, 1)))


def test_the_example_in_configs_is_a_replay_of_a_shipped_run() -> None:
    replay, scenario = replay_of(RUNS["B12"]), load_scenario(EXAMPLE)
    assert EXAMPLE.with_suffix(".csv").read_text() == replay.csv()
    writer = scenario.workload[0]
    np.testing.assert_allclose(
        writer.write_rate_bytes_per_s * np.array(writer.schedule.rate_factors), replay.demand_bytes_per_s[:, 0], atol=1
    )
    np.testing.assert_allclose(scenario.link.bandwidths_bytes_per_s, replay.bandwidth_bytes_per_s, atol=1)
    assert 128 * MIB < scenario.vm.memory_bytes < 130 * MIB
