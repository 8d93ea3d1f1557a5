"""Training configs: YAML files with strict keys, checked as a whole before anything runs.

``TrainingConfig`` is the reference of all keys. Every value has one place in the file; ``--set path.to.key=value``
replaces it from the command line, with the value read as YAML.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from agents.config import AlgorithmConfig, PolicyConfig, Share
from agents.numbers import Number, Section, Whole
from dqgym.cost import FAST, GENTLE, PREFERENCE_RANGE
from dqgym.documents import MOST_LEVELS, parse_yaml, read_yaml
from dqgym.errors import BadInputError
from dqgym.names import did_you_mean
from dqgym.references import is_reference
from dqgym.scenario import MAX_VCPUS
from dqgym.scenario.suites import Suite, get_suite, suite_names
from dqgym.scenario.suites.own.files import is_own, is_own_folder
from dqgym.telemetry.interval import POLICY_INTERVAL_TEXT, ControlInterval, parse_survey
from dqgym.units import parse_bytes
from experiments.errors import describe_validation_error
from experiments.kept_suites import require_told_apart

SuiteName = Annotated[str, Field(description="a suite: a name (`dqgym suites`), or a file or folder")]
Preference = Annotated[Number, Field(ge=0)]
_SHOWN_CHARACTERS = 100
_SUITES = "environment.suites."


def _importing_nothing(suites: Iterable[str]) -> Iterator[Suite]:
    """The suites, but for ``module:name``, which is imported when it is trained on, not before: a config may have come
    with a run from elsewhere, and reading a run executes nothing. BadInputError where there is no such suite."""
    return (get_suite(name) for name in suites if not is_reference(name))


class RandomisationConfig(Section):
    """The variations in training beyond the scenarios; see ``dqgym.envs.randomisation``."""

    calibration: Number = Field(
        default=0.0, ge=0, le=1, description="the model's constants are off by a factor of up to 1 + this, per scenario"
    )
    measurement_noise: Number = Field(
        default=0.0, ge=0, le=1, description="relative sd of the dirtied bytes that the policy is told"
    )
    late_commands: Number = Field(
        default=0.0, ge=0, le=0.9, description="share of the intervals in which the limits before still hold"
    )
    bandwidth_noise: Number = Field(
        default=0.0, ge=0, le=1, description="relative sd of the bandwidth that the policy is told"
    )
    latency: tuple[Share, Share] = Field(
        default=(0.0, 0.0),
        description="least and most share of an interval that is over before its limits hold; each migration draws one",
    )
    period_jitter: Number = Field(
        default=0.0, ge=0, le=0.9, description="phases are longer or shorter by up to this share of their period"
    )

    @field_validator("latency")
    @classmethod
    def _is_a_range(cls, latency: tuple[float, float]) -> tuple[float, float]:
        if latency[0] > latency[1]:
            raise BadInputError("must be [least, most] with 0 <= least <= most <= 1")
        return latency


class EnvironmentConfig(Section):
    """The migrations to train on."""

    suites: dict[SuiteName, Annotated[Number, Field(gt=0)]] = Field(
        description="suites that scenarios come from, and the weight of each"
    )
    n_envs: Whole = Field(default=256, ge=1, description="migrations side by side")
    control_interval: str = Field(
        default=POLICY_INTERVAL_TEXT, description="time between decisions: '0.04 T0' (pass times) or '100 ms'"
    )
    survey: str | None = Field(
        default=None,
        description="length of a survey before each migration: '0.01 T0' (pass times) or '2 s'; none: null",
    )
    survey_chance: Number = Field(
        default=1.0, ge=0, le=1, description="share of the migrations with a survey; the others begin without one"
    )
    preference: tuple[Preference, Preference] = Field(
        default=PREFERENCE_RANGE, description="lowest and highest preference; each migration draws one, log-uniformly"
    )
    pool_size: Whole = Field(
        default=2048, ge=1, description="scenarios drawn before training; each migration is one of them"
    )
    max_memory: str | None = Field(
        default=None, description="scenarios with more memory are left out: '256 GB'; null: none are"
    )
    randomisation: RandomisationConfig = RandomisationConfig()
    max_vcpus: Whole = Field(
        default=MAX_VCPUS, ge=1, le=MAX_VCPUS, description="scenarios with more vCPUs are left out"
    )

    @field_validator("suites")
    @classmethod
    def _are_known(cls, suites: dict[str, float]) -> dict[str, float]:
        if not suites:
            raise BadInputError("must name at least one suite")
        require_told_apart(_importing_nothing(suites), once=True)
        return suites

    @field_validator("control_interval", mode="before")
    @classmethod
    def _is_an_interval(cls, value: object) -> object:
        ControlInterval.parse(str(value))
        return value

    @field_validator("max_memory")
    @classmethod
    def _is_a_size(cls, value: str | None) -> str | None:
        if value is not None:
            parse_bytes(value)
        return value

    @property
    def max_memory_bytes(self) -> float:
        """``max_memory`` as a number; infinite where there is no bound."""
        return math.inf if self.max_memory is None else parse_bytes(self.max_memory)

    @field_validator("survey", mode="before")
    @classmethod
    def _is_a_survey(cls, value: object) -> object:
        if value is not None:
            parse_survey(str(value))
        return value

    @field_validator("preference")
    @classmethod
    def _is_a_range(cls, preference: tuple[float, float]) -> tuple[float, float]:
        if not 0 < preference[0] <= preference[1]:
            raise BadInputError("must be [low, high] with 0 < low <= high")
        return preference


class ScheduleConfig(Section):
    """The length of training and the events on the way; all counts are frames (environment steps)."""

    frames: Whole = Field(ge=1, description="frames to train for (rounded up to whole rollouts)")
    checkpoint_every: Whole = Field(ge=1, description="frames between checkpoints")
    evaluate_every: Whole = Field(ge=1, description="frames between evaluations that choose the best model")


class EvaluationConfig(Section):
    """The held-out migrations that choose the best model."""

    suites: list[SuiteName] = Field(min_length=1, description="suites to evaluate on")
    preferences: list[Preference] = Field(
        default=[FAST, GENTLE], min_length=1, description="preferences at which the cost is taken"
    )
    count: Whole = Field(default=64, ge=1, description="scenarios of each sampler (a fixed suite is taken whole)")
    seed: Whole = Field(default=1_000_003, ge=0, description="seed of the held-out scenarios and migrations")

    @field_validator("suites")
    @classmethod
    def _are_known(cls, suites: list[str]) -> list[str]:
        require_told_apart(_importing_nothing(suites))
        return suites


class TrainingConfig(Section):
    """One training run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the run directory")
    seed: Whole = Field(default=0, ge=0, lt=2**31, description="decides everything that is random in training")
    environment: EnvironmentConfig
    algorithm: AlgorithmConfig
    training: ScheduleConfig
    evaluation: EvaluationConfig

    @property
    def policy(self) -> PolicyConfig:
        """The networks of the policy."""
        return self.algorithm.policy

    @model_validator(mode="after")
    def _held_out(self) -> TrainingConfig:
        if self.seed == self.evaluation.seed:
            raise BadInputError(
                f"seed={self.seed} and evaluation.seed must differ: evaluation is on held-out scenarios"
            )
        return self

    @model_validator(mode="after")
    def _suites_are_told_apart(self) -> TrainingConfig:
        require_told_apart(map(get_suite, [*self.environment.suites, *self.evaluation.suites]))
        return self

    @model_validator(mode="after")
    def _can_be_paired(self) -> TrainingConfig:
        if self.algorithm.takes_pairs and self.environment.n_envs % 2:
            raise BadInputError(
                f"environment.n_envs={self.environment.n_envs} must be even: algorithm.kind is {self.algorithm.kind}"
            )
        return self

    @model_validator(mode="after")
    def _evaluates_what_is_trained(self) -> TrainingConfig:
        low, high = self.environment.preference
        for preference in self.evaluation.preferences:
            if not low <= preference <= high:
                raise BadInputError(
                    f"evaluation.preferences: {preference} is outside of environment.preference, {low} .. {high}"
                )
        return self

    def to_yaml(self) -> str:
        """The resolved config, every default filled in; `load_config` reads it back as an equal config."""
        return config_yaml(self.model_dump(mode="json"))


def config_yaml(content: dict[str, Any]) -> str:
    """The content of a config as YAML."""
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120)


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Read a config and replace values in it.

    Args:
        path: the YAML file. Files and folders of suites that it names are relative to its own folder.
        overrides: ``path.to.key=value`` each; later ones win. Files that they name are relative to the current folder.

    Raises:
        BadInputError: the file cannot be read, or an entry is unknown or has a wrong value; one line for each mistake.
    """
    content = read_yaml(path, "config")
    if not isinstance(content, dict):
        raise BadInputError(f"{path} must be a mapping with the keys {', '.join(TrainingConfig.model_fields)}")
    _find_suites(content, path.parent)
    for override in overrides:
        _replace(content, override)
    mistakes = list(_unknown_keys(content, TrainingConfig))
    if not mistakes:
        try:
            return TrainingConfig.model_validate(content)
        except ValidationError as error:
            mistakes = describe_validation_error(error, content)
    raise BadInputError("\n".join(f"{path}: {mistake}" for mistake in mistakes))


def _find_suites(content: dict[str, Any], folder: Path) -> None:
    """Put the folder before the paths of suites; what is no path, or no suite at all, is left to validation."""

    def found(name: Any) -> Any:
        if not isinstance(name, str) or name in suite_names():
            return name
        inside = str(folder / name)
        return inside if is_own(name) or is_own_folder(inside) else name

    for section in ("environment", "evaluation"):
        part: Any = content.get(section)
        suites: Any = part.get("suites") if isinstance(part, dict) else None
        if isinstance(suites, dict):
            content[section] = {**part, "suites": {found(name): weight for name, weight in suites.items()}}
        elif isinstance(suites, list):
            content[section] = {**part, "suites": [found(name) for name in suites]}


def _replace(content: dict[str, Any], override: str) -> None:
    """Put the value of one ``path.to.key=value`` in its place; validation later finds keys that do not exist."""
    said = f"--set {override if len(override) <= _SHOWN_CHARACTERS else override[:_SHOWN_CHARACTERS] + '...'!r}"
    path, equals, text = override.partition("=")
    *sections, key = _keys(path.strip())
    if len(sections) >= MOST_LEVELS:
        raise BadInputError(f"{said}: {len(sections) + 1} levels of keys, at most {MOST_LEVELS}")
    if not (equals and key and all(sections)):
        raise BadInputError(f"{said}: must be path.to.key=value, for example algorithm.learning_rate=0.001")
    value = parse_yaml(text, said)
    section = content
    for name in sections:
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            raise BadInputError(f"{said}: {name!r} is a value, not a section that has keys")
    section[key] = value


def _keys(path: str) -> list[str]:
    """The keys of a path; what follows on the suites is one of them, which may have dots: ``my.yaml``."""
    inside, suite = path.startswith(_SUITES), path.removeprefix(_SUITES)
    return [*_SUITES.split(".")[:-1], suite] if inside else path.split(".")


def _unknown_keys(section: dict[str, Any], model: type[BaseModel], path: str = "") -> Iterator[str]:
    """One line for each key that the section's model does not have, with the nearest one that it has."""
    keys = list(model.model_fields)
    for key, value in section.items():
        if key not in keys:
            yield f"{path}{key}: unknown key{did_you_mean(str(key), keys)}; known keys: {', '.join(keys)}"
        elif isinstance(value, dict) and (inner := _section_model(model.model_fields[key].annotation, value)):
            yield from _unknown_keys(value, inner, f"{path}{key}.")


def _section_model(annotation: Any, section: dict[str, Any]) -> type[BaseModel] | None:
    """The model of a section: the annotation itself, or the member of a union that the section's ``kind`` names."""
    types = [type_ for type_ in (annotation, *get_args(annotation)) if isinstance(type_, type)]
    models = [type_ for type_ in types if issubclass(type_, BaseModel)]
    if len(models) > 1:
        models = [model for model in models if model.model_fields["kind"].default == section.get("kind")]
    return models[0] if models else None
