"""SAC's policy over the per-vCPU networks, in the form that Stable-Baselines3 trains."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BaseModel, BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN, SACPolicy
from torch import Tensor, nn

from agents.networks.per_vcpu_network import ActionValueNetwork, ActorNetwork, NetworkShape
from agents.networks.vcpu_layout import PackedVcpus
from agents.policies.distributions import MaskedGaussian, tanh_squashed


class PerVcpuSacActor(BasePolicy):
    """Squashed Gaussian actions, mean and sd from the per-vCPU network."""

    def __init__(self, observation_space: spaces.Box, action_space: spaces.Box, network: NetworkShape) -> None:
        super().__init__(observation_space, action_space, squash_output=True)
        self.network = ActorNetwork(network, squashed=True)

    def forward(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Actions [N, V] in -1 .. 1."""
        if deterministic:
            return self.network.deterministic_actions(obs)
        return torch.tanh(self._distribution(obs).sample())

    def action_log_prob(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Sampled actions [N, V] and the log-probability [N] of as many vCPUs as there are slots.

        SAC compares it with a target entropy of -1 for each slot; scaled from the vCPUs that exist to the number of
        slots, that target means -1 for each vCPU of every migration.
        """
        distribution = self._distribution(obs)
        actions, log_prob = tanh_squashed(distribution, distribution.sample())
        slots = actions.shape[1]
        return actions, log_prob * slots / distribution.present.sum(dim=1).clamp(min=1)

    def _distribution(self, obs: Tensor) -> MaskedGaussian:
        global_features, features = self.network.shape.split(obs)
        vcpus = PackedVcpus.of(features)
        mean, log_sd = self.network.outputs(global_features, vcpus).unbind(dim=2)
        return MaskedGaussian(mean, log_sd.clamp(LOG_STD_MIN, LOG_STD_MAX), vcpus.present)

    def _predict(self, observation: Tensor, deterministic: bool = False) -> Tensor:
        return self(observation, deterministic)


class PerVcpuSacCritic(BaseModel):
    """Several estimates of the value of an observation and the vCPUs' actions."""

    def __init__(
        self, observation_space: spaces.Box, action_space: spaces.Box, network: NetworkShape, n_critics: int
    ) -> None:
        super().__init__(observation_space, action_space)
        self.q_networks = nn.ModuleList(ActionValueNetwork(network) for _ in range(n_critics))

    def forward(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """``n_critics`` times [N, 1]."""
        return tuple(q_network(obs, actions) for q_network in self.q_networks)


class PerVcpuSacPolicy(SACPolicy):
    """Weight-shared, permutation-equivariant actor and critics for any number of vCPUs.

    Args:
        observation_space: flat, [G global features, then F features of V vCPU slots, feature-major].
        action_space: [V] in -1 .. 1.
        lr_schedule: learning rate over the remaining progress.
        network: of the actor and of each critic.
        **kwargs: what ``SACPolicy`` takes.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        network: NetworkShape,
        **kwargs: Any,
    ) -> None:
        # The base class builds the networks in its constructor, from this.
        self.network = network
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def make_actor(self, features_extractor: nn.Module | None = None) -> PerVcpuSacActor:
        """The actor; it has no features extractor."""
        return PerVcpuSacActor(self.observation_space, self.action_space, self.network).to(self.device)

    def make_critic(self, features_extractor: nn.Module | None = None) -> PerVcpuSacCritic:
        """A critic, or its target; it has no features extractor."""
        n_critics = self.critic_kwargs["n_critics"]
        return PerVcpuSacCritic(self.observation_space, self.action_space, self.network, n_critics).to(self.device)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {"network": self.network}
