from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.monitor import Monitor

from agents.vec_env import Sb3VecEnv, typical_cost
from dqgym.backends.model import ModelBackend
from dqgym.envs import MigrationVectorEnv
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.encoder import Encoder
from tests.agents.fakes import OUTCOME_FIELDS, FakeMigrationVectorEnv


def run(env, steps: int, seed: int = 3):
    """Yields what the environment gives for the same actions every time."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        yield env.step(rng.uniform(-1, 1, (env.num_envs, *env.action_space.shape[-1:])).astype(np.float32))


def test_passes_on_what_the_environment_gives() -> None:
    bare, bridged = FakeMigrationVectorEnv(16), Sb3VecEnv(FakeMigrationVectorEnv(16))
    bridged.seed(7)
    np.testing.assert_array_equal(bridged.reset(), bare.reset(seed=7)[0])
    for (obs, rewards, dones, _), expected in zip(run(bridged, 30), run(bare, 30), strict=True):
        np.testing.assert_array_equal(obs, expected[0])
        np.testing.assert_array_equal(rewards, expected[1])
        np.testing.assert_array_equal(dones, expected[2] | expected[3])


def test_only_ended_environments_have_an_info_of_their_own() -> None:
    env, bare = Sb3VecEnv(FakeMigrationVectorEnv(16)), FakeMigrationVectorEnv(16)
    env.seed(7)
    env.reset()
    bare.reset(seed=7)
    endings = 0
    for (_, _, dones, infos), expected in zip(run(env, 60), run(bare, 60), strict=True):
        assert len(infos) == 16
        running = [info for info, done in zip(infos, dones, strict=True) if not done]
        assert all(info is running[0] and not info for info in running)
        for index in np.flatnonzero(dones):
            info, final_info = infos[index], expected[4]["final_info"]
            np.testing.assert_array_equal(info["terminal_observation"], expected[4]["final_obs"][index])
            assert info["TimeLimit.truncated"] is False
            assert info["outcome"] == {name: float(final_info[name][index]) for name in OUTCOME_FIELDS}
            assert info["episode"]["r"] == final_info["episode_return"][index]
            assert info["episode"]["l"] == final_info["episode_steps"][index]
            assert info["episode"]["t"] >= 0
            endings += 1
    assert endings > 5


@pytest.mark.parametrize("reuse_buffers", [False, True])
def test_observations_handed_out_stay_as_they_are(reuse_buffers: bool) -> None:
    env = Sb3VecEnv(FakeMigrationVectorEnv(4, reuse_buffers=reuse_buffers))
    handed_out = [env.reset(), *(obs for obs, *_ in run(env, 5))]
    kept = [obs.copy() for obs in handed_out]
    list(run(env, 5))
    for obs, copy in zip(handed_out[:-1], kept[:-1], strict=True):
        np.testing.assert_array_equal(obs, copy)


def test_refuses_next_step_resets() -> None:
    with pytest.raises(ValueError, match=r"NEXT_STEP.*SAME_STEP"):
        Sb3VecEnv(FakeMigrationVectorEnv(2, autoreset_mode=AutoresetMode.NEXT_STEP))


def test_seed_and_options_hold_for_one_reset() -> None:
    env = Sb3VecEnv(FakeMigrationVectorEnv(3))
    env.seed(11)
    env.set_options({"suite": "mixed"})
    env.reset()
    assert env.env.last_reset == (11, {"suite": "mixed"})
    env.reset()
    assert env.env.last_reset == (None, None)


@pytest.mark.parametrize("hidden_state", [False, True])
def test_migrations_that_begin_with_equal_seeds_are_alike(hidden_state: bool) -> None:
    env = Sb3VecEnv(
        MigrationVectorEnv(
            3, suite="mixed", pool_size=64, max_vcpus=4, hidden_state=hidden_state, autoreset_mode="SameStep"
        )
    )
    first = env.begin([5, 5, 9])
    assert first.shape == (3, *env.observation_space.shape)
    np.testing.assert_array_equal(first[0], first[1])
    assert (first[0] != first[2]).any()
    env.step(np.zeros((3, 4), dtype=np.float32))
    np.testing.assert_array_equal(env.begin([9, 5, 5])[[1, 2, 0]], first)


def test_attributes_and_methods_are_those_of_the_vector_environment() -> None:
    env = Sb3VecEnv(FakeMigrationVectorEnv(3))
    assert [encoder.vcpu_slots for encoder in env.get_attr("encoder")] == [8, 8, 8]
    assert len(env.get_attr("encoder", indices=[0, 2])) == 2
    env.set_attr("label", "x")
    assert env.get_attr("label", indices=1) == ["x"]
    assert not env.has_attr("no_such_thing")
    assert env.env_is_wrapped(Monitor) == [False] * 3
    assert len(env.env_method("reset", seed=1)) == 3
    with pytest.raises(ValueError, match="indices=\\[1\\]"):
        env.set_attr("label", "y", indices=[1])
    with pytest.raises(ValueError, match="indices=0"):
        env.env_method("reset", indices=0)


def test_rewards_are_divided_by_the_unit_of_the_observation_that_was_acted_on() -> None:
    bare = FakeMigrationVectorEnv(16)
    bridged = Sb3VecEnv(FakeMigrationVectorEnv(16), reward_unit=lambda observations: 2.0 + observations[:, 0])
    bridged.seed(7)
    acted_on = bridged.reset()
    bare.reset(seed=7)
    for (obs, rewards, _, _), expected in zip(run(bridged, 30), run(bare, 30), strict=True):
        np.testing.assert_allclose(rewards, expected[1] / (2.0 + acted_on[:, 0]), rtol=1e-6)
        acted_on = obs.copy()


@pytest.mark.slow
@pytest.mark.parametrize("preference", [0.05, 0.2, 2.0])
def test_the_cost_of_stop_and_copy_is_read_off_the_observation(preference: float) -> None:
    backend = ModelBackend()
    backend.start(get_suite("streaming").scenarios(4, 0, max_vcpus=4), range(4))
    observations = Encoder(4).reset(backend.facts, preference)
    np.testing.assert_allclose(typical_cost(observations), 1 + preference, rtol=1e-5)
