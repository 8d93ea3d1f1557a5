"""Specs that JSON can hold: ``gym.make(EnvSpec.from_json(env.spec.to_json()))`` makes the same environment again.

Gymnasium keeps the arguments that an environment was made with in its spec, as they are. Here each becomes the form of
it that is text, numbers, lists and mappings; ``dqgym.envs.arguments.checks`` reads all of these forms.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

from gymnasium.envs.registration import EnvSpec

from dqgym.envs.randomisation import Randomisation
from dqgym.model.parameters import ModelParameters
from dqgym.scenario import Scenario, scenario_to_yaml
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.interval import ControlInterval


class JsonableSpec:
    """An environment whose spec can be written as JSON, whatever objects it was made with.

    A ``Backend`` that was handed in has no such form: with one, the spec serves for ``gym.make`` but not for JSON.
    """

    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """The spec that Gymnasium made the environment from."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = None if spec is None else copy.copy(spec)
        if self._spec is not None:
            self._spec.kwargs = {name: jsonable(value) for name, value in self._spec.kwargs.items()}


def jsonable(value: Any) -> Any:
    """The form of an argument that JSON can hold, where it has one."""
    match value:
        case Scenario():
            return scenario_to_yaml(value)
        case ActionSpec() | ControlInterval() | Randomisation():
            return asdict(value)
        case ModelParameters():
            return value._asdict()
        case Path():
            return str(value)
        case Enum():
            return value.value
        case Mapping():
            return {name: jsonable(each) for name, each in value.items()}
    # A number of NumPy is none to JSON.
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value
