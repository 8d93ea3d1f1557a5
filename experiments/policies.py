"""What a policy has, wherever it was trained: what evaluation runs, and what export makes a bundle of."""

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

    def throttle_of(
        self, act: Act, preference: float | None = None, survey: ControlInterval | None = None
    ) -> PolicyThrottle:
        """A throttle around a form of the network."""
        ...


class RunsAsThrottle:
    """How every such policy becomes a throttle."""

    def encoder(self: Exportable, vcpu_slots: int) -> Encoder:
        """The encoder for a number of vCPU slots; BadInputError where the policy does not serve that many."""
        self.vcpus.require_slots(vcpu_slots)
        return Encoder(vcpu_slots)

    def throttle(
        self: Exportable, preference: float | None = None, survey: ControlInterval | None = None
    ) -> PolicyThrottle:
        """The policy as a throttle, as it runs here; ``preference`` None takes the default."""
        return self.throttle_of(self.act, preference, survey)

    def throttle_of(
        self: Exportable, act: Act, preference: float | None = None, survey: ControlInterval | None = None
    ) -> PolicyThrottle:
        """The same throttle around another form of the network."""
        return PolicyThrottle(
            name=self.name,
            act=act,
            encoder=self.encoder,
            action_spec=self.action_spec,
            control_interval=self.control_interval,
            preference=self.preference.choose(preference),
            survey=survey,
        )
