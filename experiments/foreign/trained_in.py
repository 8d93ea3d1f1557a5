"""What a policy was trained in: the keyword arguments that its environment was made with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dqgym.envs.arguments.checks import action_spec_of, interval_of, mapping, preferences_of, scenario_of, whole_number
from dqgym.envs.arguments.options import ARGUMENTS, refuse_unknown_arguments
from dqgym.errors import BadInputError
from dqgym.scenario import MAX_VCPUS, Scenario
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.encoder import observation_size
from dqgym.telemetry.interval import ControlInterval

DEFAULT_SUITE = "mixed"
OTHERS = ("backend", "render_mode")
"""Arguments of ``gym.make`` that change nothing of what a policy sees or does."""


@dataclass(frozen=True)
class TrainedIn:
    """The environment of a training.

    Attributes:
        given: the keyword arguments; those that are missing are taken at the environment's defaults.
        preferences: the lowest and the highest of the training.
        interval: between decisions.
        action_spec: what actions mean.
        slots: the number of vCPU slots; None where it is not said.
    """

    given: Mapping[str, Any]
    preferences: tuple[float, float]
    interval: ControlInterval
    action_spec: ActionSpec
    slots: int | None

    @classmethod
    def of(cls, source: str, given: Mapping[str, Any]) -> TrainedIn:
        """The environment that was made with these keyword arguments.

        Raises:
            BadInputError: one is unknown or not valid; the message names ``source``.
        """
        try:
            refuse_unknown_arguments(given, OTHERS)
            values = {name: argument.default for name, argument in ARGUMENTS.items()} | dict(given)
            slots = values["vcpu_slots"]
            return cls(
                given=given,
                preferences=preferences_of(values["preference"]),
                interval=interval_of("control_interval", values["control_interval"]),
                action_spec=action_spec_of(values["action_spec"]),
                slots=None if slots is None else whole_number("vcpu_slots", slots, least=1),
            )
        except (BadInputError, TypeError) as error:
            raise BadInputError(f"{source}: the environment that it was trained in: {error}") from error

    def scenarios(self, of_sampler: int, seed: int, most_vcpus: int) -> list[Scenario]:
        """Some scenarios of the training: ``of_sampler`` of each sampler, all of each fixed suite that fit."""
        if self.given.get("scenario") is not None:
            return [scenario_of(self.given["scenario"])]
        suite = self.given.get("suite") or DEFAULT_SUITE
        most = min(most_vcpus, self.given.get("max_vcpus", MAX_VCPUS))
        found: list[Scenario] = []
        for name in [suite] if isinstance(suite, str) else mapping("suite", suite):
            found += get_suite(name).some(of_sampler, seed, most)
        return found

    def record(self) -> dict[str, Any]:
        """As JSON, for a bundle's manifest."""
        record: dict[str, Any] = json.loads(json.dumps(dict(self.given), default=str))
        return record


def slots_of_observations(source: str, size: int) -> int:
    """The number of vCPU slots V of observations of that size.

    Raises:
        BadInputError: no number of slots has such observations.
    """
    fixed, each = observation_size(0), observation_size(1) - observation_size(0)
    slots, rest = divmod(size - fixed, each)
    if rest or slots < 1:
        raise BadInputError(
            f"{source}: takes observations of {size} numbers; those of dqgym/Migration-v0 here have {fixed} + {each} V,"
            " with V vCPU slots: it was trained in another environment, or with another version of dqgym"
        )
    return slots


def require_slots(source: str, slots: int, actions: int | None, trained_in: TrainedIn) -> None:
    """Raise a BadInputError where the number of slots, of actions, and what is said of the training do not agree."""
    if actions is not None and actions != slots:
        raise BadInputError(f"{source}: gives {actions} actions for observations of {slots} vCPU slots")
    if trained_in.slots is not None and trained_in.slots != slots:
        raise BadInputError(
            f"{source}: vcpu_slots={trained_in.slots} is said of its training, its observations have {slots} slots"
        )
