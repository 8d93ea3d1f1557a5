"""The per-vCPU actor alone, in the form that Stable-Baselines3 saves and loads: for algorithms without a critic."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor

from agents.per_vcpu_network import ActorNetwork, NetworkShape
from agents.vcpu_layout import PackedVcpus


class PerVcpuActorPolicy(BasePolicy):
    """A weight-shared, permutation-equivariant actor for any number of vCPUs.

    Args:
        observation_space: flat, as for ``agents.per_vcpu_policy.PerVcpuPolicy``.
        action_space: [V] in -1 .. 1.
        lr_schedule: learning rate over the remaining progress.
        network: of the actor.
        optimizer_kwargs: of Adam.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        network: NetworkShape,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(observation_space, action_space, optimizer_kwargs=optimizer_kwargs)
        self.network = network
        self.actor = ActorNetwork(network, squashed=False)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def means(self, obs: Tensor) -> Tensor:
        """[N, V] actions before they are clipped to -1 .. 1; zero in absent slots."""
        global_features, features = self.network.split(obs)
        return self.actor.outputs(global_features, PackedVcpus.of(features))[..., 0]

    def forward(self, obs: Tensor, deterministic: bool = True) -> Tensor:
        """Actions [N, V]."""
        return self._predict(obs, deterministic)

    def _predict(self, observation: Tensor, deterministic: bool = True) -> Tensor:
        return torch.clamp(self.means(observation), -1.0, 1.0)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": lambda _: 0.0,
            "network": self.network,
            "optimizer_kwargs": self.optimizer_kwargs,
        }
