"""What an algorithm says of itself: what trains it, with which options, and the policy that it trains."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from agents.config import AlgorithmSection, PolicyConfig
from agents.networks.per_vcpu_network import NetworkShape
from dqgym.telemetry.features import REMEMBERED_GLOBALS, REMEMBERED_PER_VCPU

Config = TypeVar("Config", bound=AlgorithmSection)
PolicyChoice = tuple[type[BasePolicy] | str, dict[str, Any]]
"""Stable-Baselines3's ``policy`` and ``policy_kwargs``."""


class Features(Protocol):
    """The sizes of an encoder's observations, as the networks need them."""

    @property
    def global_features(self) -> Sized:
        """The features of a migration."""
        ...

    @property
    def vcpu_features(self) -> Sized:
        """The features of a vCPU."""
        ...


@dataclass(frozen=True)
class Algorithm(Generic[Config]):
    """One algorithm; the table in ``agents.algorithms.algorithms`` has all of them.

    Attributes:
        trainer: the class of Stable-Baselines3, or one like it.
        options: its keyword arguments, beside those that all algorithms share: policy, environment, learning rate,
            device and seed.
        policy: for the observations of an encoder.
    """

    trainer: type[BaseAlgorithm]
    options: Callable[[Config], dict[str, Any]]
    policy: Callable[[Config, Features], PolicyChoice]


def network_shape(config: PolicyConfig, encoder: Features) -> NetworkShape:
    """The shape of a per-vcpu network for the encoder's observations."""
    features = len(encoder.global_features), len(encoder.vcpu_features)
    unseen = ((), ()) if config.history else (REMEMBERED_GLOBALS, REMEMBERED_PER_VCPU)
    return NetworkShape(*features, config.width, config.layers, config.shared_output, *unseen)


def net_arch(config: PolicyConfig) -> list[int]:
    """The hidden layers of Stable-Baselines3's own networks."""
    return [config.width] * config.layers
