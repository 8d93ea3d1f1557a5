"""Tables of text, shown in a terminal or written as Markdown from the same cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 180
"""Columns for output that is piped or logged: nothing is folded that a reader could scroll to."""


@dataclass(frozen=True)
class Table:
    """Cells of text under a header; the first ``text_columns`` are words, the others numbers (aligned right)."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    text_columns: int = 1

    @classmethod
    def of(
        cls,
        title: str,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        notes: Iterable[str] = (),
        text_columns: int = 1,
    ) -> Table:
        """A table of any sequences."""
        return cls(title, tuple(header), tuple(tuple(row) for row in rows), tuple(notes), text_columns)

    def markdown(self) -> str:
        """As Markdown: the table, then its notes as a list."""
        rule = ["---" if index < self.text_columns else "---:" for index in range(len(self.header))]
        lines = [_markdown_line(cells) for cells in (self.header, rule, *self.rows)]
        notes = [f"- {note}" for note in self.notes]
        return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"

    def print(self, console: Console) -> None:
        """In a terminal."""
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(title=Text(self.title, "bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for index, name in enumerate(self.header):
            table.add_column(Text(name), justify="left" if index < self.text_columns else "right")
        for row in self.rows:
            table.add_row(*map(Text, row))
        console.print(table)
        for note in self.notes:
            console.print(Text(f"  {note}"))
        if self.notes:
            console.print()


def terminal(stderr: bool = False) -> Console:
    """A console that does not squeeze its output into 80 columns when nobody watches."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=WIDTH_WITHOUT_TERMINAL)


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"
