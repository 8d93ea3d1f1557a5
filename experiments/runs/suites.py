"""The suites that a training config names: the user's own ones lie somewhere else than the run that is made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from dqgym.references import is_reference
from dqgym.scenario.suites import Suite, get_suite
from experiments.kept_suites import Files, files_of, kept_as
from experiments.runs.config import TrainingConfig, config_yaml


def kept_config(settings: TrainingConfig) -> tuple[str, Files]:
    """The config as a run keeps it, and the files of suites that it then names, relative to itself.

    Raises:
        BadInputError: see ``files_of``.
    """
    return config_yaml(_content(settings, kept_as)), files_of(_suites(settings))


def same_training(one: TrainingConfig, other: TrainingConfig) -> bool:
    """Whether two configs ask for the same, wherever the files of their suites lie."""
    return _content(one, _told_by_files) == _content(other, _told_by_files)


def with_names(settings: TrainingConfig) -> dict[str, Any]:
    """The config as JSON, with the names of suites in place of paths on this machine; imports nothing."""
    return _content(settings, lambda suite: suite.name)


def _suites(settings: TrainingConfig) -> Iterator[Suite]:
    for name in (*settings.environment.suites, *settings.evaluation.suites):
        if not is_reference(name):
            yield get_suite(name)


def _content(settings: TrainingConfig, called: Callable[[Suite], str]) -> dict[str, Any]:
    """The config as JSON, with every suite called otherwise, but for ``module:name``: the module says what it is."""

    def renamed(name: str) -> str:
        return name if is_reference(name) else called(get_suite(name))

    content = settings.model_dump(mode="json")
    trained, held_out = content["environment"], content["evaluation"]
    trained["suites"] = {renamed(name): weight for name, weight in trained["suites"].items()}
    held_out["suites"] = [renamed(name) for name in held_out["suites"]]
    return content


def _told_by_files(suite: Suite) -> str:
    return f"{suite.name} {hashlib.sha256(repr(suite.files).encode()).hexdigest()}"
