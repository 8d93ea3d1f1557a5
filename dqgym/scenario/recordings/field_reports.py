"""Migrations that other people reported: a folder of scenario files with an ``index.csv`` of what was reported.

The columns of the index:

* ``file``: the scenario; several rows may have the same.
* ``throttle`` and ``options``: what throttled it. Options are those of dqgym (``qemu=9.1,max=92 %``); a space may stand
  for the ``=``, and what is no option is a remark.
* ``reported_total_time_s``, ``reported_downtime_ms``: empty where the report does not say.
* ``converged``: 1 or 0.
* ``source``: where the report is.
* ``note``: what else it says, and what is assumed in the scenario.

A row whose options or note say *assumed* or *not stated* lacks something that decides a migration.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from dqgym.errors import BadInputError
from dqgym.files import read_text
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.yaml_files import load_scenario

INDEX_FILE = "index.csv"
COLUMNS = (
    "file", "throttle", "options", "reported_total_time_s", "reported_downtime_ms", "converged", "source", "note",
)  # fmt: skip
_LACKS = re.compile(r"\bassumed\b|\bnot stated\b", re.IGNORECASE)


@dataclass(frozen=True)
class FieldReport:
    """One reported migration.

    Attributes:
        file: of its scenario, relative to the folder.
        throttle: its name.
        options: as the index has them.
        total_time_s: NaN where the report does not say.
        downtime_s: NaN where the report does not say.
        converged: whether it did.
        source: where the report is.
        note: what else is known.
        scenario: the migration.
    """

    file: str
    throttle: str
    options: str
    total_time_s: float
    downtime_s: float
    converged: bool
    source: str
    note: str
    scenario: Scenario

    @property
    def lacks_something(self) -> bool:
        """The report does not state all that the model needs."""
        return bool(_LACKS.search(f"{self.options} {self.note}"))


def read_field_reports(folder: Path | None = None) -> list[FieldReport]:
    """The reports of a folder, in the order of its index; those of the package where None.

    Raises:
        BadInputError: the index or a scenario cannot be read; the message names file, line, column and value.
    """
    if folder is None:
        with as_file(files("dqgym.scenario").joinpath("data/field")) as shipped:
            return read_field_reports(shipped)
    index = folder / INDEX_FILE
    reader = csv.DictReader(read_text(index, "index").splitlines(), strict=True)
    try:
        lines = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise BadInputError(f"{index}: not valid CSV: {error}") from error
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise BadInputError(f"{index}: without the columns {', '.join(missing)}; needed: {', '.join(COLUMNS)}")
    if not lines:
        raise BadInputError(f"{index}: no rows")
    return [_report(folder, cells, f"{index}, line {line}") for line, cells in lines]


def _report(folder: Path, cells: Mapping[str, str | None], place: str) -> FieldReport:
    texts = {name: (cells[name] or "").strip() for name in COLUMNS}
    if texts["converged"] not in ("0", "1"):
        raise BadInputError(f"{place}: converged: {texts['converged']!r} must be 0 or 1")
    return FieldReport(
        file=texts["file"],
        throttle=texts["throttle"],
        options=texts["options"],
        total_time_s=_number(texts, "reported_total_time_s", place),
        downtime_s=_number(texts, "reported_downtime_ms", place) / 1000,
        converged=texts["converged"] == "1",
        source=texts["source"],
        note=texts["note"],
        scenario=load_scenario(folder / texts["file"]),
    )


def _number(texts: Mapping[str, str], column: str, place: str) -> float:
    """A number that is not negative; NaN where the cell is empty."""
    if not texts[column]:
        return math.nan
    try:
        number = float(texts[column])
    except ValueError:
        number = -1.0
    if not (math.isfinite(number) and number >= 0):
        raise BadInputError(f"{place}: {column}: {texts[column]!r} must be a number, not negative, or empty")
    return number
