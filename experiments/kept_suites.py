"""The user's own suites beside what was made of them: a run or a folder of results keeps what their files said.

Each is written to ``suites/`` as the file or folder that it was read from, so that it can be named there. What is made
of it can then be resumed, evaluated and compared from anywhere, whatever became of the user's file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from dqgym.documents import parse_yaml
from dqgym.errors import BadInputError
from dqgym.files import write_text
from dqgym.scenario import Scenario
from dqgym.scenario.suites import Suite, get_suite

FOLDER = "suites"
Files = tuple[tuple[str, str], ...]
"""Texts by path, as ``Suite.files``."""


def kept_as(suite: Suite) -> str:
    """How a suite is named in the folder of what was made of it: its path there, or its name where it has no files."""
    return f"{FOLDER}/{suite.files[0][0].split('/')[0]}" if suite.files else suite.name


def files_of(suites: Iterable[Suite]) -> Files:
    """The files of several suites, once each.

    Raises:
        BadInputError: one of them could not be read back: it has too many values (of recordings, written out).
    """
    files = dict(file for suite in suites for file in suite.files)
    for path, text in files.items():
        parse_yaml(text, f"{path}, with its recordings")
    return tuple(files.items())


def write_suites(folder: Path, files: Files) -> None:
    """Write the files of suites into the folder of what was made of them."""
    for name, text in files:
        path = folder / FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)


def kept_suites(folder: Path) -> dict[str, Suite]:
    """The suites that a folder keeps, by name."""
    kept = folder / FOLDER
    found = [get_suite(str(path)) for path in sorted(kept.iterdir())] if kept.is_dir() else []
    return {suite.name: suite for suite in found}


def require_told_apart(suites: Iterable[Suite], once: bool = False) -> None:
    """Raise a BadInputError where two different suites have one name; with ``once``, also where one is named twice."""
    known: dict[str, Suite] = {}
    for suite in suites:
        if suite.name not in known:
            known[suite.name] = suite
            continue
        other = known[suite.name]
        if other.files != suite.files:
            raise BadInputError(
                f"suites {other.source} and {suite.source}: both are called {suite.name!r}: call one of the files or"
                " folders otherwise"
            )
        if once:
            raise BadInputError(f"suite {suite.name!r} is named twice: {other.source} and {suite.source}")


def digest(scenarios: Iterable[Scenario]) -> str:
    """What tells lists of scenarios apart: 16 hexadecimal digits."""
    summed = hashlib.sha256()
    for scenario in scenarios:
        summed.update(scenario.model_dump_json(by_alias=True).encode())
    return summed.hexdigest()[:16]
