"""The per-vCPU actor alone, in the form that Stable-Baselines3 saves and loads: for algorithms without a critic."""

from __future__ import annotations

from typing import Any, cast

from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from agents.networks.per_vcpu_network import ActorNetwork, NetworkShape

AVERAGED_UPDATES = 100
"""Length of the running mean of the weights."""


def _running_mean(mean: Tensor, weights: Tensor, updates: Tensor | int) -> Tensor:
    return mean + (weights - mean) / min(int(updates) + 1, AVERAGED_UPDATES)


class PerVcpuActorPolicy(BasePolicy):
    """A weight-shared, permutation-equivariant actor for any number of vCPUs.

    Attributes:
        actor: what is trained.
        average: the running mean of its weights, which answers: the last update's noise is no part of it (Polyak and
            Juditsky, 1992).

    Args:
        observation_space: flat, as for ``agents.policies.per_vcpu_ppo_policy.PerVcpuPpoPolicy``.
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
        self.average = AveragedModel(self.actor, avg_fn=_running_mean)
        self.optimizer = self.optimizer_class(self.actor.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    @property
    def averaged_actor(self) -> ActorNetwork:
        """The actor with the averaged weights."""
        return cast(ActorNetwork, self.average.module)

    def means(self, obs: Tensor) -> Tensor:
        """[N, V] actions of the actor that is trained, before they are clipped to -1 .. 1; zero in absent slots."""
        return self.actor.means(obs)

    def forward(self, obs: Tensor, deterministic: bool = True) -> Tensor:
        """Actions [N, V]."""
        return self._predict(obs, deterministic)

    def _predict(self, observation: Tensor, deterministic: bool = True) -> Tensor:
        return self.averaged_actor.deterministic_actions(observation)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": lambda _: 0.0,
            "network": self.network,
            "optimizer_kwargs": self.optimizer_kwargs,
        }
