"""PPO's policy over the per-vCPU networks, in the form that Stable-Baselines3 trains."""

from __future__ import annotations

from math import log
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from agents.distributions import MaskedGaussian
from agents.per_vcpu_network import ActorNetwork, NetworkShape, ValueNetwork
from agents.vcpu_layout import PackedVcpus, VcpuLayout

LEAST_SD = 0.05
"""Floor of the exploration: without one the sd collapses before the training ends."""


class PerVcpuPolicy(ActorCriticPolicy):
    """A weight-shared, permutation-equivariant actor and critic (two networks) for any number of vCPUs.

    Args:
        observation_space: flat, [G global features, then F features of V vCPU slots, feature-major].
        action_space: [V] in -1 .. 1.
        lr_schedule: learning rate over the remaining progress.
        network: of the actor and of the critic.
        initial_sd: of the actions at the start; one learned, state-independent sd serves all vCPUs.
        **kwargs: what ``ActorCriticPolicy`` takes.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        network: NetworkShape,
        initial_sd: float,
        **kwargs: Any,
    ) -> None:
        if initial_sd <= LEAST_SD:
            raise ValueError(f"initial_sd={initial_sd}: more than the floor, {LEAST_SD}")
        # The base class builds the networks in its constructor, from these.
        self.network = network
        self.initial_sd = initial_sd
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        self.actor = ActorNetwork(self.network, squashed=False)
        self.critic = ValueNetwork(self.network)
        self.log_sd_over_floor = nn.Parameter(torch.tensor(log(self.initial_sd - LEAST_SD)))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    @property
    def log_std(self) -> Tensor:
        """Log of the actions' sd (Stable-Baselines3 logs it under this name)."""
        return torch.log(LEAST_SD + self.log_sd_over_floor.exp())

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions [N, V], values [N, 1] and the actions' log-probabilities [N]."""
        global_features, vcpus = self._pack(obs)
        distribution = self._distribution(global_features, vcpus)
        actions = distribution.mean if deterministic else distribution.sample()
        return actions, self.critic(global_features, vcpus), distribution.log_prob(actions)

    def evaluate_actions(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values [N, 1], log-probabilities [N] of the actions [N, V], entropies [N]."""
        global_features, vcpus = self._pack(obs)
        distribution = self._distribution(global_features, vcpus)
        return self.critic(global_features, vcpus), distribution.log_prob(actions), distribution.entropy()

    def predict_values(self, obs: Tensor) -> Tensor:
        """Values [N, 1]."""
        return self.critic(*self._pack(obs))

    def get_distribution(self, obs: Tensor) -> MaskedGaussian:
        """The actions' distribution."""
        return self._distribution(*self._pack(obs))

    def _predict(self, observation: Tensor, deterministic: bool = False) -> Tensor:
        distribution = self.get_distribution(observation)
        return distribution.mean if deterministic else distribution.sample()

    def _pack(self, obs: Tensor) -> tuple[Tensor, PackedVcpus]:
        global_features, features = self.network.split(obs)
        return global_features, PackedVcpus.of(features)

    def _distribution(self, global_features: Tensor, vcpus: VcpuLayout) -> MaskedGaussian:
        return MaskedGaussian(self.actor.outputs(global_features, vcpus)[..., 0], self.log_std, vcpus.present)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {"network": self.network, "initial_sd": self.initial_sd}
