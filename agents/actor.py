"""The deterministic policy inside a trained model, without the training around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from agents.algorithms.algorithms import make_policy
from agents.config import AlgorithmConfig
from agents.networks.per_vcpu_network import ActorNetwork
from agents.policies.per_vcpu_actor_policy import PerVcpuActorPolicy
from agents.policies.per_vcpu_ppo_policy import PerVcpuPpoPolicy
from agents.policies.per_vcpu_sac_policy import PerVcpuSacPolicy
from agents.storage.model_files import read_model

Act = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Observations [N, D] -> actions [N, V] in [-1, 1]; both float32."""


def load_actor(path: Path, config: AlgorithmConfig, vcpu_slots: int) -> tuple[nn.Module, Act]:
    """The deterministic actor of a model zip, on the CPU; see ``load_policy``.

    Returns:
        The module (observations -> actions, made for export) and the same as a function of numpy arrays. Neither checks
        the observations against the training's spaces: a per-vcpu policy takes any number of vCPU slots.
    """
    actor = deterministic_actor(load_policy(path, config, vcpu_slots))
    return actor, as_function(actor)


def load_policy(path: Path, config: AlgorithmConfig, vcpu_slots: int) -> BasePolicy:
    """The policy of a model zip, on the CPU, without an algorithm around it. Nothing in the file is executed.

    Args:
        path: the zip; only the policy's weights are taken from it.
        config: what the policy was trained with: says how it is made.
        vcpu_slots: of a plain network; a per-vcpu policy takes any number.

    Raises:
        BadInputError: the file is missing or damaged, does not fit the config, or has weights that are not finite.
    """
    saved = read_model(path)
    policy = make_policy(config, vcpu_slots)
    saved.load_module(policy, "policy")
    policy.set_training_mode(False)
    return policy


def deterministic_actor(policy: BasePolicy) -> nn.Module:
    """The part of a policy that maps observations [N, D] to its deterministic actions [N, V].

    It shares the policy's weights: it follows while the training goes on.
    """
    match policy:
        case PerVcpuPpoPolicy():
            return policy.actor
        case PerVcpuActorPolicy():
            return policy.averaged_actor
        case PerVcpuSacPolicy():
            return policy.actor.network
        case ActorCriticPolicy():
            return nn.Sequential(policy.mlp_extractor.policy_net, policy.action_net, nn.Hardtanh())
        case SACPolicy():
            return nn.Sequential(policy.actor.latent_pi, policy.actor.mu, nn.Tanh())
        case TD3Policy():
            return policy.actor.mu
    raise TypeError(f"no deterministic actor for a {type(policy).__name__}")


def as_function(actor: nn.Module) -> Act:
    """A deterministic actor as a function of numpy arrays."""
    device = next(actor.parameters()).device
    forward = actor.deterministic_actions if isinstance(actor, ActorNetwork) else actor

    def act(observations: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return forward(torch.as_tensor(observations, device=device)).cpu().numpy()

    return act
