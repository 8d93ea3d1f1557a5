"""What an environment is made of: the keyword arguments of ``gym.make`` and ``gym.make_vec``, checked and resolved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from typing import Any, TypedDict

from dqgym.arrays import FloatArray
from dqgym.cost import PREFERENCE_RANGE
from dqgym.envs.arguments.checks import (
    IntervalChoice,
    ParametersChoice,
    PreferenceChoice,
    ScenarioChoice,
    action_spec_of,
    interval_of,
    mapping,
    number,
    parameters_from,
    preferences_of,
    scenario_of,
    whole_number,
)
from dqgym.envs.errors import UnknownArgumentError, refuse_unknown
from dqgym.envs.randomisation import Randomisation
from dqgym.envs.reward import weights_of
from dqgym.errors import BadInputError
from dqgym.model.layout import slots_for
from dqgym.model.parameters import DEFAULT_PARAMETERS, ModelParameters
from dqgym.scenario import MAX_VCPUS, Scenario
from dqgym.scenario.suites import FixedSuite, get_suite
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.interval import ControlInterval

SuiteChoice = str | Mapping[str, float]
"""The name of a suite, or weights by name."""
DEFAULT_INTERVAL = "0.04 T0"


class EnvironmentKeywords(TypedDict, total=False):
    """The keyword arguments that the single and the vector environment share; ``resolve_options`` has the defaults."""

    suite: SuiteChoice | None
    scenario: ScenarioChoice | None
    preference: PreferenceChoice
    control_interval: IntervalChoice
    survey: IntervalChoice | None
    survey_chance: float
    vcpu_slots: int | None
    max_vcpus: int
    max_memory_bytes: float
    pool_size: int
    pool_seed: int
    reward_weights: Mapping[str, float] | None
    action_spec: ActionSpec | Mapping[str, float] | None
    parameters: ParametersChoice
    randomisation: Randomisation | Mapping[str, Any] | None


@dataclass(frozen=True)
class EnvironmentOptions:
    """Resolved options.

    Attributes:
        scenarios: what episodes are drawn from, each equally likely.
        slots: number of vCPU slots V.
        preferences: (lowest, highest); each episode draws one, log-uniformly.
        interval: between decisions.
        survey: (least_s, pass_times, chance) of the survey before a migration: its length, and how often there is one.
        weights: float64 [4] of the reward terms.
        action_spec: what actions mean.
        parameters: of the model.
        randomisation: what is varied beyond the scenarios.
        constants: the parameters of each scenario: ``parameters``, as far as these are not randomised.
    """

    scenarios: tuple[Scenario, ...]
    slots: int
    preferences: tuple[float, float]
    interval: ControlInterval
    survey: tuple[float, float, float]
    weights: FloatArray
    action_spec: ActionSpec
    parameters: ModelParameters
    randomisation: Randomisation
    constants: tuple[ModelParameters, ...]

    def __deepcopy__(self, memo: dict[int, Any]) -> EnvironmentOptions:
        """Itself: nothing in it ever changes."""
        return self


def refuse_unknown_arguments(keywords: Mapping[str, Any], own: Sequence[str]) -> None:
    """Raise an UnknownArgumentError where one is neither shared by all environments nor the environment's ``own``."""
    refuse_unknown("argument", keywords, [*EnvironmentKeywords.__annotations__, *own], UnknownArgumentError)


def resolve_options(
    suite: SuiteChoice | None = None,
    scenario: ScenarioChoice | None = None,
    preference: PreferenceChoice = PREFERENCE_RANGE,
    control_interval: IntervalChoice = DEFAULT_INTERVAL,
    survey: IntervalChoice | None = None,
    survey_chance: float = 1.0,
    vcpu_slots: int | None = None,
    max_vcpus: int = MAX_VCPUS,
    max_memory_bytes: float = math.inf,
    pool_size: int = 2048,
    pool_seed: int = 0,
    reward_weights: Mapping[str, float] | None = None,
    action_spec: ActionSpec | Mapping[str, float] | None = None,
    parameters: ParametersChoice = DEFAULT_PARAMETERS,
    randomisation: Randomisation | Mapping[str, Any] | None = None,
) -> EnvironmentOptions:
    """Check the keyword arguments of an environment (documented at ``MigrationEnv``) and draw its scenarios.

    Raises:
        BadInputError: an argument is out of range; the message names it, its value and what is allowed.
    """
    if suite is not None and scenario is not None:
        raise BadInputError(f"suite={suite!r} and scenario={scenario!r}: give one of them")
    pool_size = whole_number("pool_size", pool_size, least=1)
    pool_seed = whole_number("pool_seed", pool_seed, least=0)
    max_vcpus = whole_number("max_vcpus", max_vcpus, least=1)
    if scenario is not None:
        scenarios: tuple[Scenario, ...] = (scenario_of(scenario),)
    else:
        most_bytes = math.inf if max_memory_bytes == math.inf else number("max_memory_bytes", max_memory_bytes)
        scenarios = _draw(tuple(_weights_of(suite).items()), pool_size, pool_seed, max_vcpus, most_bytes)
    varied = Randomisation.of(randomisation)
    scenarios = varied.scenarios(scenarios, pool_seed)
    if not 0 <= (chance := number("survey_chance", survey_chance)) <= 1:
        raise BadInputError(f"survey_chance={survey_chance!r} must be from 0 to 1")
    length = None if survey is None else interval_of("survey", survey)
    most = max(each.vcpus for each in scenarios)
    slots = most if vcpu_slots is None else whole_number("vcpu_slots", vcpu_slots, least=1)
    if slots < most:
        raise BadInputError(f"vcpu_slots={vcpu_slots!r} must hold the {most} vCPUs of the widest scenario")
    nominal = parameters_from(parameters)
    return EnvironmentOptions(
        scenarios=scenarios,
        slots=slots_for(slots),
        preferences=preferences_of(preference),
        interval=interval_of("control_interval", control_interval),
        survey=(0.0, 0.0, 0.0) if length is None else (length.least_s, length.pass_times, chance),
        weights=weights_of(None if reward_weights is None else mapping("reward_weights", reward_weights)),
        action_spec=action_spec_of(action_spec),
        parameters=nominal,
        randomisation=varied,
        constants=tuple(varied.parameters(nominal, len(scenarios), pool_seed)),
    )


def _weights_of(suite: SuiteChoice | None) -> dict[str, float]:
    """The weight of each suite by its name."""
    if suite is None or isinstance(suite, str):
        return {"mixed" if suite is None else suite: 1.0}
    return {name: number(f"suite: weight of {name!r}", weight) for name, weight in mapping("suite", suite).items()}


@lru_cache(maxsize=8)
def _draw(
    weights: tuple[tuple[str, float], ...], size: int, seed: int, max_vcpus: int, max_memory_bytes: float
) -> tuple[Scenario, ...]:
    """The pool: of each suite a number of scenarios in proportion to its weight; a fixed suite alone as it is."""
    if not weights or not all(weight > 0 for _, weight in weights):
        raise BadInputError(f"suite={dict(weights)!r}: the weight of each suite must be positive")
    total = sum(weight for _, weight in weights)
    pool: list[Scenario] = []
    for name, weight in weights:
        suite = get_suite(name)
        count = max(1, round(size * weight / total))
        if isinstance(suite, FixedSuite):
            members = suite.scenarios(max_vcpus=max_vcpus)
            pool += members if len(weights) == 1 else islice(cycle(members), count)
        else:
            pool += suite.scenarios(count, seed, max_vcpus=max_vcpus)
    pool = [scenario for scenario in pool if scenario.vm.memory_bytes <= max_memory_bytes]
    if not pool:
        raise BadInputError(f"max_memory_bytes={max_memory_bytes:g}: no scenario of {dict(weights)!r} is that small")
    return tuple(pool)
