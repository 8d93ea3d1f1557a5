"""Stable-Baselines3 algorithms from a configuration, and back from a checkpoint."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import LinearSchedule

from agents.checkpoints import replay_buffer_path
from agents.config import AlgorithmConfig, PairedConfig, PolicyConfig, PpoConfig, SacConfig
from agents.paired_rollouts import SEEDS, PairedRollouts
from agents.per_vcpu_actor_policy import PerVcpuActorPolicy
from agents.per_vcpu_network import NetworkShape
from agents.per_vcpu_policy import PerVcpuPolicy
from agents.per_vcpu_sac_policy import PerVcpuSacPolicy
from agents.vec_env import Sb3VecEnv
from dqgym.envs.hidden import HiddenGlobal, HiddenVcpu
from dqgym.errors import BadInputError
from dqgym.telemetry.features import REMEMBERED_GLOBALS, REMEMBERED_PER_VCPU

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"paired": PairedRollouts, "ppo": PPO, "sac": SAC}
"""By the ``kind`` of their configuration."""
ADAM_EPSILON = 1e-5
ADAM_BETAS_OF_PAIRS = (0.9, 0.99)


class UncopiedRolloutBuffer(RolloutBuffer):
    """A rollout buffer that hands out minibatches without a second copy: indexing has made one already."""

    def to_torch(self, array: np.ndarray, copy: bool = False) -> torch.Tensor:
        """The array as a tensor on the buffer's device."""
        return super().to_torch(array, copy)


def make_algorithm(config: AlgorithmConfig, env: Sb3VecEnv, seed: int) -> BaseAlgorithm:
    """A fresh algorithm without a logger; the same arguments give the same training, number for number, on one machine.

    Args:
        config: of the algorithm, with its policy.
        env: a per-vcpu policy takes the layout of the observation from the environment's ``encoder``.
        seed: of the weights, the exploration, the minibatches and the environments.
    """
    prepare_torch(config)
    common: dict[str, Any] = {
        "env": env,
        "learning_rate": LinearSchedule(
            config.learning_rate, config.learning_rate * config.final_learning_rate_share, end_fraction=1.0
        ),
        "device": config.device,
        "seed": seed,
    }
    algorithm: BaseAlgorithm
    match config:
        case PairedConfig():
            algorithm = _make_paired(config, env, common)
        case PpoConfig():
            algorithm = _make_ppo(config, env, common | {"gamma": config.gamma})
        case SacConfig():
            algorithm = _make_sac(config, env, common | {"gamma": config.gamma})
    algorithm.set_logger(_silent())
    return algorithm


def load_algorithm(config: AlgorithmConfig, path: Path, env: Sb3VecEnv, seed: int) -> BaseAlgorithm:
    """An algorithm that goes on where the checkpoint was written: weights, optimiser, frames, replay buffer.

    It has no logger yet. A per-vcpu policy goes on with any number of vCPU slots.

    Raises:
        BadInputError: the environment does not fit the checkpoint.
    """
    prepare_torch(config)
    algorithm_class = ALGORITHMS[config.kind]
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
    any_vcpus = config.policy.kind == "per-vcpu"
    try:
        algorithm = algorithm_class.load(
            path,
            env=env,
            device=config.device,
            # Stable-Baselines3 compares the environment's spaces with these.
            custom_objects=spaces if any_vcpus else None,
        )
    except ValueError as error:
        raise BadInputError(f"{path}: was trained in another environment: {error}") from error
    if isinstance(config, SacConfig) and replay_buffer_path(path).exists():
        algorithm.load_replay_buffer(replay_buffer_path(path))
        if algorithm.replay_buffer.n_envs != env.num_envs:
            raise BadInputError(
                f"{path}: its replay buffer is of {algorithm.replay_buffer.n_envs} environments, not of {env.num_envs}"
            )
    # The first seed would repeat the random numbers of the first part of the training.
    algorithm.set_random_seed((seed + algorithm.num_timesteps) % SEEDS)
    algorithm.set_logger(_silent())
    return algorithm


def _silent() -> Logger:
    """Without a logger, Stable-Baselines3 leaves a folder in the directory for temporary files."""
    return Logger(folder=None, output_formats=[])


def prepare_torch(config: AlgorithmConfig) -> None:
    """Settings of the whole process: torch's threads; no validation in its distributions, which slows updates."""
    torch.set_num_threads(config.torch_threads)
    torch.distributions.Distribution.set_default_validate_args(False)


def network_shape(config: PolicyConfig, env: Sb3VecEnv) -> NetworkShape:
    """The shape of a per-vcpu network for the environment's observations."""
    (encoder,) = env.get_attr("encoder", indices=0)
    features = len(encoder.global_features), len(encoder.vcpu_features)
    unseen = ((), ()) if config.history else (REMEMBERED_GLOBALS, REMEMBERED_PER_VCPU)
    return NetworkShape(*features, config.width, config.layers, config.shared_output, *unseen)


def hidden_shape(config: PolicyConfig) -> NetworkShape:
    """The hidden state of ``dqgym.envs.hidden``, as the shape of a network for it alone."""
    return NetworkShape(len(HiddenGlobal), len(HiddenVcpu), config.width, config.layers)


def _make_paired(config: PairedConfig, env: Sb3VecEnv, common: dict[str, Any]) -> PairedRollouts:
    return PairedRollouts(
        PerVcpuActorPolicy,
        deviation_sd=config.deviation_sd,
        minibatches=config.minibatches,
        largest_difference=config.largest_difference,
        policy_kwargs={
            "network": network_shape(config.policy, env),
            "optimizer_kwargs": {"betas": ADAM_BETAS_OF_PAIRS, "fused": True},
        },
        **common,
    )


def _make_ppo(config: PpoConfig, env: Sb3VecEnv, common: dict[str, Any]) -> PPO:
    if config.policy.kind == "mlp":
        policy: type[PerVcpuPolicy] | str = "MlpPolicy"
        policy_kwargs: dict[str, Any] = {"net_arch": _net_arch(config.policy), "log_std_init": log(config.initial_sd)}
    else:
        policy = PerVcpuPolicy
        policy_kwargs = {
            "network": network_shape(config.policy, env),
            "initial_sd": config.initial_sd,
            "hidden": hidden_shape(config.policy) if config.privileged_critic else None,
        }
    return PPO(
        policy,
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        normalize_advantage=config.normalize_advantage,
        ent_coef=config.entropy_coefficient,
        vf_coef=config.value_coefficient,
        max_grad_norm=config.max_gradient_norm,
        rollout_buffer_class=UncopiedRolloutBuffer,
        policy_kwargs=policy_kwargs | {"optimizer_kwargs": {"eps": ADAM_EPSILON, "fused": True}},
        **common,
    )


def _make_sac(config: SacConfig, env: Sb3VecEnv, common: dict[str, Any]) -> SAC:
    if config.policy.kind == "mlp":
        policy: type[PerVcpuSacPolicy] | str = "MlpPolicy"
        policy_kwargs: dict[str, Any] = {"net_arch": _net_arch(config.policy)}
    else:
        policy = PerVcpuSacPolicy
        policy_kwargs = {"network": network_shape(config.policy, env)}
    return SAC(
        policy,
        buffer_size=config.buffer_size,
        learning_starts=config.learning_starts,
        batch_size=config.batch_size,
        train_freq=config.n_steps,
        gradient_steps=config.gradient_steps,
        tau=config.tau,
        policy_kwargs=policy_kwargs | {"optimizer_kwargs": {"fused": True}},
        **common,
    )


def _net_arch(config: PolicyConfig) -> list[int]:
    return [config.width] * config.layers
