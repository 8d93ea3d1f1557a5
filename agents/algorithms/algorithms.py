"""Stable-Baselines3 algorithms from a configuration, and back from a checkpoint."""

from __future__ import annotations

from collections.abc import Sized
from math import log
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import LinearSchedule

from agents.algorithms.paired_rollouts import SEEDS, PairedRollouts
from agents.config import AlgorithmConfig, PairedConfig, PolicyConfig, PpoConfig, SacConfig
from agents.networks.per_vcpu_network import NetworkShape
from agents.policies.per_vcpu_actor_policy import PerVcpuActorPolicy
from agents.policies.per_vcpu_ppo_policy import PerVcpuPpoPolicy
from agents.policies.per_vcpu_sac_policy import PerVcpuSacPolicy
from agents.storage.checkpoints import pickled_buffer_path, replay_buffer_path
from agents.storage.model_files import load_state, read_model
from agents.storage.replay_files import load_replay_buffer
from agents.vec_env import Sb3VecEnv
from dqgym.envs.hidden import HiddenGlobal, HiddenVcpu
from dqgym.errors import BadInputError
from dqgym.telemetry.encoder import Encoder
from dqgym.telemetry.features import REMEMBERED_GLOBALS, REMEMBERED_PER_VCPU

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"paired": PairedRollouts, "ppo": PPO, "sac": SAC}
"""By the ``kind`` of their configuration."""
ADAM_EPSILON = 1e-5
ADAM_BETAS_OF_PAIRS = (0.9, 0.99)


class Features(Protocol):
    """The features of an encoder, as far as networks must know them."""

    @property
    def global_features(self) -> Sized:
        """The features of a migration."""
        ...

    @property
    def vcpu_features(self) -> Sized:
        """The features of a vCPU."""
        ...


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
    (encoder,) = env.get_attr("encoder", indices=0)
    policy, policy_kwargs = policy_of(config, encoder)
    common: dict[str, Any] = {
        "policy": policy,
        "policy_kwargs": policy_kwargs,
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
            algorithm = _make_paired(config, common)
        case PpoConfig():
            algorithm = _make_ppo(config, common)
        case SacConfig():
            algorithm = _make_sac(config, common)
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
    encoder = Encoder(vcpu_slots)
    policy, keywords = policy_of(config, encoder)
    policy_class = ALGORITHMS[config.kind].policy_aliases[policy] if isinstance(policy, str) else policy
    observations = spaces.Box(-np.inf, np.inf, (encoder.observation_size,), np.float32)
    actions = spaces.Box(-1.0, 1.0, (vcpu_slots,), np.float32)
    made: BasePolicy = policy_class(observations, actions, lambda _: 0.0, **keywords)
    return made


def policy_of(config: AlgorithmConfig, encoder: Features) -> tuple[type[BasePolicy] | str, dict[str, Any]]:
    """Stable-Baselines3's ``policy`` and ``policy_kwargs``."""
    match config:
        case PairedConfig():
            network = network_shape(config.policy, encoder)
            optimizer = {"betas": ADAM_BETAS_OF_PAIRS, "fused": True}
            return PerVcpuActorPolicy, {"network": network, "optimizer_kwargs": optimizer}
        case PpoConfig():
            optimizer = {"eps": ADAM_EPSILON, "fused": True}
            if config.policy.kind == "mlp":
                net_arch, log_std = _net_arch(config.policy), log(config.initial_sd)
                return "MlpPolicy", {"net_arch": net_arch, "log_std_init": log_std, "optimizer_kwargs": optimizer}
            keywords: dict[str, Any] = {
                "network": network_shape(config.policy, encoder),
                "initial_sd": config.initial_sd,
                "hidden": hidden_shape(config.policy) if config.privileged_critic else None,
            }
            return PerVcpuPpoPolicy, keywords | {"optimizer_kwargs": optimizer}
        case SacConfig():
            if config.policy.kind == "mlp":
                return "MlpPolicy", {"net_arch": _net_arch(config.policy), "optimizer_kwargs": {"fused": True}}
            network = network_shape(config.policy, encoder)
            return PerVcpuSacPolicy, {"network": network, "optimizer_kwargs": {"fused": True}}


def network_shape(config: PolicyConfig, encoder: Features) -> NetworkShape:
    """The shape of a per-vcpu network for the encoder's observations."""
    features = len(encoder.global_features), len(encoder.vcpu_features)
    unseen = ((), ()) if config.history else (REMEMBERED_GLOBALS, REMEMBERED_PER_VCPU)
    return NetworkShape(*features, config.width, config.layers, config.shared_output, *unseen)


def hidden_shape(config: PolicyConfig) -> NetworkShape:
    """The hidden state of ``dqgym.envs.hidden``, as the shape of a network for it alone."""
    return NetworkShape(len(HiddenGlobal), len(HiddenVcpu), config.width, config.layers)


def _make_paired(config: PairedConfig, common: dict[str, Any]) -> PairedRollouts:
    return PairedRollouts(
        deviation_sd=config.deviation_sd,
        minibatches=config.minibatches,
        largest_difference=config.largest_difference,
        **common,
    )


def _make_ppo(config: PpoConfig, common: dict[str, Any]) -> PPO:
    return PPO(
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        normalize_advantage=config.normalize_advantage,
        ent_coef=config.entropy_coefficient,
        vf_coef=config.value_coefficient,
        max_grad_norm=config.max_gradient_norm,
        rollout_buffer_class=UncopiedRolloutBuffer,
        **common,
    )


def _make_sac(config: SacConfig, common: dict[str, Any]) -> SAC:
    return SAC(
        buffer_size=config.buffer_size,
        learning_starts=config.learning_starts,
        batch_size=config.batch_size,
        gamma=config.gamma,
        train_freq=config.n_steps,
        gradient_steps=config.gradient_steps,
        tau=config.tau,
        **common,
    )


def _net_arch(config: PolicyConfig) -> list[int]:
    return [config.width] * config.layers
