from __future__ import annotations

from collections.abc import Callable

import pytest
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.algorithms.algorithms import make_algorithm
from agents.config import PolicyConfig, PpoConfig, SacConfig
from agents.vec_env import Sb3VecEnv
from tests.agents.fakes import FakeMigrationVectorEnv


def small_config(algorithm: str, policy: str) -> PpoConfig | SacConfig:
    policy_config = PolicyConfig(kind=policy, width=16)
    if algorithm == "ppo":
        return PpoConfig(policy=policy_config, n_steps=16, batch_size=64, n_epochs=2)
    return SacConfig(policy=policy_config, buffer_size=2000, learning_starts=64, batch_size=32, gradient_steps=1)


@pytest.fixture
def make_small() -> Callable[..., BaseAlgorithm]:
    def make(algorithm: str, policy: str, n_envs: int = 8, seed: int = 1, **env_options: object) -> BaseAlgorithm:
        env = Sb3VecEnv(FakeMigrationVectorEnv(n_envs, **env_options))
        return make_algorithm(small_config(algorithm, policy), env, seed)

    return make
