from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from agents.actor import deterministic_actor
from agents.algorithms.algorithms import load_algorithm, make_algorithm
from agents.config import AlgorithmConfig, PolicyConfig, PpoConfig
from agents.policies.per_vcpu_ppo_policy import LEAST_SD
from agents.storage.checkpoints import latest_checkpoint, save_checkpoint
from agents.vec_env import Sb3VecEnv
from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES
from tests.agents.conftest import small_config
from tests.agents.fakes import TARGET_FEATURE, FakeMigrationVectorEnv

ALL = [(algorithm, policy) for algorithm in ("ppo", "sac") for policy in ("mlp", "per-vcpu")]


def weights(algorithm) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in algorithm.policy.state_dict().items()}


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "policy"), ALL)
def test_the_same_seed_gives_exactly_the_same_weights(make_small, algorithm: str, policy: str) -> None:
    runs = [weights(make_small(algorithm, policy, seed=seed).learn(512)) for seed in (5, 5, 6)]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not all(torch.equal(runs[0][name], runs[2][name]) for name in runs[0])


@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "policy"), ALL)
def test_goes_on_from_a_checkpoint(make_small, tmp_path, algorithm: str, policy: str) -> None:
    first = make_small(algorithm, policy).learn(512)
    path = save_checkpoint(first, tmp_path, keep=1)
    assert latest_checkpoint(tmp_path) == path
    env = Sb3VecEnv(FakeMigrationVectorEnv(8))
    second = load_algorithm(small_config(algorithm, policy), path, env, seed=1)
    assert second.num_timesteps == 512
    assert all(torch.equal(tensor, weights(second)[name]) for name, tensor in weights(first).items())
    for name in first._get_torch_save_params()[0]:
        if name.endswith("optimizer"):
            state, loaded = first.get_parameters()[name]["state"], second.get_parameters()[name]["state"]
            assert state.keys() == loaded.keys() != set()
            assert all(torch.equal(state[key]["exp_avg"], loaded[key]["exp_avg"]) for key in state)
    if algorithm == "sac":
        assert second.replay_buffer.size() == 512 // 8
    second.learn(256, reset_num_timesteps=False)
    assert second.num_timesteps == 768
    assert not all(torch.equal(tensor, weights(second)[name]) for name, tensor in weights(first).items())


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_a_per_vcpu_policy_goes_on_with_another_number_of_slots(make_small, tmp_path, algorithm: str) -> None:
    path = save_checkpoint(make_small(algorithm, "per-vcpu").learn(128), tmp_path, keep=1)
    (tmp_path / "replay_buffer.npz").unlink(missing_ok=True)
    env = Sb3VecEnv(FakeMigrationVectorEnv(8, vcpu_slots=20, least_vcpus=1))
    second = load_algorithm(small_config(algorithm, "per-vcpu"), path, env, seed=1)
    assert second.learn(128, reset_num_timesteps=False).num_timesteps == 256


def test_an_mlp_policy_says_that_another_number_of_slots_does_not_fit(make_small, tmp_path) -> None:
    path = save_checkpoint(make_small("ppo", "mlp").learn(128), tmp_path, keep=1)
    with pytest.raises(ValueError, match="another environment"):
        load_algorithm(small_config("ppo", "mlp"), path, Sb3VecEnv(FakeMigrationVectorEnv(8, 9)), seed=1)


@pytest.mark.slow
def test_ppo_learns_what_each_vcpu_should_do() -> None:
    # An action decides the next reward and nothing after it.
    config = PpoConfig(policy=PolicyConfig(width=32), n_steps=16, batch_size=128, n_epochs=4, gamma=0.5, gae_lambda=0)
    env = Sb3VecEnv(FakeMigrationVectorEnv(64, vcpu_slots=4, least_vcpus=1))
    algorithm = make_algorithm(config, env, seed=0).learn(25_000)
    obs = env.reset()
    features = obs[:, len(GLOBAL_FEATURES) :].reshape(64, len(VCPU_FEATURES), 4)
    with torch.no_grad():
        actions = deterministic_actor(algorithm.policy)(torch.from_numpy(obs)).numpy()
    error = np.abs(actions - features[:, TARGET_FEATURE])[features[:, 0] > 0].mean()
    # Always answering 0 leaves a mean error of 0.4.
    assert error < 0.15


def test_the_learning_rate_falls_to_its_final_share(make_small) -> None:
    algorithm = make_small("ppo", "per-vcpu")
    assert algorithm.lr_schedule(1.0) == pytest.approx(1e-3)
    assert algorithm.lr_schedule(0.5) == pytest.approx(5.25e-4)
    assert algorithm.lr_schedule(0.0) == pytest.approx(5e-5)


def test_the_sd_starts_as_configured_and_keeps_its_floor(make_small) -> None:
    policy = make_small("ppo", "per-vcpu").policy
    assert policy.log_std.exp().tolist() == pytest.approx([PpoConfig().initial_sd] * 2)
    with torch.no_grad():
        policy.log_sd_over_floor.fill_(-50.0)
    assert policy.log_std.exp().tolist() == pytest.approx([LEAST_SD] * 2)


def test_configs_refuse_unknown_keys_and_kinds() -> None:
    adapter = TypeAdapter(AlgorithmConfig)
    assert adapter.validate_python({"kind": "sac", "policy": {"kind": "mlp"}}).policy.kind == "mlp"
    with pytest.raises(ValidationError, match="learning_rat"):
        adapter.validate_python({"kind": "ppo", "learning_rat": 1e-3})
    with pytest.raises(ValidationError, match="'paired', 'ppo', 'sac'"):
        adapter.validate_python({"kind": "dqn"})
    with pytest.raises(ValidationError, match="gae_lambda"):
        adapter.validate_python({"kind": "ppo", "gae_lambda": 1.5})
