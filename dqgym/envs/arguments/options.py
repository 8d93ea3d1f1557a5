"""The keyword arguments of ``gym.make`` and ``gym.make_vec``, checked and resolved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from typing import Annotated, Any, NamedTuple, TypedDict, Unpack, get_type_hints

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
from dqgym.scenario.suites import FixedSuite, Suite, get_suite
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.interval import POLICY_INTERVAL_TEXT, ControlInterval

SuiteChoice = str | Mapping[str, float]
"""A suite (its name, or the path of a file or folder of scenarios), or weights by suite."""


class Argument(NamedTuple):
    """What is said of a keyword argument beside its name and type.

    Attributes:
        default: its value where it is not given.
        what: one line, which the environments' reference page has.
        shown: how that page writes the default, where it is not as Python does.
    """

    default: Any
    what: str
    shown: str = ""


class EnvironmentKeywords(TypedDict, total=False):
    """The keyword arguments that the single and the vector environment share: the one table of them."""

    suite: Annotated[
        SuiteChoice | None, Argument(None, "a suite (a name, a file or a folder), or weights by suite", '``"mixed"``')
    ]
    scenario: Annotated[
        ScenarioChoice | None,
        Argument(None, "one scenario in place of a suite: an object, a mapping, YAML text, or a file"),
    ]
    preference: Annotated[
        PreferenceChoice,
        Argument(PREFERENCE_RANGE, "what guest runtime is worth against time: a number, or a range to draw from"),
    ]
    control_interval: Annotated[
        IntervalChoice, Argument(POLICY_INTERVAL_TEXT, 'time between decisions: pass times, or seconds (``"100 ms"``)')
    ]
    survey: Annotated[
        IntervalChoice | None,
        Argument(None, 'dirty logging before the migration, on its clock: pass times (``"0.01 T0"``), or seconds'),
    ]
    survey_chance: Annotated[float, Argument(1.0, "how many of the episodes have one")]
    vcpu_slots: Annotated[int | None, Argument(None, "V; None: as many as the scenarios need (1, 2, 4, .. 64)")]
    max_vcpus: Annotated[int, Argument(MAX_VCPUS, "most vCPUs of a sampled scenario")]
    max_memory_bytes: Annotated[
        float, Argument(math.inf, "scenarios of the pool with more memory are left out", "none")
    ]
    pool_size: Annotated[int, Argument(2048, "how many scenarios are drawn from a sampler")]
    pool_seed: Annotated[int, Argument(0, "with which seed they are drawn")]
    reward_weights: Annotated[
        Mapping[str, float] | None, Argument(None, "weights of the reward terms by name; 1 where not given")
    ]
    action_spec: Annotated[
        ActionSpec | Mapping[str, float] | None,
        Argument(None, 'another range of the limits: ``{"lowest": 0.01, "highest": 10}``'),
    ]
    parameters: Annotated[
        ParametersChoice,
        Argument(DEFAULT_PARAMETERS, "of the model: some by name, a file, or an object", "the default ones"),
    ]
    randomisation: Annotated[
        Randomisation | Mapping[str, Any] | None,
        Argument(None, "what is varied besides, in the model (``dqgym.envs.randomisation.Randomisation``)"),
    ]


ARGUMENTS: Mapping[str, Argument] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(EnvironmentKeywords, include_extras=True).items()
}
"""What is said of each, in order."""


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


def resolve_options(**keywords: Unpack[EnvironmentKeywords]) -> EnvironmentOptions:
    """Check the keyword arguments of an environment, with the defaults of those that are not given; draw its scenarios.

    Raises:
        BadInputError: an argument is out of range; the message names it, its value and what is allowed.
        UnknownArgumentError: there is no such argument.
    """
    refuse_unknown_arguments(keywords, ())
    given: dict[str, Any] = {name: argument.default for name, argument in ARGUMENTS.items()} | dict(keywords)
    nominal = parameters_from(given["parameters"])
    varied = Randomisation.of(given["randomisation"])
    pool_seed = whole_number("pool_seed", given["pool_seed"], least=0)
    scenarios = varied.scenarios(_scenarios(given, pool_seed), pool_seed)
    weights = given["reward_weights"]
    return EnvironmentOptions(
        scenarios=scenarios,
        slots=_slots(given["vcpu_slots"], scenarios),
        preferences=preferences_of(given["preference"]),
        interval=interval_of("control_interval", given["control_interval"]),
        survey=_survey(given["survey"], given["survey_chance"]),
        weights=weights_of(None if weights is None else mapping("reward_weights", weights)),
        action_spec=action_spec_of(given["action_spec"]),
        parameters=nominal,
        randomisation=varied,
        constants=tuple(varied.parameters(nominal, len(scenarios), pool_seed)),
    )


def _scenarios(given: Mapping[str, Any], pool_seed: int) -> tuple[Scenario, ...]:
    """The one scenario that is given, or those that are drawn of the suite."""
    suite, scenario = given["suite"], given["scenario"]
    if suite is not None and scenario is not None:
        raise BadInputError(f"suite={suite!r} and scenario={scenario!r}: give one of them")
    pool_size = whole_number("pool_size", given["pool_size"], least=1)
    max_vcpus = whole_number("max_vcpus", given["max_vcpus"], least=1)
    if scenario is not None:
        return (scenario_of(scenario),)
    most_bytes = given["max_memory_bytes"]
    most_bytes = math.inf if most_bytes == math.inf else number("max_memory_bytes", most_bytes)
    weights = _weights_of(suite)
    if not weights or not all(weight > 0 for weight in weights.values()):
        raise BadInputError(f"suite={weights!r}: the weight of each suite must be positive")
    # The suites, not their names: a file may have changed since.
    suites = tuple((get_suite(name), weight) for name, weight in weights.items())
    return _draw(suites, pool_size, pool_seed, max_vcpus, most_bytes)


def _survey(length: IntervalChoice | None, chance: float) -> tuple[float, float, float]:
    """(least_s, pass_times, chance)."""
    if not 0 <= number("survey_chance", chance) <= 1:
        raise BadInputError(f"survey_chance={chance!r} must be from 0 to 1")
    if length is None:
        return 0.0, 0.0, 0.0
    interval = interval_of("survey", length)
    return interval.least_s, interval.pass_times, float(chance)


def _slots(wanted: int | None, scenarios: Sequence[Scenario]) -> int:
    """The number of vCPU slots: enough for the widest scenario."""
    most = max(each.vcpus for each in scenarios)
    slots = most if wanted is None else whole_number("vcpu_slots", wanted, least=1)
    if slots < most:
        raise BadInputError(f"vcpu_slots={wanted!r} must hold the {most} vCPUs of the widest scenario")
    return slots_for(slots)


def _weights_of(suite: SuiteChoice | None) -> dict[str, float]:
    """The weight of each suite by its name."""
    if suite is None or isinstance(suite, str):
        return {"mixed" if suite is None else suite: 1.0}
    return {name: number(f"suite: weight of {name!r}", weight) for name, weight in mapping("suite", suite).items()}


@lru_cache(maxsize=8)
def _draw(
    weights: tuple[tuple[Suite, float], ...], size: int, seed: int, max_vcpus: int, max_memory_bytes: float
) -> tuple[Scenario, ...]:
    """The pool: of each suite a number of scenarios in proportion to its weight; a fixed suite alone as it is."""
    total = sum(weight for _, weight in weights)
    pool: list[Scenario] = []
    for suite, weight in weights:
        count = max(1, round(size * weight / total))
        if isinstance(suite, FixedSuite):
            members = suite.scenarios(max_vcpus=max_vcpus)
            pool += members if len(weights) == 1 else islice(cycle(members), count)
        else:
            pool += suite.scenarios(count, seed, max_vcpus=max_vcpus)
    pool = [scenario for scenario in pool if scenario.vm.memory_bytes <= max_memory_bytes]
    if not pool:
        named = {suite.name: weight for suite, weight in weights}
        raise BadInputError(f"max_memory_bytes={max_memory_bytes:g}: no scenario of {named!r} is that small")
    return tuple(pool)
