"""PPO's policy over the per-vCPU networks, in the form that Stable-Baselines3 trains."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from agents.networks.per_vcpu_network import ActorNetwork, NetworkShape, ValueNetwork
from agents.networks.vcpu_layout import PackedVcpus
from agents.policies.distributions import MaskedGaussian
from dqgym.errors import BadInputError

LEAST_SD = 0.05
"""Floor of the exploration: without one the sd collapses before the training ends."""


@dataclass(frozen=True)
class _Seen:
    """The inputs of the two networks for N migrations.

    Attributes:
        global_features: [N, G] for the actor.
        vcpus: the vCPUs' features, then their hidden state where there is one.
        with_hidden: [N, G + P] for a critic that sees the hidden state; None for one that does not.
    """

    global_features: Tensor
    vcpus: PackedVcpus
    with_hidden: Tensor | None = None


class PerVcpuPpoPolicy(ActorCriticPolicy):
    """A weight-shared, permutation-equivariant actor and critic (two networks) for any number of vCPUs.

    The critic may see more than the actor: the hidden state of the migrations, which training observations then carry
    behind the observation (``agents.vec_env``). The actor never gets it, so what is exported does not need it.

    Args:
        observation_space: flat, [G global features, then F features of V vCPU slots, feature-major], and behind these,
            in the same layout, the hidden state where there is one.
        action_space: [V] in -1 .. 1.
        lr_schedule: learning rate over the remaining progress.
        network: of the actor, and of a critic that sees no more than it.
        hidden: what the critic sees beside the observation, as the shape of a network for it alone; None for nothing.
        initial_sd: of the actions' own and of their shared deviations at the start; two learned, state-independent
            numbers serve all vCPUs.
        **kwargs: what ``ActorCriticPolicy`` takes.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        network: NetworkShape,
        initial_sd: float,
        hidden: NetworkShape | None = None,
        **kwargs: Any,
    ) -> None:
        if initial_sd <= LEAST_SD:
            raise BadInputError(f"initial_sd={initial_sd}: more than the floor, {LEAST_SD}")
        # The base class builds the networks in its constructor, from these.
        self.network = network
        self.hidden = hidden
        self.initial_sd = initial_sd
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        self.actor = ActorNetwork(self.network, squashed=False)
        self.critic = ValueNetwork(self.network if self.hidden is None else self.network.beside(self.hidden))
        self.log_sd_over_floor = nn.Parameter(torch.full((2,), log(self.initial_sd - LEAST_SD)))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    @property
    def log_std(self) -> Tensor:
        """[2] log sd of the actions' own and of their shared deviations (Stable-Baselines3 logs their mean)."""
        return torch.log(LEAST_SD + self.log_sd_over_floor.exp())

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions [N, V], values [N, 1] and the actions' log-probabilities [N]."""
        seen = self._split(obs)
        distribution = self._distribution(seen)
        actions = distribution.mean if deterministic else distribution.sample()
        return actions, self._value(seen), distribution.log_prob(actions)

    def evaluate_actions(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values [N, 1], log-probabilities [N] of the actions [N, V], entropies [N]."""
        seen = self._split(obs)
        distribution = self._distribution(seen)
        return self._value(seen), distribution.log_prob(actions), distribution.entropy()

    def predict_values(self, obs: Tensor) -> Tensor:
        """Values [N, 1]."""
        return self._value(self._split(obs))

    def get_distribution(self, obs: Tensor) -> MaskedGaussian:
        """The actions' distribution."""
        return self._distribution(self._split(obs))

    def _predict(self, observation: Tensor, deterministic: bool = False) -> Tensor:
        distribution = self.get_distribution(observation)
        return distribution.mean if deterministic else distribution.sample()

    def _split(self, obs: Tensor) -> _Seen:
        """Take training observations apart; the vCPUs are packed once for both networks."""
        if self.hidden is None:
            global_features, features = self.network.split(obs)
            return _Seen(global_features, PackedVcpus.of(features))
        both = self.network.beside(self.hidden)
        slots = (obs.shape[1] - both.global_features) // both.vcpu_features
        own_size = self.network.global_features + self.network.vcpu_features * slots
        global_features, features = self.network.split(obs[:, :own_size])
        hidden_global, hidden_features = self.hidden.split(obs[:, own_size:])
        vcpus = PackedVcpus.of(torch.cat((features, hidden_features), dim=1))
        return _Seen(global_features, vcpus, torch.cat((global_features, hidden_global), dim=1))

    def _distribution(self, seen: _Seen) -> MaskedGaussian:
        vcpus = seen.vcpus.with_features(self.network.vcpu_features)
        mean, log_sd = self.actor.outputs(seen.global_features, vcpus)[..., 0], self.log_std
        return MaskedGaussian(mean, log_sd[0], vcpus.present, log_sd[1].exp())

    def _value(self, seen: _Seen) -> Tensor:
        more = seen.global_features if seen.with_hidden is None else seen.with_hidden
        return self.critic(more, seen.vcpus)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {
            "network": self.network,
            "initial_sd": self.initial_sd,
            "hidden": self.hidden,
        }
