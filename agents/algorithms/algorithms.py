"""Stable-Baselines3 algorithms from a configuration, and back from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import LinearSchedule

from agents.algorithms.algorithm import Algorithm
from agents.algorithms.paired import PAIRED
from agents.algorithms.paired_rollouts import SEEDS
from agents.algorithms.ppo import PPO
from agents.algorithms.sac import SAC
from agents.config import AlgorithmConfig
from agents.storage.checkpoints import pickled_buffer_path, replay_buffer_path
from agents.storage.model_files import load_state, read_model
from agents.storage.replay_files import load_replay_buffer
from agents.vec_env import Sb3VecEnv
from dqgym.errors import BadInputError
from dqgym.telemetry.encoder import Encoder

ALGORITHMS: dict[str, Algorithm[Any]] = {"paired": PAIRED, "ppo": PPO, "sac": SAC}
"""By the ``kind`` of their configuration (``agents.config``)."""


def make_algorithm(config: AlgorithmConfig, env: Sb3VecEnv, seed: int) -> BaseAlgorithm:
    """A fresh algorithm without a logger; the same arguments give the same training, number for number, on one machine.

    Args:
        config: of the algorithm, with its policy.
        env: a per-vcpu policy takes the layout of the observation from the environment's ``encoder``.
        seed: of the weights, the exploration, the minibatches and the environments.
    """
    prepare_torch(config)
    (encoder,) = env.get_attr("encoder", indices=0)
    row = ALGORITHMS[config.kind]
    policy, policy_kwargs = row.policy(config, encoder)
    algorithm = row.trainer(
        policy=policy,
        policy_kwargs=policy_kwargs,
        env=env,
        learning_rate=LinearSchedule(
            config.learning_rate, config.learning_rate * config.final_learning_rate_share, end_fraction=1.0
        ),
        device=config.device,
        seed=seed,
        **row.options(config),
    )
    algorithm.set_logger(_silent())
    return algorithm


def load_algorithm(
    config: AlgorithmConfig, path: Path, env: Sb3VecEnv, seed: int, trust: bool = False
) -> BaseAlgorithm:
    """An algorithm that goes on where the checkpoint was written: weights, optimiser, frames, replay buffer.

    It has no logger yet. A per-vcpu policy goes on with any number of vCPU slots. Nothing in the files is executed,
    unless ``trust`` is set: then a replay buffer that an earlier version wrote as a pickle is read, too.

    Raises:
        BadInputError: a file is damaged, does not fit the config or the environment, or needs trust.
    """
    saved = read_model(path)
    algorithm = make_algorithm(config, env, seed)
    load_state(algorithm, saved)
    if isinstance(algorithm, OffPolicyAlgorithm):
        _load_replay_buffer(algorithm, path, trust)
    # The first seed would repeat the random numbers of the first part of the training.
    algorithm.set_random_seed((seed + algorithm.num_timesteps) % SEEDS)
    return algorithm


def _load_replay_buffer(algorithm: OffPolicyAlgorithm, checkpoint: Path, trust: bool) -> None:
    """The buffer beside a checkpoint; without one the algorithm collects anew."""
    assert algorithm.replay_buffer is not None
    pickled = pickled_buffer_path(checkpoint)
    if replay_buffer_path(checkpoint).exists():
        load_replay_buffer(algorithm.replay_buffer, replay_buffer_path(checkpoint))
    elif pickled.exists() and not trust:
        raise BadInputError(
            f"{pickled} is a pickle, as earlier versions wrote it: reading it executes what it holds. Where you know"
            " that nobody has changed it, add --trust; without the file, training goes on with an empty replay buffer"
        )
    elif pickled.exists():
        n_envs = algorithm.n_envs
        try:
            algorithm.load_replay_buffer(pickled)
        except Exception as error:  # pickles of damaged bytes raise what they please
            raise BadInputError(f"{pickled} is damaged: {error}") from error
        if algorithm.replay_buffer.n_envs != n_envs:
            raise BadInputError(f"{pickled} is of {algorithm.replay_buffer.n_envs} environments, not of {n_envs}")


def _silent() -> Logger:
    """Without a logger, Stable-Baselines3 leaves a folder in the directory for temporary files."""
    return Logger(folder=None, output_formats=[])


def prepare_torch(config: AlgorithmConfig) -> None:
    """Settings of the whole process: torch's threads; no validation in its distributions, which slows updates."""
    torch.set_num_threads(config.torch_threads)
    torch.distributions.Distribution.set_default_validate_args(False)


def make_policy(config: AlgorithmConfig, vcpu_slots: int) -> BasePolicy:
    """The policy that an algorithm of this configuration trains, with fresh weights, for observations as they are."""
    encoder, row = Encoder(vcpu_slots), ALGORITHMS[config.kind]
    policy, keywords = row.policy(config, encoder)
    policy_class = row.trainer.policy_aliases[policy] if isinstance(policy, str) else policy
    observations = spaces.Box(-np.inf, np.inf, (encoder.observation_size,), np.float32)
    actions = spaces.Box(-1.0, 1.0, (vcpu_slots,), np.float32)
    made: BasePolicy = policy_class(observations, actions, lambda _: 0.0, **keywords)
    return made
