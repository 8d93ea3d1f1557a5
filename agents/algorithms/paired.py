"""Policy gradients from pairs of migrations, as the configuration describes them."""

from __future__ import annotations

from typing import Any

from agents.algorithms.algorithm import Algorithm, Features, PolicyChoice, network_shape
from agents.algorithms.paired_rollouts import PairedRollouts
from agents.config import PairedConfig
from agents.policies.per_vcpu_actor_policy import PerVcpuActorPolicy

ADAM_BETAS = (0.9, 0.99)


def _options(config: PairedConfig) -> dict[str, Any]:
    return {
        "deviation_sd": config.deviation_sd,
        "minibatches": config.minibatches,
        "largest_difference": config.largest_difference,
    }


def _policy(config: PairedConfig, encoder: Features) -> PolicyChoice:
    optimizer = {"betas": ADAM_BETAS, "fused": True}
    return PerVcpuActorPolicy, {"network": network_shape(config.policy, encoder), "optimizer_kwargs": optimizer}


PAIRED = Algorithm(PairedRollouts, _options, _policy)
