"""What a policy must have to become a bundle, wherever it was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from dqgym.controller.manifest import PreferenceSpec, VcpuSpec
from dqgym.controller.policy_throttle import Act, PolicyThrottle
from dqgym.scenario import Scenario
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.encoder import Encoder
from dqgym.telemetry.interval import ControlInterval

if TYPE_CHECKING:
    from torch import nn


class Exportable(Protocol):
    """A policy, and what it is for."""

    @property
    def name(self) -> str:
        """How reports call it."""
        ...

    @property
    def actor(self) -> nn.Module:
        """Deterministic, from observations [N, D] to actions [N, V] within -1 .. 1; the form for export."""
        ...

    @property
    def act(self) -> Act:
        """The policy as it runs here, which the exported form must equal."""
        ...

    @property
    def vcpus(self) -> VcpuSpec:
        """How many it serves."""
        ...

    @property
    def preference(self) -> PreferenceSpec:
        """What it was trained for."""
        ...

    @property
    def control_interval(self) -> ControlInterval:
        """As in training."""
        ...

    @property
    def action_spec(self) -> ActionSpec:
        """What its actions mean."""
        ...

    def training_record(self) -> dict[str, Any]:
        """What is known of its training, as JSON."""
        ...

    def scenarios(self, of_sampler: int, seed: int) -> list[Scenario]:
        """Some scenarios of its training."""
        ...

    def encoder(self, vcpu_slots: int) -> Encoder:
        """The encoder for a number of vCPU slots."""
        ...

    def throttle_of(self, act: Act, preference: float | None = None) -> PolicyThrottle:
        """A throttle around a form of the network."""
        ...
