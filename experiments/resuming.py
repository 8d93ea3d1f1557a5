"""Records of the work that a long command has done, kept until all is done: ``--resume`` continues from them.

A journal is a file with a line for the setting and one for each record. Half a line at its end is dropped.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from dqgym.documents import parse_json
from dqgym.errors import BadInputError, RunInterruptedError
from dqgym.files import read_text, write_text, writing
from dqgym.stopping import uninterrupted
from experiments.errors import is_interruption

log = logging.getLogger(__name__)

MOST_BYTES = 2**32
RecordT = TypeVar("RecordT")


class Records(Generic[RecordT]):
    """Records of one class in a file, whole after each of them.

    Args:
        path: the file.
        setting: what decides the records; those of another setting are of no use.
        resume: take over what is in the file; else it is forgotten as soon as there is a record.
        kind: the records' class, a dataclass.
        what: the command's work, for messages.

    Raises:
        BadInputError: there is nothing to resume, it is damaged, or it is of another setting.
    """

    def __init__(self, path: Path, setting: Mapping[str, Any], resume: bool, kind: type[RecordT], what: str) -> None:
        self._path = path
        self._what = what
        self._setting: dict[str, Any] = json.loads(json.dumps(setting))
        self._adapter = TypeAdapter(kind)
        self.all: list[RecordT] = self._read() if resume else []
        if resume:
            log.info("going on with %d records of an earlier %s in %s", len(self.all), what, path)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.all)

    def add(self, record: RecordT) -> None:
        """Keep one more."""
        line = json.dumps(asdict(record)) + "\n"  # type: ignore[call-overload]
        with uninterrupted():
            if not self.all:
                write_text(self._path, json.dumps(self._setting) + "\n")
            with writing(self._path), self._path.open("a", encoding="utf-8") as file:
                file.write(line)
            self.all.append(record)

    def discard(self) -> None:
        """All is done: the file is not needed any more."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> list[RecordT]:
        if not self._path.exists():
            raise BadInputError(f"nothing to resume: there is no {self._path}")
        first, *lines = read_text(self._path, "journal", MOST_BYTES).split("\n")
        if lines and lines.pop():  # a line that was cut off
            write_text(self._path, "\n".join([first, *lines, ""]))
        setting = self._parsed(1, first, dict)
        for name, value in self._setting.items():
            if setting.get(name) != value:
                raise BadInputError(
                    f"{self._path}: of another {self._what}: its {name} is {setting.get(name)!r}, not {value!r}"
                )
        return [self._parsed(number, line, self._adapter.validate_python) for number, line in enumerate(lines, 2)]

    def _parsed(self, number: int, line: str, read: Callable[[Any], Any]) -> Any:
        where = f"{self._path}, line {number}"
        try:
            return read(parse_json(line, where))
        except BadInputError:
            raise
        except (ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise BadInputError(f"{where}: not the journal of this command ({self._what}): {reason}") from error


@contextmanager
def saying_how_to_go_on(kept: Callable[[], str]) -> Iterator[None]:
    """Whatever stops the block, the user is told how to go on.

    Args:
        kept: what is kept and how to go on with it; an empty text where nothing is kept yet.

    Raises:
        RunInterruptedError: the user stopped the block; it has that text.
    """
    try:
        yield
    except BaseException as error:
        told = kept()
        if not told:
            raise
        if is_interruption(error):
            raise RunInterruptedError(told) from error
        print(told, file=sys.stderr)
        raise
