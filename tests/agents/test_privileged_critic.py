"""The critic that sees hidden state, and the actor that does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from agents.actor import load_actor
from agents.algorithms.algorithms import make_algorithm
from agents.config import PpoConfig
from agents.vec_env import Sb3VecEnv
from dqgym.envs import MigrationVectorEnv
from dqgym.envs.hidden import hidden_size
from dqgym.telemetry.encoder import observation_size

SLOTS = 4


@pytest.fixture
def env() -> Sb3VecEnv:
    return Sb3VecEnv(
        MigrationVectorEnv(
            8, suite="mixed", pool_size=32, max_vcpus=SLOTS, vcpu_slots=SLOTS, autoreset_mode="SameStep",
            hidden_state=True,
        )
    )  # fmt: skip


@pytest.fixture
def algorithm(env):
    return make_algorithm(PpoConfig(privileged_critic=True, n_steps=8, batch_size=32), env, seed=1)


def test_training_observations_carry_the_hidden_state_behind_the_observation(env) -> None:
    observations = env.reset()
    assert observations.shape == (8, observation_size(SLOTS) + hidden_size(SLOTS))
    assert env.observation_space.contains(observations[0])
    env.step_async(np.zeros((8, SLOTS), dtype=np.float32))
    stepped, _, _, _ = env.step_wait()
    np.testing.assert_array_equal(stepped[:, : observation_size(SLOTS)], env.env._observations)
    np.testing.assert_array_equal(stepped[:, observation_size(SLOTS) :], env.env._hidden)


def test_values_depend_on_the_hidden_state_and_actions_do_not(env, algorithm) -> None:
    obs = torch.as_tensor(env.reset())
    changed = obs.clone()
    changed[:, observation_size(SLOTS) :] += 0.5
    policy = algorithm.policy
    with torch.no_grad():
        assert torch.equal(policy.get_distribution(obs).mean, policy.get_distribution(changed).mean)
        assert not torch.allclose(policy.predict_values(obs), policy.predict_values(changed))


def test_what_is_saved_acts_on_the_observation_alone(env, algorithm, tmp_path) -> None:
    algorithm.learn(128)
    algorithm.save(tmp_path / "model.zip")
    _, act = load_actor(tmp_path / "model.zip", PpoConfig(privileged_critic=True), SLOTS)
    observations = env.reset()
    own = observations[:, : observation_size(SLOTS)]
    with torch.no_grad():
        expected = algorithm.policy.get_distribution(torch.as_tensor(observations)).mean.clamp(-1, 1).numpy()
    np.testing.assert_allclose(act(own), expected, atol=1e-6)


def test_it_goes_with_a_per_vcpu_policy_only() -> None:
    with pytest.raises(ValidationError, match="per-vcpu"):
        PpoConfig(privileged_critic=True, policy={"kind": "mlp"})
