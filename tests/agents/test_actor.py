from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.actor import deterministic_actor, load_actor
from agents.policies.per_vcpu_ppo_policy import PerVcpuPpoPolicy
from agents.storage.checkpoints import save_algorithm
from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES
from tests.agents.conftest import small_config

G, F = len(GLOBAL_FEATURES), len(VCPU_FEATURES)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
@pytest.mark.parametrize("policy", ["mlp", "per-vcpu"])
def test_acts_as_the_trained_algorithm_predicts(make_small, tmp_path, algorithm: str, policy: str) -> None:
    trained = make_small(algorithm, policy, least_vcpus=2).learn(512)
    save_algorithm(trained, tmp_path / "model.zip")
    module, act = load_actor(tmp_path / "model.zip", small_config(algorithm, policy), 8)
    obs = trained.get_env().reset()
    expected, _ = trained.predict(obs, deterministic=True)
    actions = act(obs)
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions, expected, atol=1e-6)
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(obs)).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_a_per_vcpu_actor_takes_any_number_of_slots(make_small, tmp_path, algorithm: str) -> None:
    trained = make_small(algorithm, "per-vcpu", vcpu_slots=4).learn(128)
    save_algorithm(trained, tmp_path / "model.zip")
    _, act = load_actor(tmp_path / "model.zip", small_config(algorithm, "per-vcpu"), 8)
    obs = trained.get_env().reset()
    wide = np.concatenate(
        (obs[:, :G], np.pad(obs[:, G:].reshape(8, F, 4), ((0, 0), (0, 0), (0, 28))).reshape(8, -1)), 1
    )
    actions = act(wide)
    assert actions.shape == (8, 32)
    np.testing.assert_allclose(actions[:, :4], act(obs), atol=1e-6)


def test_actions_are_clipped(make_small) -> None:
    algorithm = make_small("ppo", "mlp")
    with torch.no_grad():
        algorithm.policy.action_net.bias.fill_(7.0)
        actions = deterministic_actor(algorithm.policy)(torch.from_numpy(algorithm.get_env().reset()))
    assert torch.equal(actions, torch.ones(8, 8))


def test_a_policy_saved_alone_loads_alone(make_small, tmp_path) -> None:
    policy = make_small("ppo", "per-vcpu").policy
    policy.save(tmp_path / "policy.pt")
    loaded = PerVcpuPpoPolicy.load(tmp_path / "policy.pt", device="cpu")
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in policy.state_dict().items())
