"""The arguments of an environment, each read from any of its forms: an object, or what JSON can hold of it.

Every function raises a BadInputError that names the argument, its value and what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import yaml

from dqgym.envs.errors import refuse_unknown
from dqgym.errors import BadInputError
from dqgym.model.parameters import ModelParameters, load_parameters, parameters_of
from dqgym.scenario import Scenario, load_scenario, scenario_from_yaml
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.interval import ControlInterval, parse_survey

ScenarioChoice = Scenario | Mapping[str, Any] | str | Path
"""An object, what its YAML file holds, as a mapping or as text, or the name of that file."""
IntervalChoice = ControlInterval | Mapping[str, float] | str
"""An object, its attributes, or text such as ``"0.04 T0"`` or ``"100 ms"``."""
PreferenceChoice = float | tuple[float, float]
ParametersChoice = ModelParameters | Mapping[str, float] | str | Path
"""An object, some of its numbers (the others are the default ones), or the name of a file."""


def number(name: str, value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise BadInputError(f"{name}={value!r} must be a finite number")
    return float(value)


def whole_number(name: str, value: Any, least: int) -> int:
    """A whole number that is not below ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise BadInputError(f"{name}={value!r} must be a whole number")
    if value < least:
        raise BadInputError(f"{name}={value!r} must be at least {least}")
    return int(value)


def mapping(name: str, value: Any) -> Mapping[str, Any]:
    """A mapping from names."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise BadInputError(f"{name}={value!r} must be a mapping from names")
    return value


def scenario_of(given: ScenarioChoice) -> Scenario:
    """The scenario; a text is YAML where it has several lines or begins with a brace, and a file's name otherwise."""
    match given:
        case Scenario():
            return given
        case Mapping():
            return _scenario_of_mapping(given)
        case str() if "\n" in given or given.lstrip().startswith("{"):
            return scenario_from_yaml(given)
        case str() | Path():
            return load_scenario(given)
    raise BadInputError(f"scenario={given!r} must be a Scenario, a mapping, YAML text, or the name of a file")


def _scenario_of_mapping(given: Mapping[str, Any]) -> Scenario:
    try:
        text = yaml.safe_dump(dict(given), allow_unicode=True)
    except yaml.YAMLError as error:
        raise BadInputError(f"scenario: the mapping must be of text, numbers, lists and mappings: {error}") from error
    return scenario_from_yaml(text)


def interval_of(name: str, given: IntervalChoice) -> ControlInterval:
    """The control interval, or the length of a survey, that ``name`` is the argument of."""
    match given:
        case ControlInterval():
            return given
        case str():
            return parse_survey(given) if name == "survey" else ControlInterval.parse(given)
        case Mapping():
            names = [field.name for field in fields(ControlInterval)]
            refuse_unknown(f"part of {name}", given, names)
            parts = dict.fromkeys(names, 0.0) | {part: number(f"{name}.{part}", each) for part, each in given.items()}
            return ControlInterval(**parts)
    raise BadInputError(f"{name}={given!r} must say its unit: text like '0.04 T0' (pass times) or '100 ms'")


def preferences_of(given: PreferenceChoice) -> tuple[float, float]:
    """(lowest, highest) of a number or of a pair."""
    pair = tuple(given) if isinstance(given, tuple | list) else (given, given)
    finite = [isinstance(each, Real) and not isinstance(each, bool) and math.isfinite(each) for each in pair]
    if len(pair) != 2 or not all(finite) or not 0 < pair[0] <= pair[1]:
        raise BadInputError(f"preference={given!r} must be positive: a number, or (lowest, highest)")
    return float(pair[0]), float(pair[1])


def action_spec_of(given: ActionSpec | Mapping[str, float] | None) -> ActionSpec:
    """The meaning of actions."""
    if given is None or isinstance(given, ActionSpec):
        return given or ActionSpec()
    parts = mapping("action_spec", given)
    refuse_unknown("part of action_spec", parts, [field.name for field in fields(ActionSpec)])
    return ActionSpec(**{name: number(f"action_spec.{name}", value) for name, value in parts.items()})


def parameters_from(given: ParametersChoice) -> ModelParameters:
    """The constants of the model."""
    if isinstance(given, ModelParameters):
        return given
    if isinstance(given, str | Path):
        return load_parameters(Path(given))
    return parameters_of(mapping("parameters", given))
