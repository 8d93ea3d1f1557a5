"""Fields of a JSON object from outside: what is read is checked, and an error names the file and the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dqgym.scenario.recordings.qemu_runs import MOST_COUNT, RecordingError

SHOWN_CHARACTERS = 60


class Fields:
    """One JSON object.

    Args:
        path: of the file, for messages.
        place: of the object in it; empty for the whole.
        content: the object.

    Raises:
        RecordingError: it is none.
    """

    def __init__(self, path: str, place: str, content: object) -> None:
        if not isinstance(content, Mapping):
            raise RecordingError(f"{path}: {place or 'the report'} must be a JSON object")
        self._path, self._place, self._content = path, place, content

    def __contains__(self, key: str) -> bool:
        return self._content.get(key) is not None

    def part(self, key: str) -> Fields:
        """The object in a field."""
        return Fields(self._path, self._at(key), self._get(key))

    def items(self, key: str) -> list[Fields]:
        """The objects in a list."""
        values = self._get(key)
        if not isinstance(values, list):
            raise RecordingError(f"{self._path}: {self._at(key)} must be a list")
        return [Fields(self._path, f"{self._at(key)}[{index}]", value) for index, value in enumerate(values)]

    def text(self, key: str, if_missing: str | None = None) -> str:
        """The text in a field."""
        if if_missing is not None and key not in self:
            return if_missing
        value = self._get(key)
        if not isinstance(value, str):
            raise RecordingError(f"{self._path}: {self._at(key)}: {repr(value)[:SHOWN_CHARACTERS]} is not text")
        return value

    def number(self, key: str, if_missing: float | None = None, least: float = 0.0, most: float = MOST_COUNT) -> float:
        """The number in a field, within bounds."""
        if if_missing is not None and key not in self:
            return if_missing
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            shown = repr(value)[:SHOWN_CHARACTERS]
            raise RecordingError(f"{self._path}: {self._at(key)}: {shown} is not a number from {least:g} to {most:g}")
        return float(value)

    def yes(self, key: str) -> bool:
        """Whether a field is there, and true."""
        return self._content.get(key) is True

    def _get(self, key: str) -> Any:
        if key not in self._content:
            raise RecordingError(f"{self._path}: {self._at(key)}: missing")
        return self._content[key]

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key
