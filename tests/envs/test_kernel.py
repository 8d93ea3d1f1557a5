"""What the environments' kernel does in one pass, done piece by piece: backend, encoder, action, cost."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dqgym.backends.model import ModelBackend
from dqgym.cost import migration_cost
from dqgym.envs.kernel import draw_episode
from dqgym.envs.vector import MigrationVectorEnv
from dqgym.random import streams
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.action import ActionSpec, action_to_command
from dqgym.telemetry.encoder import Encoder
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import VmField

SLOTS = 4
POOL_SIZE = 32
PREFERENCES = (0.05, 2.0)


def episodes(count: int, seed: int, pool_size: int = 50, preferences=PREFERENCES):
    """(seeds, indices, preferences) of the first episodes of a stream."""
    states = streams([seed])
    drawn = [draw_episode(states, 0, pool_size, *preferences) for _ in range(count)]
    return tuple(np.array(column) for column in zip(*drawn, strict=True))


def test_episodes_are_drawn_evenly_from_the_pool_and_log_evenly_from_the_preferences():
    seeds, indices, preferences = episodes(5_000, seed=1)
    assert len(np.unique(seeds)) == 5_000
    assert set(indices) == set(range(50))
    assert stats.chisquare(np.bincount(indices, minlength=50)).pvalue > 1e-3
    position = np.log(preferences / PREFERENCES[0]) / np.log(PREFERENCES[1] / PREFERENCES[0])
    assert stats.kstest(position, "uniform").pvalue > 1e-3


def test_a_single_preference_is_used_as_it_is():
    np.testing.assert_allclose(episodes(10, seed=1, preferences=(0.3, 0.3))[2], 0.3, rtol=1e-15)


@pytest.mark.parametrize("interval", ["0.2 T0", "50 ms"])
def test_the_environment_is_backend_encoder_and_action_one_after_another(interval):
    """Observations are equal bit for bit; the cost at the end is the one that ranks throttles."""
    count, actions_rng = 24, np.random.default_rng(1)
    env = MigrationVectorEnv(
        count, suite="mixed", pool_size=POOL_SIZE, max_vcpus=SLOTS, vcpu_slots=SLOTS, control_interval=interval,
        autoreset_mode="SameStep",
    )  # fmt: skip
    drawn = [draw_episode(streams([seed]), 0, POOL_SIZE, *PREFERENCES) for seed in range(500, 500 + count)]
    pool = get_suite("mixed").scenarios(POOL_SIZE, seed=0, max_vcpus=SLOTS)
    preferences = np.array([preference for _, _, preference in drawn])
    backend, encoder = ModelBackend(vcpu_slots=SLOTS), Encoder(SLOTS)
    telemetry = backend.start([pool[index] for _, index, _ in drawn], [int(seed) for seed, _, _ in drawn])
    interval_s = ControlInterval.parse(interval).seconds(backend.facts)

    np.testing.assert_array_equal(env.reset(seed=500)[0], encoder.reset(backend.facts, preferences))
    running, returns, final = np.ones(count, dtype=bool), np.zeros(count), np.full((count, 2), np.nan)
    for _ in range(60):
        actions = actions_rng.uniform(-1.0, 1.0, (count, SLOTS)).astype(np.float32)
        bandwidth = np.ascontiguousarray(telemetry.per_vm(VmField.BANDWIDTH_BYTES_PER_S))
        telemetry = backend.step(action_to_command(actions, bandwidth, backend.facts, ActionSpec()), interval_s)
        observations, rewards, terminated, _, infos = env.step(actions)
        expected = encoder.encode(telemetry)
        ended = running & terminated
        np.testing.assert_array_equal(ended, running & telemetry.done)
        if ended.any():
            np.testing.assert_array_equal(infos["final_obs"][ended], expected[ended])
            final[ended, 0] = infos["final_info"]["cost"][ended]
        returns[running] += rewards[running]
        running &= ~terminated
        np.testing.assert_array_equal(observations[running], expected[running])
    done = ~running
    if interval == "0.2 T0":
        assert done.sum() > count / 2
    outcomes = backend.outcomes()
    cost = migration_cost(
        outcomes.total_time_s, outcomes.stall_s, outcomes.pass_time_s, outcomes.converged, preferences
    )
    np.testing.assert_allclose(final[done, 0], cost[done], rtol=1e-9)
    np.testing.assert_allclose(-returns[done], cost[done], rtol=1e-9)


def test_an_action_means_the_command_that_the_controller_would_send():
    """The kernel turns actions into limits by itself: an action of 1 must be as free as a free command."""
    env = MigrationVectorEnv(
        8, suite="mixed", pool_size=8, max_vcpus=SLOTS, vcpu_slots=SLOTS, autoreset_mode="SameStep"
    )
    env.reset(seed=0)
    drawn = [draw_episode(streams([seed]), 0, 8, *PREFERENCES) for seed in range(8)]
    pool = get_suite("mixed").scenarios(8, seed=0, max_vcpus=SLOTS)
    backend = ModelBackend(vcpu_slots=SLOTS)
    telemetry = backend.start([pool[index] for _, index, _ in drawn], [int(seed) for seed, _, _ in drawn])
    encoder = Encoder(SLOTS)
    encoder.reset(backend.facts, np.array([preference for _, _, preference in drawn]))
    free = action_to_command(
        np.ones((8, SLOTS), dtype=np.float32), backend.facts.bandwidth_bytes_per_s, backend.facts, ActionSpec()
    )
    assert np.isinf(free.dirty_limit_bytes_per_s).all()
    telemetry = backend.step(replace(free), 0.04 * backend.facts.pass_time_s)
    np.testing.assert_array_equal(env.step(np.ones((8, SLOTS), dtype=np.float32))[0], encoder.encode(telemetry))
