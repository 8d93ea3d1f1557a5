"""Rows (``dqgym.results.rows``) as a file: ``results.csv``, or ``results.csv.gz`` where they are many.

An absent number is an empty cell, several numbers are separated by spaces.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TextIO, get_type_hints

from dqgym.errors import BadInputError
from dqgym.results.rows import Row

PLAIN_FILE, COMPRESSED_FILE = "results.csv", "results.csv.gz"
MOST_ROWS_PLAIN = 20_000
"""A file of more rows is compressed."""
COLUMNS = tuple(field.name for field in fields(Row))
LATER_COLUMNS = ("forced",)
"""The last ones, which are written where a row needs them: files that know nothing of them stay what they are."""


def write_rows(folder: Path, rows: Sequence[Row]) -> Path:
    """Write all rows; returns the file."""
    path = folder / (PLAIN_FILE if len(rows) <= MOST_ROWS_PLAIN else COMPRESSED_FILE)
    with _writing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = COLUMNS if any(row.forced for row in rows) else COLUMNS[: -len(LATER_COLUMNS)]
        writer.writerow(columns)
        writer.writerows([_cell(getattr(row, name)) for name in columns] for row in rows)
    return path


def read_rows(folder: Path, throttles: Collection[str] | None = None) -> list[Row]:
    """The rows of some throttles; None: of all.

    Raises:
        BadInputError: there is no such file, it has other columns or a value that is not allowed, or it has no rows
            of one of the throttles.
    """
    paths = [path for path in (folder / PLAIN_FILE, folder / COMPRESSED_FILE) if path.is_file()]
    if not paths:
        raise BadInputError(f"{folder}: has neither {PLAIN_FILE} nor {COMPRESSED_FILE} of `dqgym evaluate`")
    found: dict[str, None] = {}
    rows = []
    with _reading(paths[0]) as lines:
        header: list[str] = next(lines, [])
        if tuple(header) not in (COLUMNS, COLUMNS[: -len(LATER_COLUMNS)]):
            wrong = sorted((set(header) ^ set(COLUMNS)) - set(LATER_COLUMNS)) or "their order"
            raise BadInputError(f"{paths[0]}: must have the columns {', '.join(COLUMNS)}; wrong: {wrong}")
        for line in lines:
            where = f"{paths[0]}, line {lines.line_num}"
            if len(line) != len(header):
                raise BadInputError(f"{where}: {len(line)} cells, must be {len(header)}")
            throttle = line[COLUMNS.index("throttle")]
            found[throttle] = None
            if throttles is None or throttle in throttles:
                rows.append(_row(line, where))
    for throttle in throttles or ():
        if throttle not in found:
            raise BadInputError(f"{paths[0]}: no throttle {throttle!r} in it; there are: {', '.join(found)}")
    return rows


@contextmanager
def _writing(path: Path) -> Iterator[TextIO]:
    if path.name == PLAIN_FILE:
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
    else:  # without the time of writing, so that the same rows are the same bytes
        with gzip.GzipFile(path, "wb", mtime=0) as packed, io.TextIOWrapper(packed, "utf-8", newline="") as file:
            yield file


@contextmanager
def _reading(path: Path) -> Iterator[Any]:
    """Yield a reader of the lines.

    Raises:
        BadInputError: the file cannot be read, or it is no text.
    """
    open_file = open if path.name == PLAIN_FILE else gzip.open
    try:
        with open_file(path, "rt", encoding="utf-8", newline="") as file:
            yield csv.reader(file)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"cannot read {path}: {error}") from error


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _row(line: Sequence[str], where: str) -> Row:
    values = {}
    for name, text in zip(COLUMNS, line, strict=False):
        parse, allowed = _PARSERS[name]
        try:
            values[name] = parse(text)
        except (ValueError, KeyError):
            raise BadInputError(f"{where}: {name}={text!r} must be {allowed}") from None
    return Row(**values)


_BY_TYPE: dict[Any, tuple[Callable[[str], Any], str]] = {
    str: (str, "text"),
    int: (int, "a whole number"),
    float: (lambda text: float(text) if text else math.nan, "a number or empty"),
    bool: ({"True": True, "False": False}.__getitem__, "True or False"),
    int | None: (lambda text: int(text) if text else None, "a whole number or empty"),
    tuple[float, ...]: (lambda text: tuple(map(float, text.split())), "numbers separated by spaces"),
}
_PARSERS = {name: _BY_TYPE[kind] for name, kind in get_type_hints(Row).items()}
