"""What the environments' kernel does in one pass, done piece by piece: backend, encoder, action, cost."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dqgym.backends.model import ModelBackend
from dqgym.envs.kernel import draw_episode
from dqgym.envs.vector import MigrationVectorEnv
from dqgym.jit.random import streams
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.action import ActionSpec, action_to_command
from dqgym.telemetry.encoder import Encoder
from dqgym.telemetry.interval import ControlInterval, parse_survey
from dqgym.telemetry.telemetry import VmField

SLOTS = 4
POOL_SIZE = 32
PREFERENCES = (0.05, 2.0)


def episodes(count: int, seed: int, pool_size: int = 50, preferences=PREFERENCES, survey_chance: float = 0.0):
    """(seeds, indices, preferences, whether surveyed) of the first episodes of a stream."""
    states = streams([seed])
    drawn = [draw_episode(states, 0, pool_size, *preferences, survey_chance) for _ in range(count)]
    return tuple(np.array(column) for column in zip(*drawn, strict=True))


def first_episodes(seeds, pool_size: int, survey_chance: float = 0.0):
    """(scenarios, seeds, preferences) of the first episode of each stream, as the environments draw them."""
    drawn = [draw_episode(streams([seed]), 0, pool_size, *PREFERENCES, survey_chance) for seed in seeds]
    pool = get_suite("mixed").scenarios(pool_size, seed=0, max_vcpus=SLOTS)
    scenarios = [pool[index] for _, index, _, _ in drawn]
    return scenarios, [int(seed) for seed, *_ in drawn], np.array([preference for *_, preference, _ in drawn])


def test_episodes_are_drawn_evenly_from_the_pool_and_log_evenly_from_the_preferences():
    seeds, indices, preferences, _ = episodes(5_000, seed=1)
    assert len(np.unique(seeds)) == 5_000
    assert set(indices) == set(range(50))
    assert stats.chisquare(np.bincount(indices, minlength=50)).pvalue > 1e-3
    position = np.log(preferences / PREFERENCES[0]) / np.log(PREFERENCES[1] / PREFERENCES[0])
    assert stats.kstest(position, "uniform").pvalue > 1e-3


def test_a_single_preference_is_used_as_it_is():
    np.testing.assert_allclose(episodes(10, seed=1, preferences=(0.3, 0.3))[2], 0.3, rtol=1e-15)


def test_as_many_episodes_are_surveyed_as_wanted():
    assert not episodes(100, seed=2, survey_chance=0.0)[3].any()
    assert episodes(100, seed=2, survey_chance=1.0)[3].all()
    surveyed = episodes(5_000, seed=2, survey_chance=0.3)[3]
    assert stats.binomtest(int(surveyed.sum()), 5_000, 0.3).pvalue > 1e-3


def test_to_survey_always_or_never_draws_the_same_episodes():
    for always, never in zip(
        episodes(50, seed=3, survey_chance=1.0)[:3], episodes(50, seed=3, survey_chance=0.0)[:3], strict=True
    ):
        np.testing.assert_array_equal(always, never)


@pytest.mark.slow
@pytest.mark.parametrize("survey", [None, "0.02 T0", "1 s"])
@pytest.mark.parametrize("interval", ["0.2 T0", "50 ms"])
def test_the_environment_is_backend_encoder_and_action_one_after_another(interval, survey):
    """Observations are equal bit for bit; the cost at the end is the one that ranks throttles."""
    count, actions_rng = 24, np.random.default_rng(1)
    env = MigrationVectorEnv(
        count, suite="mixed", pool_size=POOL_SIZE, max_vcpus=SLOTS, vcpu_slots=SLOTS, control_interval=interval,
        survey=survey, autoreset_mode="SameStep",
    )  # fmt: skip
    scenarios, seeds, preferences = first_episodes(range(500, 500 + count), POOL_SIZE)
    backend, encoder = ModelBackend(vcpu_slots=SLOTS), Encoder(SLOTS)
    telemetry = backend.start(scenarios, seeds, None if survey is None else parse_survey(survey))
    interval_s = ControlInterval.parse(interval).seconds(backend.facts)

    np.testing.assert_array_equal(env.reset(seed=500)[0], encoder.reset(backend.facts, preferences))
    running, returns, final = np.ones(count, dtype=bool), np.zeros(count), np.full((count, 2), np.nan)
    for _ in range(60):
        actions = actions_rng.uniform(-1.0, 1.0, (count, SLOTS)).astype(np.float32)
        bandwidth = np.ascontiguousarray(telemetry.per_vm(VmField.BANDWIDTH_BYTES_PER_S))
        telemetry = backend.step(
            action_to_command(actions, bandwidth, encoder.writers, backend.facts, ActionSpec()), interval_s
        )
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
    cost = backend.outcomes().cost(preferences)
    np.testing.assert_allclose(final[done, 0], cost[done], rtol=1e-9)
    np.testing.assert_allclose(-returns[done], cost[done], rtol=1e-9)


def test_an_action_means_the_command_that_the_controller_would_send():
    """The kernel turns actions into limits by itself: an action of 1 must be as free as a free command."""
    env = MigrationVectorEnv(
        8, suite="mixed", pool_size=8, max_vcpus=SLOTS, vcpu_slots=SLOTS, autoreset_mode="SameStep"
    )
    env.reset(seed=0)
    scenarios, seeds, preferences = first_episodes(range(8), 8)
    backend = ModelBackend(vcpu_slots=SLOTS)
    telemetry = backend.start(scenarios, seeds)
    encoder = Encoder(SLOTS)
    encoder.reset(backend.facts, preferences)
    free = action_to_command(
        np.ones((8, SLOTS), dtype=np.float32),
        backend.facts.bandwidth_bytes_per_s,
        encoder.writers,
        backend.facts,
        ActionSpec(),
    )
    assert np.isinf(free.dirty_limit_bytes_per_s).all()
    telemetry = backend.step(replace(free), 0.04 * backend.facts.pass_time_s)
    np.testing.assert_array_equal(env.step(np.ones((8, SLOTS), dtype=np.float32))[0], encoder.encode(telemetry))
