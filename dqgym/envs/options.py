"""What an environment is made of: the keyword arguments of ``gym.make`` and ``gym.make_vec``, checked and resolved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypedDict

from dqgym.cost import PREFERENCE_RANGE
from dqgym.envs.randomisation import Randomisation
from dqgym.envs.reward import weights_of
from dqgym.errors import BadInputError
from dqgym.model.layout import slots_for
from dqgym.model.parameters import DEFAULT_PARAMETERS, ModelParameters
from dqgym.scenario import MAX_VCPUS, Scenario, load_scenario
from dqgym.scenario.suites import FixedSuite, get_suite
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.interval import ControlInterval, parse_survey
from dqgym.telemetry.telemetry import FloatArray

SuiteChoice = str | Mapping[str, float]
"""The name of a suite, or weights by name."""
DEFAULT_INTERVAL = "0.04 T0"


class EnvironmentKeywords(TypedDict, total=False):
    """The keyword arguments that the single and the vector environment share; ``resolve_options`` has the defaults."""

    suite: SuiteChoice | None
    scenario: Scenario | str | Path | None
    preference: float | tuple[float, float]
    control_interval: ControlInterval | str
    survey: ControlInterval | str | None
    survey_chance: float
    vcpu_slots: int | None
    max_vcpus: int
    max_memory_bytes: float
    pool_size: int
    pool_seed: int
    reward_weights: Mapping[str, float] | None
    action_spec: ActionSpec | None
    parameters: ModelParameters
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


def resolve_options(
    suite: SuiteChoice | None = None,
    scenario: Scenario | str | Path | None = None,
    preference: float | tuple[float, float] = PREFERENCE_RANGE,
    control_interval: ControlInterval | str = DEFAULT_INTERVAL,
    survey: ControlInterval | str | None = None,
    survey_chance: float = 1.0,
    vcpu_slots: int | None = None,
    max_vcpus: int = MAX_VCPUS,
    max_memory_bytes: float = math.inf,
    pool_size: int = 2048,
    pool_seed: int = 0,
    reward_weights: Mapping[str, float] | None = None,
    action_spec: ActionSpec | None = None,
    parameters: ModelParameters = DEFAULT_PARAMETERS,
    randomisation: Randomisation | Mapping[str, Any] | None = None,
) -> EnvironmentOptions:
    """Check the keyword arguments of an environment (documented at ``MigrationEnv``) and draw its scenarios.

    Raises:
        BadInputError: an argument is out of range; the message names it, its value and what is allowed.
    """
    if suite is not None and scenario is not None:
        raise BadInputError(f"suite={suite!r} and scenario={scenario!r}: give one of them")
    if pool_size < 1:
        raise BadInputError(f"pool_size={pool_size!r} must be at least 1")
    if scenario is not None:
        loaded = scenario if isinstance(scenario, Scenario) else load_scenario(Path(scenario))
        scenarios: tuple[Scenario, ...] = (loaded,)
    else:
        choice = {suite: 1.0} if isinstance(suite, str) else dict(suite or {"mixed": 1.0})
        scenarios = _draw(tuple(choice.items()), pool_size, pool_seed, max_vcpus, max_memory_bytes)
    varied = Randomisation.of(randomisation)
    scenarios = varied.scenarios(scenarios, pool_seed)
    lowest, highest = preference if isinstance(preference, tuple | list) else (preference, preference)
    if not 0 < lowest <= highest:
        raise BadInputError(f"preference={preference!r} must be positive: a number, or (lowest, highest)")
    if not 0 <= survey_chance <= 1:
        raise BadInputError(f"survey_chance={survey_chance!r} must be from 0 to 1")
    length = parse_survey(survey) if isinstance(survey, str) else survey
    most = max(each.vcpus for each in scenarios)
    if vcpu_slots is not None and vcpu_slots < most:
        raise BadInputError(f"vcpu_slots={vcpu_slots!r} must hold the {most} vCPUs of the widest scenario")
    return EnvironmentOptions(
        scenarios=scenarios,
        slots=slots_for(most if vcpu_slots is None else vcpu_slots),
        preferences=(float(lowest), float(highest)),
        interval=ControlInterval.parse(control_interval) if isinstance(control_interval, str) else control_interval,
        survey=(0.0, 0.0, 0.0) if length is None else (length.least_s, length.pass_times, float(survey_chance)),
        weights=weights_of(reward_weights),
        action_spec=action_spec or ActionSpec(),
        parameters=parameters,
        randomisation=varied,
        constants=tuple(varied.parameters(parameters, len(scenarios), pool_seed)),
    )


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
