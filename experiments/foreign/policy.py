"""A policy of another library, as everything here takes policies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dqgym.arrays import Float32Array
from dqgym.controller.manifest import PreferenceSpec, VcpuSpec
from dqgym.controller.policy_throttle import Act, PolicyThrottle
from dqgym.cost import FAST
from dqgym.errors import BadInputError
from dqgym.scenario import Scenario
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.encoder import Encoder
from dqgym.telemetry.interval import ControlInterval
from experiments.foreign.trained_in import TrainedIn

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ForeignPolicy:
    """A policy and what it is for.

    Attributes:
        name: how reports call it.
        act: observations [N, D] -> actions [N, V] within -1 .. 1.
        network: gives its deterministic form as a torch module, for export; BadInputError where it has none.
        vcpus: how many it serves.
        trained_in: the environment of its training.
        library: where it comes from, for the manifest.
        digest: of its file; empty where there is none.
    """

    name: str
    act: Callable[[Float32Array], Float32Array]
    network: Callable[[], nn.Module]
    vcpus: VcpuSpec
    trained_in: TrainedIn
    library: str
    digest: str = ""

    @property
    def actor(self) -> nn.Module:
        """Its deterministic form, for export."""
        return self.network()

    @property
    def control_interval(self) -> ControlInterval:
        """As in training."""
        return self.trained_in.interval

    @property
    def action_spec(self) -> ActionSpec:
        """What its actions mean."""
        return self.trained_in.action_spec

    @property
    def preference(self) -> PreferenceSpec:
        """Those that it was trained for."""
        low, high = self.trained_in.preferences
        return PreferenceSpec(default=min(max(FAST, low), high), low=low, high=high)

    def training_record(self) -> dict[str, Any]:
        """What is known of its training, as JSON."""
        return {"library": self.library, "environment": self.trained_in.record()}

    def scenarios(self, of_sampler: int, seed: int) -> list[Scenario]:
        """Some scenarios of its training."""
        found = self.trained_in.scenarios(of_sampler, seed, self.vcpus.high)
        if not found:
            raise BadInputError(f"{self.name}: the suites of its training have no scenarios")
        return found

    def encoder(self, vcpu_slots: int) -> Encoder:
        """The encoder for a number of vCPU slots; BadInputError where the policy does not serve that many."""
        self.vcpus.require_slots(vcpu_slots)
        return Encoder(vcpu_slots)

    def throttle(self, preference: float | None = None, survey: ControlInterval | None = None) -> PolicyThrottle:
        """The policy as a throttle; ``preference`` None takes the default."""
        return self.throttle_of(self.act, preference, survey)

    def throttle_of(
        self, act: Act, preference: float | None = None, survey: ControlInterval | None = None
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
