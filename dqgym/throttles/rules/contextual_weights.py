"""The contextual rule as it is shipped: with the network that ``dqgym tune contextual-rule`` found, kept in a file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from dqgym.documents import read_yaml
from dqgym.errors import BadInputError
from dqgym.telemetry.interval import parse_survey
from dqgym.throttles.options import Described, PreferenceOptions
from dqgym.throttles.rules.contextual_rule import OUTPUTS, WEIGHTS, ContextualNetwork, ContextualRule
from dqgym.throttles.rules.rule_features import FEATURES
from dqgym.throttles.rules.tuned import TunedEntry


class ContextualRuleOptions(PreferenceOptions):
    """Options of the contextual rule."""

    survey: Annotated[
        str | None, Described("length of a survey before each migration, like '0.005 T0' or '2 s'; else none")
    ] = None

    @field_validator("survey")
    @classmethod
    def _is_a_survey(cls, survey: str | None) -> str | None:
        if survey is not None:
            parse_survey(survey)
        return survey


def contextual_rule(options: ContextualRuleOptions | None = None) -> ContextualRule:
    """The rule with the network that the project ships."""
    chosen = options or ContextualRuleOptions()
    survey = None if chosen.survey is None else parse_survey(chosen.survey)
    return ContextualRule(shipped_network(), chosen.preference, survey)


def contextual_rule_of(path: Path, preference: float) -> ContextualRule:
    """The rule with the network of a file that ``dqgym tune contextual-rule`` wrote."""
    return ContextualRule(read_contextual(path).network(), preference, None)


CONTEXTUAL_FILE = Path(__file__).parent / "data" / "contextual_rule.yaml"


class ContextualFile(BaseModel):
    """A network, and how it came about.

    Attributes:
        features: names of its inputs.
        tuned: what it moves: the tuned rule's entries at the time, in the order of the preferences.
        weights: of the network.
        suites: what the migrations of the search were drawn from, with weights.
        seed: of the search.
        steps: of the search.
        costs: by preference, mean J over migrations of these suites that the search did not use.
        tuned_costs: of the tuned rule over the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    suites: dict[str, float]
    seed: int
    steps: int
    costs: dict[float, float]
    tuned_costs: dict[float, float]
    features: list[str]
    tuned: Annotated[list[TunedEntry], Field(min_length=1)]
    weights: Annotated[list[float], Field(min_length=WEIGHTS, max_length=WEIGHTS)]

    @field_validator("features")
    @classmethod
    def _are_ours(cls, features: list[str]) -> list[str]:
        if features != list(FEATURES):
            raise BadInputError("are not those that this version makes: tune it anew with `dqgym tune contextual-rule`")
        return features

    def network(self) -> ContextualNetwork:
        """The network."""
        return contextual_network(self.tuned, np.array(self.weights, dtype=np.float32))


def contextual_network(tuned: list[TunedEntry], weights: np.typing.NDArray[np.float32]) -> ContextualNetwork:
    """A network that moves tuned entries."""
    return ContextualNetwork(
        log_preferences=np.log([entry.preference for entry in tuned]),
        tuned=np.array([[float(entry.options[name]) for name in OUTPUTS] for entry in tuned]),
        weights=weights,
    )


def read_contextual(path: Path = CONTEXTUAL_FILE) -> ContextualFile:
    """The network of a file. BadInputError where there is none."""
    if not path.exists():
        raise BadInputError(f"throttle 'contextual-rule' is not tuned: there is no {path}")
    content = read_yaml(path, "weights")
    try:
        return ContextualFile.model_validate(content)
    except ValueError as error:
        raise BadInputError(f"{path}: not what `dqgym tune contextual-rule` writes: {error}") from error


def dump_contextual(content: ContextualFile) -> str:
    """The file's text."""
    head = "# Found by `dqgym tune contextual-rule`. Read by dqgym/throttles/rules/contextual_weights.py.\n"
    return head + yaml.safe_dump(content.model_dump(), sort_keys=False, width=120, default_flow_style=None)


@cache
def shipped_network() -> ContextualNetwork:
    """The network that the project ships."""
    return read_contextual().network()
