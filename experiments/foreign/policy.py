"""A policy of another library, as everything here takes policies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dqgym.arrays import Float32Array
from dqgym.controller.manifest import PreferenceSpec, VcpuSpec
from dqgym.errors import BadInputError
from dqgym.scenario import Scenario
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.interval import ControlInterval
from experiments.foreign.trained_in import TrainedIn
from experiments.policies import RunsAsThrottle

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ForeignPolicy(RunsAsThrottle):
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
        return PreferenceSpec.between(*self.trained_in.preferences)

    def training_record(self) -> dict[str, Any]:
        """What is known of its training, as JSON."""
        return {"library": self.library, "environment": self.trained_in.record()}

    def scenarios(self, of_sampler: int, seed: int) -> list[Scenario]:
        """Some scenarios of its training."""
        found = self.trained_in.scenarios(of_sampler, seed, self.vcpus.high)
        if not found:
            raise BadInputError(f"{self.name}: the suites of its training have no scenarios")
        return found
