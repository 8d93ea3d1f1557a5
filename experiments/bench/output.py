"""Where a measurement goes: the terminal, and the tables of a page of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dqgym.files import read_text, write_text
from experiments.reporting.pages import Marks, with_tables
from experiments.reporting.tables import Table, say, show


def marks_of(what: str) -> Marks:
    """The lines of a page between which ``dqgym bench`` writes its tables of ``what``: ``env``, ``env against``, ..."""
    return f"<!-- bench {what}: begin -->", f"<!-- bench {what}: end -->"


def require_marks(page: Path | None, what: str) -> None:
    """Raise a BadInputError for a page without the marks: said first, so that it costs no measurement."""
    if page is not None:
        with_tables(read_text(page, "page"), [], str(page), marks_of(what))


def publish(tables: Sequence[Table], document: dict[str, Any], as_json: bool, page: Path | None, what: str) -> None:
    """Print what was measured, and write its tables into the page."""
    console = show(tables, document, as_json)
    if page is not None:
        write_text(page, with_tables(read_text(page, "page"), tables, str(page), marks_of(what)))
        say(console, f"tables: {page}")
