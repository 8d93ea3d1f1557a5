"""Where a calibration goes: the terminal, a folder of its own, the tables of a page of Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dqgym.files import read_text, write_text
from experiments.folders import FolderKind, filling_folder
from experiments.reporting.pages import Marks, with_tables
from experiments.reporting.tables import Table, say, show

BEGIN, END = MARKS = ("<!-- calibration: begin -->", "<!-- calibration: end -->")
"""Between these lines of a page, ``dqgym calibrate --update`` writes its tables."""
FIELD_MARKS: Marks = ("<!-- field: begin -->", "<!-- field: end -->")
"""The same for ``dqgym calibrate field --update``."""
PARAMETERS_FILE = "parameters.yaml"
RESULTS = FolderKind("folder of `dqgym calibrate`", ("calibration.json",))


class Found(Protocol):
    """What a calibration has found."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        ...

    def tables(self) -> list[Table]:
        """In the order in which they are shown."""
        ...


@dataclass(frozen=True)
class Output:
    """Where it goes.

    Attributes:
        as_json: print one JSON object instead of tables.
        folder: a new one or one to replace; None: none is written.
        page: of Markdown, whose tables are replaced; None: none is.
        marks: between which lines of the page.
    """

    as_json: bool = False
    folder: Path | None = None
    page: Path | None = None
    marks: Marks = MARKS

    def require_marks(self) -> None:
        """Raise a BadInputError for a page without its two marks: said first, so that it costs no measurement."""
        if self.page is not None:
            with_tables(read_text(self.page, "page"), [], str(self.page), self.marks)

    def publish(self, found: Found, fill: Callable[[Path], None]) -> None:
        """Print what was found and write it; ``fill`` puts more files into the folder, beside ``calibration.json``."""
        console = show(found.tables(), found.document(), self.as_json)
        if self.page is not None:
            page = with_tables(read_text(self.page, "page"), found.tables(), str(self.page), self.marks)
            write_text(self.page, page)
            say(console, f"tables: {self.page}")
        if self.folder is not None:
            with filling_folder(self.folder) as draft:
                document = json.dumps(found.document(), indent=1)
                (draft / "calibration.json").write_text(document, encoding="utf-8")
                fill(draft)
            say(console, f"results: {self.folder}")
