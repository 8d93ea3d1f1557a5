"""The directory that one training run leaves behind.

======================  ==============================================================================================
``config.yaml``         the resolved config; ``dqgym train config.yaml`` repeats the run
``suites/``             the user's own suites that it names, as they were when the run began
``command.txt``         the command line that started it, and each one that resumed it
``meta.json``           seed, versions of packages, Python and platform, git revision, start and end, frames (`RunMeta`)
``tensorboard/``        learning curves
``checkpoints/``        the algorithm as it was on the way; the newest ones are kept (SAC: and ``replay_buffer.npz``)
``best_model.zip``      the policy with the lowest evaluation cost so far; ``best_model.json`` has cost and frames
``final_model.zip``     the policy at the end; its presence means that the run is finished
``evaluation.json``     its evaluation in full, and the cost of all evaluations on the way
======================  ==============================================================================================
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

import dqgym
from dqgym.documents import read_json
from dqgym.errors import BadInputError
from dqgym.files import write_text, writing
from dqgym.results.schema import require_known
from experiments.errors import describe_validation_error
from experiments.kept_suites import Files, write_suites

DEFAULT_PARENT = Path("runs")
RECORDED_PACKAGES = (
    "dqgym",
    "gymnasium",
    "numba",
    "numpy",
    "onnxruntime",
    "pydantic",
    "stable-baselines3",
    "torch",
)


class RunMeta(BaseModel):
    """The origin of a run's numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    seed: int
    packages: dict[str, str]
    python: str
    platform: str
    git_revision: str | None
    started_at: str
    """ISO 8601, UTC."""
    ended_at: str | None = None
    """When the run finished; None while it has not."""
    frames: int = 0
    """Environment steps trained on so far."""
    training_s: float = 0.0
    """Time spent in training so far, evaluations included."""


def describe_run(name: str, seed: int) -> RunMeta:
    """The meta data of a run that starts now, on this machine, from this source tree."""
    return RunMeta(
        name=name,
        seed=seed,
        packages=package_versions(RECORDED_PACKAGES),
        python=sys.version.split()[0],
        platform=platform.platform(),
        git_revision=git_revision(Path(dqgym.__file__).parent),
        started_at=timestamp(),
    )


def timestamp() -> str:
    """Now, as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def default_run_path(name: str, seed: int) -> Path:
    """``runs/<name>-<seed>-<timestamp>``."""
    return DEFAULT_PARENT / f"{name}-{seed}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


@dataclass(frozen=True)
class RunDirectory:
    """The paths of one run; make one with `create` or `open`."""

    path: Path

    @property
    def config_path(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def command_path(self) -> Path:
        """The command lines."""
        return self.path / "command.txt"

    @property
    def meta_path(self) -> Path:
        """`RunMeta`."""
        return self.path / "meta.json"

    @property
    def tensorboard_path(self) -> Path:
        """Learning curves."""
        return self.path / "tensorboard"

    @property
    def checkpoints_path(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def best_model_path(self) -> Path:
        """The policy with the lowest evaluation cost."""
        return self.path / "best_model.zip"

    @property
    def final_model_path(self) -> Path:
        """The policy at the end."""
        return self.path / "final_model.zip"

    @property
    def evaluation_path(self) -> Path:
        """The evaluations of the run."""
        return self.path / "evaluation.json"

    @property
    def finished(self) -> bool:
        """True where the run has come to its end."""
        return self.final_model_path.is_file()

    @classmethod
    def create(cls, path: Path, config_text: str, command: str, meta: RunMeta, suites: Files = ()) -> RunDirectory:
        """Make the directory with its first files, all at once: it never exists half-filled.

        Args:
            path: where.
            config_text: the config.
            command: the command line.
            meta: where the numbers come from.
            suites: files of the suites that the config names in ``suites/``.

        Raises:
            BadInputError: ``path`` exists and is not an empty directory, or cannot be written.
        """
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise BadInputError(
                f"{path} exists and is not an empty directory: choose another --run-dir, or continue it"
                f" with --resume {path}"
            )
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-")
        with scratch:
            draft = cls(Path(scratch.name) / path.name)
            draft.tensorboard_path.mkdir(parents=True)
            draft.checkpoints_path.mkdir()
            write_text(draft.config_path, config_text)
            write_suites(draft.path, suites)
            draft.append_command(command)
            draft.write_meta(meta)
            draft.path.rename(path)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """The run that lies at ``path``.

        Raises:
            BadInputError: there is no run.
        """
        run = cls(path)
        missing = [file.name for file in (run.config_path, run.meta_path) if not file.is_file()]
        if missing:
            raise BadInputError(f"{path} is not a training run: {' and '.join(missing)} missing")
        return run

    def read_meta(self) -> RunMeta:
        """The run's meta data. BadInputError where the file is damaged."""
        content = read_json(self.meta_path, "meta data")
        try:
            return RunMeta.model_validate(content)
        except ValidationError as error:
            mistakes = "; ".join(describe_validation_error(error, content))
            raise BadInputError(f"{self.meta_path} is damaged: {mistakes}") from error

    def read_evaluation(self) -> dict[str, Any]:
        """The run's evaluations; see ``read_evaluation``."""
        return read_evaluation(self.evaluation_path)

    def write_meta(self, meta: RunMeta) -> None:
        """Replace the run's meta data."""
        write_text(self.meta_path, meta.model_dump_json(indent=2) + "\n")

    def append_command(self, command: str) -> None:
        """Note a command line that worked on this run."""
        with self.command_path.open("a", encoding="utf-8") as file:
            file.write(command + "\n")

    def set_aside(self) -> Path:
        """Rename the directory after its start, to make room for a new run; returns the new path."""
        text = self.read_meta().started_at
        try:
            started = datetime.fromisoformat(text)
        except ValueError as error:
            raise BadInputError(f"{self.meta_path} is damaged: started_at: {text!r} is no time (ISO 8601)") from error
        aside = self.path.with_name(f"{self.path.name}-{started:%Y%m%dT%H%M%SZ}")
        self.path.rename(aside)
        return aside


def read_evaluation(path: Path) -> dict[str, Any]:
    """Read ``evaluation.json``: ``{"frames", "cost", "summary": [...], "history": [{"frames", "cost"}, ...]}``.

    Raises:
        BadInputError: it is missing or damaged.
    """
    content = read_json(path, "evaluation")
    require_known(content, path)
    entries = [content]
    if isinstance(content, dict) and isinstance(content.get("summary"), list):
        history = content.get("history")
        entries += history if isinstance(history, list) else [None]
    else:
        entries.append(None)
    if not all(
        isinstance(entry, dict) and type(entry.get("frames")) is int and type(entry.get("cost")) in (int, float)
        for entry in entries
    ):
        raise BadInputError(f"{path} is damaged: frames, cost, summary or history are missing or no numbers")
    evaluation: dict[str, Any] = content
    return evaluation


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Version of each package."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def git_revision(folder: Path) -> str | None:
    """The revision of the source tree, with ``-dirty`` when files differ from it; None outside of a repository.

    A virtual environment often lies inside of some other repository, which tracks nothing of the package.
    """
    if shutil.which("git") is None:
        return None
    tracked = ["git", "-C", os.fspath(folder), "ls-files", "--error-unmatch", "--", "__init__.py"]
    if subprocess.run(tracked, capture_output=True, check=False).returncode != 0:
        return None
    result = subprocess.run(
        ["git", "-C", os.fspath(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or None
