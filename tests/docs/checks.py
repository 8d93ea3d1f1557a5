"""What a page quotes, compared with what comes out of the command that is named beside it.

A line under the command is one of

* ``PATH: WORDS``: the command prints JSON; PATH leads to a number in it, by keys, positions, and ``key=value`` for the
  one element of a list that has it. WORDS stand in the paragraph above with one number, which must be that one,
  rounded to as many digits. A ``%`` or ``ms`` after the number counts.
* ``table FILE``: the command writes FILE with Markdown; in it is a table that begins as that above does. Columns of
  the same title must be equal. ``table FILE without WORD`` leaves out titles that begin so;
* ``within N %``, for the lines after it: numbers may differ by so much beside the rounding (of their own, or of 100 %).
  Training gives other last digits on other processors.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.docs.commands import needs_kvm, problem
from tests.docs.pages import Check, Page, one_line
from tests.docs.runner import ROOT, Entry, Outcome, lay_out, run_command, write_scenarios

_NUMBER = re.compile(r"(?<![\w.])(-?\d[\d,_]*(?:\.\d+)?)(\s*%|\s*ms\b)?")
_SCALE = {"": 1.0, "%": 100.0, "ms": 1000.0}


def run_checks(page: Page, folder: Path) -> Iterator[Entry]:
    """The checks of a page that are not slow, in the folder that its commands have run in."""
    for check in page.checks(slow=False):
        yield run_check(page, check, folder)


def run_slow_checks(page: Page, folder: Path, run: Path) -> Iterator[Entry]:
    """The slow checks of a page, in a new folder, where ``run`` is the one of `make quickstart`."""
    if page.checks(slow=True):
        lay_out(folder)
        write_scenarios(page, folder)
        shutil.copytree(run, folder / "runs/quickstart")
        for check in page.checks(slow=True):
            yield run_check(page, check, folder)


def run_check(page: Page, check: Check, folder: Path) -> Entry:
    """Run the command of a check, and compare."""

    def entry(wrong: str | None, code: int | None = None, seconds: float = 0.0, output: str = "") -> Entry:
        note = wrong or f"as quoted: {'; '.join(check.expectations) or 'runs'}"
        return Entry(
            page.name, check.line, check.command, Outcome.FAILED if wrong else Outcome.RAN, note, code, seconds, output
        )

    wrong = "a check cannot need KVM" if needs_kvm(check.command) else problem(check.command, ROOT)
    if wrong:
        return entry(wrong)
    code, seconds, out, err = run_command(check.command, folder)
    if code:
        return entry("failed", code, seconds, out + err)
    return entry("; ".join(_differences(check, out, folder)) or None, code, seconds)


def _differences(check: Check, out: str, folder: Path) -> Iterator[str]:
    """What the paragraph of a check quotes otherwise than it is."""
    within = 0.0
    for line in check.expectations:
        if line.startswith("within "):
            within = float(line.removeprefix("within ").removesuffix("%")) / 100
            continue
        try:
            if line.startswith("table "):
                file, _, without = line.removeprefix("table ").partition(" without ")
                written = (folder / file).read_text(encoding="utf-8")
                yield from table_differences(check.paragraph, written, without, within)
            else:
                path, _, words = line.partition(": ")
                yield from figure_differences(check.paragraph, words, at_path(json.loads(out), path), within)
        except (OSError, ValueError, LookupError, TypeError) as error:
            yield f"{line}: {type(error).__name__}: {error}"


def figure_differences(paragraph: str, words: str, value: float, within: float = 0.0) -> Iterator[str]:
    """What is wrong with a number that a paragraph quotes, unless it is the value, rounded."""
    if one_line(words) not in one_line(paragraph):
        yield f"the paragraph above does not say {words!r}"
    numbers = _numbers(words)
    if len(numbers) != 1:
        yield f"{words!r} must have one number, has {len(numbers)}"
    elif not numbers[0].is_of(value, within):
        yield f"{words!r}: it is {value * numbers[0].scale:.6g}"


@dataclass(frozen=True)
class Number:
    """A number as it is written: its value, its decimals, and what a value is multiplied by before it is written so."""

    quoted: float
    decimals: int
    scale: float

    def is_of(self, value: float, within: float) -> bool:
        """Whether the value is written so; ``within`` is a share of it, or of 1 where it is a percentage."""
        scaled = value * self.scale
        allowed = within * (100 if self.scale == _SCALE["%"] else abs(scaled)) + 0.5001 * 10.0**-self.decimals
        return float(f"{scaled:.{self.decimals}f}") == self.quoted or (
            within > 0 and abs(scaled - self.quoted) < allowed
        )


def _numbers(text: str) -> list[Number]:
    """All numbers in a text."""
    return [
        Number(float(digits.replace(",", "")), len(digits.partition(".")[2]), _SCALE[unit.strip()])
        for digits, unit in _NUMBER.findall(text)
    ]


def at_path(document: Any, path: str) -> Any:
    """What a path leads to: keys and positions between dots, and ``key=value``."""
    for part in re.split(r"\.(?![^\[]*\])", path):
        name = part.strip("[]")
        if isinstance(document, dict):
            document = document[name]
        elif "=" in name:
            wanted = dict(pair.split("=", 1) for pair in name.split(","))
            (document,) = [one for one in document if all(str(one.get(key)) == value for key, value in wanted.items())]
        else:
            document = document[int(name)]
    return document


def table_differences(paragraph: str, written: str, without: str = "", within: float = 0.0) -> Iterator[str]:
    """Where the table above differs from the one in ``written`` that begins alike."""
    quoted = _table(paragraph.splitlines())
    tables = [_table(part.splitlines()) for part in written.split("\n\n") if part.startswith("|")]
    same = [table for table in tables if next(iter(table)) == next(iter(quoted))]
    if not same:
        yield f"no table begins with the column {next(iter(quoted))!r}"
        return
    compared = [title for title in quoted if not (without and title.startswith(without))]
    if missing := [title for title in compared if title not in same[0]]:
        yield f"nothing to compare with the columns {missing}"
        return
    for title in compared:
        for first, cell, true in zip(_first(quoted), quoted[title], same[0][title], strict=True):
            if not _same_cell(cell, true, within):
                yield f"{title!r}, {first}: {cell!r} is {true!r}"


def _same_cell(cell: str, true: str, within: float) -> bool:
    if cell == true or not within:
        return cell == true
    pairs = list(zip(_numbers(cell), _numbers(true), strict=True))
    return all(number.is_of(other.quoted / other.scale, within) for number, other in pairs)


def _first(table: dict[str, list[str]]) -> list[str]:
    return next(iter(table.values()))


def _table(lines: list[str]) -> dict[str, list[str]]:
    """Columns by title."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return dict(zip(rows[0], map(list, zip(*rows[2:], strict=True)), strict=True))
