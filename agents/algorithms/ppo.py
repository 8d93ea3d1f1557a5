"""Proximal policy optimisation, as the configuration describes it."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from agents.algorithms.algorithm import Algorithm, Features, PolicyChoice, net_arch, network_shape
from agents.config import PolicyConfig, PpoConfig
from agents.networks.per_vcpu_network import NetworkShape
from agents.policies.per_vcpu_ppo_policy import PerVcpuPpoPolicy
from dqgym.envs.hidden import HiddenGlobal, HiddenVcpu

ADAM_EPSILON = 1e-5


class UncopiedRolloutBuffer(RolloutBuffer):
    """A rollout buffer that hands out minibatches without a second copy: indexing has made one already."""

    def to_torch(self, array: np.ndarray, copy: bool = False) -> torch.Tensor:
        """The array as a tensor on the buffer's device."""
        return super().to_torch(array, copy)


def _options(config: PpoConfig) -> dict[str, Any]:
    return {
        "n_steps": config.n_steps,
        "batch_size": config.batch_size,
        "n_epochs": config.n_epochs,
        "gamma": config.gamma,
        "gae_lambda": config.gae_lambda,
        "clip_range": config.clip_range,
        "normalize_advantage": config.normalize_advantage,
        "ent_coef": config.entropy_coefficient,
        "vf_coef": config.value_coefficient,
        "max_grad_norm": config.max_gradient_norm,
        "rollout_buffer_class": UncopiedRolloutBuffer,
    }


def _policy(config: PpoConfig, encoder: Features) -> PolicyChoice:
    common = {"optimizer_kwargs": {"eps": ADAM_EPSILON, "fused": True}}
    if config.policy.kind == "mlp":
        return "MlpPolicy", {"net_arch": net_arch(config.policy), "log_std_init": log(config.initial_sd)} | common
    keywords = {
        "network": network_shape(config.policy, encoder),
        "initial_sd": config.initial_sd,
        "hidden": _hidden_shape(config.policy) if config.privileged_critic else None,
    }
    return PerVcpuPpoPolicy, keywords | common


def _hidden_shape(config: PolicyConfig) -> NetworkShape:
    """The hidden state of ``dqgym.envs.hidden``, as the shape of a network for it alone."""
    return NetworkShape(len(HiddenGlobal), len(HiddenVcpu), config.width, config.layers)


PPO = Algorithm(sb3.PPO, _options, _policy)
