"""Soft actor-critic, as the configuration describes it."""

from __future__ import annotations

from typing import Any

import stable_baselines3 as sb3

from agents.algorithms.algorithm import Algorithm, Features, PolicyChoice, net_arch, network_shape
from agents.config import SacConfig
from agents.policies.per_vcpu_sac_policy import PerVcpuSacPolicy


def _options(config: SacConfig) -> dict[str, Any]:
    return {
        "buffer_size": config.buffer_size,
        "learning_starts": config.learning_starts,
        "batch_size": config.batch_size,
        "gamma": config.gamma,
        "train_freq": config.n_steps,
        "gradient_steps": config.gradient_steps,
        "tau": config.tau,
    }


def _policy(config: SacConfig, encoder: Features) -> PolicyChoice:
    common = {"optimizer_kwargs": {"fused": True}}
    if config.policy.kind == "mlp":
        return "MlpPolicy", {"net_arch": net_arch(config.policy)} | common
    return PerVcpuSacPolicy, {"network": network_shape(config.policy, encoder)} | common


SAC = Algorithm(sb3.SAC, _options, _policy)
