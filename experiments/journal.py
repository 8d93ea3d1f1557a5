"""The runs of an evaluation that are finished, kept until all are: what ``dqgym evaluate --resume`` goes on with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from dqgym.errors import BadInputError
from dqgym.files import read_text, write_text, writing
from experiments.results import Row, Takeover, json_safe, revived_row

MOST_BYTES = 2**32
"""Of a journal: a run of 2,000 migrations is a megabyte."""


@dataclass(frozen=True)
class Finished:
    """One throttle on one suite: a run at one preference, or a baseline's, costed at all of them."""

    suite: str
    throttle: str
    preferences: tuple[float, ...]
    rows: tuple[Row, ...]
    takeovers: tuple[Takeover, ...]
    training_seed: int | None = None


class Journal:
    """Finished runs, in a file with a line for the setting and one for each run; half a line at its end is dropped.

    Args:
        path: the file.
        setting: what decides the results but the throttles; a journal of another setting is of no use.
        resume: take over what is in the file; else it is forgotten.

    Raises:
        BadInputError: there is nothing to resume, or it is of another setting.
    """

    def __init__(self, path: Path, setting: Mapping[str, Any], resume: bool) -> None:
        self._path = path
        self._setting: dict[str, Any] = json.loads(json.dumps(setting))
        self._finished = self._read() if resume else []

    def __len__(self) -> int:
        """How many runs are finished."""
        return len(self._finished)

    def find(
        self, suite: str, throttle: str, preferences: Sequence[float], training_seed: int | None = None
    ) -> Finished | None:
        """The finished run, if it is one."""
        wanted = (suite, throttle, tuple(preferences), training_seed)
        return next((one for one in self._finished if _key(one) == wanted), None)

    def add(self, finished: Finished) -> None:
        """One more run is finished."""
        if not self._finished:
            write_text(self._path, json.dumps(self._setting) + "\n")
        self._finished.append(finished)
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(json_safe(asdict(finished))) + "\n")

    def discard(self) -> None:
        """All is finished: the file is not needed any more."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> list[Finished]:
        if not self._path.exists():
            raise BadInputError(f"nothing to resume: there is no {self._path}")
        try:
            first, *lines = read_text(self._path, "journal", most_bytes=MOST_BYTES).split("\n")
            if lines.pop():  # a line that was cut off
                write_text(self._path, "\n".join([first, *lines, ""]))
            setting = dict(json.loads(first))
            finished = [_finished(json.loads(line)) for line in lines]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, BadInputError):
                raise
            raise BadInputError(f"{self._path}: not a journal of `dqgym evaluate`: {error!r}") from error
        for name, value in self._setting.items():
            if setting.get(name) != value:
                raise BadInputError(
                    f"{self._path}: of another evaluation: its {name} is {setting.get(name)!r}, not {value!r}"
                )
        return finished


def _key(finished: Finished) -> tuple[str, str, tuple[float, ...], int | None]:
    return finished.suite, finished.throttle, finished.preferences, finished.training_seed


def _finished(run: dict[str, Any]) -> Finished:
    """A run from its line of the file."""
    return TypeAdapter(Finished).validate_python({**run, "rows": [revived_row(row) for row in run["rows"]]})
