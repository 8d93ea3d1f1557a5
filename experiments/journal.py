"""The runs of an evaluation that are finished, kept until all are: what ``dqgym evaluate --resume`` goes on with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from experiments.errors import BadInputError
from experiments.files import write_text
from experiments.results import Row, Takeover, json_safe


@dataclass(frozen=True)
class Finished:
    """One throttle on one suite: a run at one preference, or a baseline's, costed at all of them."""

    suite: str
    throttle: str
    preferences: tuple[float, ...]
    rows: tuple[Row, ...]
    takeovers: tuple[Takeover, ...]


class Journal:
    """Finished runs, in a file that is whole after each of them.

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

    def find(self, suite: str, throttle: str, preferences: Sequence[float]) -> Finished | None:
        """The finished run, if it is one."""
        wanted = (suite, throttle, tuple(preferences))
        return next((one for one in self._finished if (one.suite, one.throttle, one.preferences) == wanted), None)

    def add(self, finished: Finished) -> None:
        """One more run is finished."""
        self._finished.append(finished)
        content = {"setting": self._setting, "finished": [asdict(one) for one in self._finished]}
        write_text(self._path, json.dumps(json_safe(content)))

    def discard(self) -> None:
        """All is finished: the file is not needed any more."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> list[Finished]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            setting, finished = (
                content["setting"],
                TypeAdapter(list[Finished]).validate_python(_with_nan(content["finished"])),
            )
        except FileNotFoundError:
            raise BadInputError(f"nothing to resume: there is no {self._path}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInputError(f"{self._path}: not a journal of `dqgym evaluate`: {error!r}") from error
        for name, value in self._setting.items():
            if setting.get(name) != value:
                raise BadInputError(
                    f"{self._path}: of another evaluation: its {name} is {setting.get(name)!r}, not {value!r}"
                )
        return finished


def _with_nan(value: Any) -> Any:
    """The same with NaN, which JSON does not know, where a number is absent."""
    match value:
        case dict():
            return {key: _with_nan(item) for key, item in value.items()}
        case list():
            return [_with_nan(item) for item in value]
        case None:
            return math.nan
        case _:
            return value
