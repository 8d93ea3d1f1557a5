"""Suites of the user's own, by path: ``db.yaml``, ``my-guests/``, ``guests/sampler.yaml``.

=============================  ====================================================================================
a file with ``workload`` ...   a fixed suite of that scenario
a file with ``scenarios``      a fixed suite of the scenarios in the list
a file with ``sampler``        a sampled suite (``dqgym.scenario.suites.own.sampler_file``)
a folder                       a fixed suite of the scenarios of all its YAML files, by the files' names
=============================  ====================================================================================

A suite is called like its file without the suffix, or like its folder. That name never is one of the suites that come
with dqgym: results would be taken for theirs.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dqgym.documents import read_yaml
from dqgym.errors import BadInputError
from dqgym.names import did_you_mean
from dqgym.scenario.bounds import MOST_NAME_CHARACTERS
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.suites.own.sampler import require_sound
from dqgym.scenario.suites.own.sampler_file import read_sampler
from dqgym.scenario.suites.suite import FixedSuite, SampledSuite, Suite
from dqgym.scenario.yaml_files import SUITE_KEYS, ScenarioError, scenario_from_content, scenario_to_content

SUFFIXES = (".yaml", ".yml")
SCENARIOS, SAMPLER = SUITE_KEYS
DESCRIPTION = "description"
MOST_FILES = 10_000
"""YAML files of one folder."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST_CHARACTERS = MOST_NAME_CHARACTERS - 30
"""Of a suite's name: those of a sampler's scenarios add seed and number."""
_NOT_A_NAME = "all"
"""In tables of results it stands for all suites."""


@dataclass(frozen=True)
class _Members:
    """The scenarios of a suite that was read; suites of the same ones are equal."""

    scenarios: tuple[Scenario, ...]

    def __call__(self) -> tuple[Scenario, ...]:
        return self.scenarios


def is_own(text: str) -> bool:
    """Whether a text is the path of a suite: it has a separator or a suffix, or is a folder's name."""
    return "/" in text or os.sep in text or text.lower().endswith(SUFFIXES) or is_own_folder(text)


def is_own_folder(text: str) -> bool:
    """Whether there is a folder of that path."""
    return os.path.isdir(text)


def own_name(text: str) -> str:
    """What the suite at a path is called; nothing is read."""
    path = Path(os.path.abspath(text))
    return path.stem if path.name.lower().endswith(SUFFIXES) else path.name


def read_own(text: str, reserved: Collection[str] = ()) -> Suite:
    """The suite at a path.

    Args:
        text: the path of a file or folder.
        reserved: names that it must not have.

    Raises:
        ScenarioError: there is no such file, its name cannot be a suite's, or something in it is not valid: one line
            for each fault, with the file.
    """
    name, path = own_name(text), Path(text)
    if not os.path.exists(path):
        raise ScenarioError(f"cannot read suite {text}: no such file or folder{_near(path)}")
    _require_name(name, text, reserved)
    if path.is_dir():
        return _folder(name, path)
    content = read_yaml(path, "suite", ScenarioError)
    if isinstance(content, dict) and SAMPLER in content:
        return _sampled(name, path, content)
    members, description = _scenarios(content, path)
    said = description or f"{_counted(members)} of {path}."
    return _fixed(name, said, path, members, ((f"{name}.yaml", _file_text(content, members)),))


def _require_name(name: str, text: str, reserved: Collection[str]) -> None:
    if name in reserved:
        raise ScenarioError(
            f"suite {text}: its name, {name!r}, is that of a suite that comes with dqgym: call the file or folder"
            f" otherwise, or leave out what makes it a path to have the one that comes with dqgym"
        )
    if not _NAME.fullmatch(name) or len(name) > _MOST_CHARACTERS or name == _NOT_A_NAME:
        raise ScenarioError(
            f"suite {text}: {name[:_MOST_CHARACTERS]!r} cannot be the name of a suite: letters, digits, '.', '_' and"
            f" '-', at most {_MOST_CHARACTERS}, and not {_NOT_A_NAME!r}; call the file or folder otherwise"
        )


def _folder(name: str, folder: Path) -> Suite:
    """The scenarios of all files of a folder; what is wrong with any of them is told at once."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    except OSError as failure:
        raise ScenarioError(f"cannot read suite {folder}: {failure.strerror or failure}") from failure
    if not paths:
        raise ScenarioError(f"suite {folder}: no scenarios: there is no file *.yaml in it")
    if len(paths) > MOST_FILES:
        raise ScenarioError(f"suite {folder}: {len(paths):,} YAML files; at most {MOST_FILES:,} are read")
    origin: list[tuple[Scenario, Path]] = []
    files, faults = [], []
    for path in paths:
        try:
            content = read_yaml(path, "scenario", ScenarioError)
            if isinstance(content, dict) and SAMPLER in content:
                raise ScenarioError(f"{path}: a sampler is a suite of its own: name it, or move it out of the folder")
            members, _ = _scenarios(content, path)
        except ScenarioError as error:
            faults.append(str(error))
            continue
        origin += [(member, path) for member in members]
        files.append((f"{name}/{path.name}", _file_text(content, members)))
    faults += _repeated(origin)
    if faults:
        raise ScenarioError("\n".join(faults))
    found = tuple(scenario for scenario, _ in origin)
    return _fixed(name, f"{_counted(found)} of the files in {folder}.", folder, found, tuple(files))


def _fixed(
    name: str, description: str, path: Path, members: tuple[Scenario, ...], files: tuple[tuple[str, str], ...]
) -> Suite:
    return FixedSuite(name, description, _Members(members), source=str(path), files=files)


def _sampled(name: str, path: Path, content: dict[Any, Any]) -> Suite:
    _require_keys(content, (SAMPLER, DESCRIPTION), path)
    sampler = read_sampler(content[SAMPLER], str(path))
    try:
        require_sound(sampler)
    except BadInputError as error:
        raise ScenarioError(f"{path}: {SAMPLER}: {error}") from error
    return SampledSuite(
        name,
        _description(content, path) or f"Drawn as {path} says.",
        sampler,
        sampler.most_vcpus,
        source=str(path),
        files=((f"{name}.yaml", _dumped(content)),),
    )


def _scenarios(content: object, path: Path) -> tuple[tuple[Scenario, ...], str]:
    """The scenarios of a file, and what it says of them."""
    if not isinstance(content, dict) or SCENARIOS not in content:
        return (scenario_from_content(content, str(path), path.parent),), ""
    _require_keys(content, (SCENARIOS, DESCRIPTION), path)
    listed = content[SCENARIOS]
    if not isinstance(listed, list) or not listed:
        raise ScenarioError(f"{path}: {SCENARIOS}: must be a list of scenarios, with one at least")
    members: list[Scenario] = []
    faults = []
    for index, one in enumerate(listed):
        try:
            members.append(scenario_from_content(one, f"{path}: {SCENARIOS}[{index}]", path.parent))
        except ScenarioError as error:
            faults.append(str(error))
    if faults := [*faults, *_repeated((member, path) for member in members)]:
        raise ScenarioError("\n".join(faults))
    return tuple(members), _description(content, path)


def _require_keys(content: dict[Any, Any], keys: tuple[str, ...], path: Path) -> None:
    faults = [
        f"{path}: unknown key {key!r}{did_you_mean(str(key), keys)}; beside {keys[0]!r} there may only be {keys[1]!r}"
        for key in content
        if key not in keys
    ]
    if faults:
        raise ScenarioError("\n".join(faults))


def _description(content: dict[Any, Any], path: Path) -> str:
    text = content.get(DESCRIPTION, "")
    if not isinstance(text, str):
        raise ScenarioError(f"{path}: {DESCRIPTION}: {text!r}: must be text")
    return " ".join(text.split())


def _repeated(origin: Iterable[tuple[Scenario, Path]]) -> list[str]:
    """One line for each name that several scenarios have."""
    origin = list(origin)
    counts = Counter(scenario.name for scenario, _ in origin)
    return [
        f"{', '.join(dict.fromkeys(str(path) for one, path in origin if one.name == name))}: {count} scenarios are"
        f" called {name!r}: give each a name of its own"
        for name, count in counts.items()
        if count > 1
    ]


def _file_text(content: object, members: Iterable[Scenario]) -> str:
    """A file of the same scenarios that needs no other file."""
    resolved = [scenario_to_content(member) for member in members]
    if isinstance(content, dict) and SCENARIOS in content:
        return _dumped({**content, SCENARIOS: resolved})
    return _dumped(resolved[0])


def _dumped(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _counted(members: Collection[Scenario]) -> str:
    return "The scenario" if len(members) == 1 else f"The {len(members)} scenarios"


def _near(path: Path) -> str:
    """The nearest name beside a path that is not there."""
    try:
        there = [one.name for one in path.parent.iterdir() if one.is_dir() or one.suffix.lower() in SUFFIXES]
    except OSError:
        return ""
    return did_you_mean(path.name, there)
