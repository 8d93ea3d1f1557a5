"""Actors of other people's zips, against what Stable-Baselines3 makes of them."""

import json
import pickle
import zipfile
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from gymnasium import spaces
from torch import nn

from agents.actor import as_function
from agents.storage.mlp_actors import read_mlp_actor
from dqgym.errors import BadInputError

SIZE, SLOTS = 65, 4


class Still(gym.Env):
    """Spaces, and no more."""

    def __init__(self, high: float = 1.0) -> None:
        self.observation_space = spaces.Box(-4.0, 4.0, (SIZE,), np.float32)
        self.action_space = spaces.Box(-high, high, (SLOTS,), np.float32)

    def reset(self, *, seed=None, options=None):
        return np.zeros(SIZE, np.float32), {}

    def step(self, action):
        return np.zeros(SIZE, np.float32), 0.0, False, False, {}


def saved(path: Path, algorithm: str, high: float = 1.0, **policy):
    off_policy = {} if algorithm in ("PPO", "A2C") else {"buffer_size": 10}
    model = getattr(sb3, algorithm)("MlpPolicy", Still(high), seed=1, policy_kwargs=policy, device="cpu", **off_policy)
    with torch.no_grad():  # a fresh policy's actions are all but zero
        for parameter in model.policy.parameters():
            parameter.mul_(3.0)
    model.save(path)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "SAC", "TD3", "DDPG"])
@pytest.mark.parametrize("policy", [{}, {"net_arch": [24, 8, 16], "activation_fn": nn.ELU}])
def test_a_zip_decides_as_its_algorithm_does(tmp_path, algorithm, policy):
    model = saved(tmp_path / "model.zip", algorithm, **policy)
    actor = read_mlp_actor(tmp_path / "model.zip")
    observations = np.random.default_rng(1).normal(size=(50, SIZE)).astype(np.float32)
    wanted, _ = model.predict(observations, deterministic=True)
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(as_function(actor.network)(observations), wanted, atol=1e-5)
    assert (actor.observation_size, actor.slots) == (SIZE, SLOTS)
    assert algorithm in actor.algorithms


@pytest.mark.slow
def test_squashed_actions_of_ppo_are_squashed(tmp_path):
    env = Still()
    model = sb3.PPO("MlpPolicy", env, use_sde=True, policy_kwargs={"squash_output": True}, device="cpu", seed=1)
    model.save(tmp_path / "model.zip")
    observations = np.random.default_rng(1).normal(size=(20, SIZE)).astype(np.float32) * 50
    wanted, _ = model.predict(observations, deterministic=True)
    np.testing.assert_allclose(
        as_function(read_mlp_actor(tmp_path / "model.zip").network)(observations), wanted, atol=1e-5
    )


class Extractor(sb3.common.torch_layers.BaseFeaturesExtractor):
    def __init__(self, space) -> None:
        super().__init__(space, SIZE)

    def forward(self, observations):
        return observations.abs()


@pytest.mark.slow
def test_a_policy_with_something_of_its_own_is_refused_and_told_the_way(tmp_path):
    saved(tmp_path / "model.zip", "PPO", features_extractor_class=Extractor)
    with pytest.raises(BadInputError, match=r"features_extractor_class is .*Extractor.*named as module:function"):
        read_mlp_actor(tmp_path / "model.zip")


@pytest.mark.slow
def test_a_policy_with_actions_of_another_range_is_refused(tmp_path):
    saved(tmp_path / "model.zip", "SAC", high=2.0)
    with pytest.raises(BadInputError, match=r"its actions go to \[-2.0\], those of dqgym/Migration-v0 from -1 to 1"):
        read_mlp_actor(tmp_path / "model.zip")


@pytest.mark.slow
def test_a_policy_of_discrete_actions_or_with_other_parts_is_refused(tmp_path):
    env = Still()
    env.action_space = spaces.Discrete(3)
    sb3.DQN("MlpPolicy", env, buffer_size=10, device="cpu").save(tmp_path / "model.zip")
    with pytest.raises(BadInputError, match=r"no MlpPolicy of PPO, A2C.*its policy has the parts q_net"):
        read_mlp_actor(tmp_path / "model.zip")


class Executed:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


@pytest.mark.slow
def test_nothing_in_a_zip_is_executed(tmp_path):
    import base64

    saved(tmp_path / "model.zip", "PPO")
    evil = base64.b64encode(pickle.dumps(Executed())).decode()
    with zipfile.ZipFile(tmp_path / "model.zip") as old, zipfile.ZipFile(tmp_path / "evil.zip", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "data":
                data = json.loads(content)
                replaced = [value for value in data.values() if isinstance(value, dict) and ":serialized:" in value]
                for value in replaced:
                    value[":serialized:"] = evil
                assert len(replaced) > 3
                content = json.dumps(data).encode()
            new.writestr(name, content)
    with pytest.raises(SystemExit, match="executed"):
        sb3.PPO.load(tmp_path / "evil.zip", device="cpu")
    assert read_mlp_actor(tmp_path / "evil.zip").slots == SLOTS
