"""The policy that a training run has produced, with all that is needed to run it or to export it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stable_baselines3.common.policies import BasePolicy
from torch import nn

from agents.actor import Act, as_function, deterministic_actor, load_policy
from agents.networks.per_vcpu_network import ActorNetwork
from dqgym.controller.manifest import PreferenceSpec, VcpuSpec
from dqgym.errors import BadInputError
from dqgym.references import is_reference
from dqgym.scenario import MAX_VCPUS, Scenario
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.interval import ControlInterval
from experiments.policies import RunsAsThrottle
from experiments.runs.config import TrainingConfig, load_config
from experiments.runs.run_directory import RunDirectory
from experiments.runs.suites import with_names

STAND_IN = "mixed"
"""Scenarios of a policy that was trained on suites of one's own alone."""


@dataclass(frozen=True)
class TrainedPolicy(RunsAsThrottle):
    """A policy and what it is for. Make it with ``load_trained_policy`` or ``trained_policy``."""

    config: TrainingConfig
    actor: nn.Module
    """Deterministic, from observations [N, D] to actions [N, V]; the form for export."""
    act: Act
    """The same for arrays."""
    vcpus: VcpuSpec
    preference: PreferenceSpec

    @property
    def name(self) -> str:
        """How reports call it."""
        return self.config.name

    @property
    def action_spec(self) -> ActionSpec:
        """What its actions mean."""
        return ActionSpec()

    def training_record(self) -> dict[str, Any]:
        """The config of its training, as JSON."""
        return with_names(self.config)

    def scenarios(self, of_sampler: int, seed: int) -> list[Scenario]:
        """Some scenarios of each suite that it was trained on: ``of_sampler`` of a sampler, all of a fixed one.

        A suite that is ``module:name`` is left out, and others stand for it: the run may come from elsewhere, and what
        it names is not executed.
        """
        most_vcpus = min(self.config.environment.max_vcpus, self.vcpus.high)
        scenarios = []
        for name in [one for one in self.config.environment.suites if not is_reference(one)] or [STAND_IN]:
            scenarios += get_suite(name).some(of_sampler, seed, most_vcpus)
        return scenarios

    @property
    def control_interval(self) -> ControlInterval:
        """As in training."""
        return ControlInterval.parse(self.config.environment.control_interval)


def load_trained_policy(run: RunDirectory) -> TrainedPolicy:
    """The best policy of a run; nothing that lies in its files is executed.

    Raises:
        BadInputError: the run has none yet, its config is not valid, or its model is damaged or does not fit.
    """
    if not run.best_model_path.is_file():
        raise BadInputError(f"{run.path} has no {run.best_model_path.name} yet: train for longer")
    config = load_config(run.config_path)
    return trained_policy(load_policy(run.best_model_path, config.algorithm, config.environment.max_vcpus), config)


def trained_policy(policy: BasePolicy, config: TrainingConfig) -> TrainedPolicy:
    """The deterministic form of a policy that is trained with this config; it follows while the training goes on."""
    actor = deterministic_actor(policy)
    (slots,) = policy.action_space.shape
    return TrainedPolicy(
        config=config,
        actor=actor,
        act=as_function(actor),
        vcpus=_served_vcpus(actor, slots),
        preference=PreferenceSpec.between(*config.environment.preference),
    )


def _served_vcpus(actor: nn.Module, slots: int) -> VcpuSpec:
    """A per-vCPU network takes any number of vCPUs, any other one the slots that it was trained with."""
    if isinstance(actor, ActorNetwork):
        return VcpuSpec(low=1, high=MAX_VCPUS, slots=None)
    return VcpuSpec(low=1, high=slots, slots=slots)
