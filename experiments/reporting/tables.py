"""Tables of text, shown in a terminal or written as Markdown from the same cells."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 180
"""Columns for output that is piped or logged: nothing is folded that a reader could scroll or search for."""
LEAST_WIDTH = 40
"""What COLUMNS may say: with less, no table could be read."""
LONGEST_WORD = 24
"""Columns of text below which a word is broken."""
GAP = 2
"""Columns between two columns."""


@dataclass(frozen=True)
class Table:
    """Cells of text under a header.

    Attributes:
        title: of the table.
        header: names of the columns.
        rows: a cell for each column.
        notes: what to know, below the table.
        text_columns: the first columns are words, the others numbers (aligned right).
        expendable: names of columns that a terminal too narrow for all of them goes without, the first one first.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    text_columns: int = 1
    expendable: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        title: str,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        notes: Iterable[str] = (),
        text_columns: int = 1,
        expendable: Iterable[str] = (),
    ) -> Table:
        """A table of any sequences."""
        body = tuple(tuple(row) for row in rows)
        return cls(title, tuple(header), body, tuple(notes), text_columns, tuple(expendable))

    def markdown(self) -> str:
        """As Markdown: the table, then its notes as a list."""
        rule = ["---" if index < self.text_columns else "---:" for index in range(len(self.header))]
        lines = [_markdown_line(cells) for cells in (self.header, rule, *self.rows)]
        notes = [f"- {note}" for note in self.notes]
        return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"

    def print(self, console: Console) -> None:
        """In a terminal: numbers and names stay in one piece, words fold, expendable columns go where it is narrow."""
        from rich import box
        from rich.padding import Padding
        from rich.table import Table as RichTable
        from rich.text import Text

        left_out = self._left_out(console.width)
        shown = [index for index, name in enumerate(self.header) if name not in left_out]
        least = self._least_width(shown)
        table = RichTable(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, GAP - 1, 0, 0),
            width=least if least > console.width else None,  # a terminal may break lines; a number cut short is wrong
        )
        for index in shown:
            is_text = index < self.text_columns
            table.add_column(
                Text(self.header[index]),
                justify="left" if is_text else "right",
                no_wrap=index == 0 or not is_text,
                overflow="fold",
            )
        for row in self.rows:
            table.add_row(*(Text(row[index]) for index in shown))
        console.print(Text(self.title, "bold"))  # not the table's own title, which folds where the table is narrow
        console.print(table, crop=False)
        notes = list(self.notes)
        if left_out:
            names = ", ".join(" ".join(name.split()) for name in left_out)
            notes.append(f"Left out in {console.width} columns: {names}.")
        for note in notes:
            console.print(Padding(Text(note), (0, 0, 0, 2)))
        if notes:
            console.print()

    def _left_out(self, width: int) -> list[str]:
        """The expendable columns for which a terminal is too narrow, in the order of the header."""
        widths = {name: self._width(index) for index, name in enumerate(self.header)}
        dropped = []
        for name in self.expendable:
            shown = [widths[other] for other in self.header if other not in dropped]
            if sum(shown) + GAP * len(shown) <= width:
                break
            dropped.append(name)
        return [name for name in self.header if name in dropped]

    def _least_width(self, shown: Sequence[int]) -> int:
        """The columns below which names or numbers would be cut."""
        folding = range(1, self.text_columns)
        widths = [
            min(self._width(index, None), LONGEST_WORD) if index in folding else self._width(index) for index in shown
        ]
        return sum(widths) + GAP * len(shown)

    def _width(self, index: int, separator: str | None = "\n") -> int:
        """Of a column whose lines stay whole; with None as the separator, whose words do."""
        cells = (self.header[index], *(row[index] for row in self.rows))
        return max(len(part) for cell in cells for part in cell.split(separator) or [""])


def terminal(stderr: bool = False) -> Console:
    """A console as wide as COLUMNS says, else as the terminal is; as ``WIDTH_WITHOUT_TERMINAL`` when nobody watches."""
    from rich.console import Console

    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said) > 0:
        return Console(stderr=stderr, highlight=False, width=max(int(said), LEAST_WIDTH))
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=WIDTH_WITHOUT_TERMINAL)


def markdown(tables: Iterable[Table]) -> str:
    """The tables under their titles."""
    return "\n".join(f"**{table.title}**\n\n{table.markdown()}" for table in tables)


def show(tables: Iterable[Table], document: Mapping[str, Any] | Sequence[Any], as_json: bool) -> Console:
    """Print what a command found, as tables or as JSON.

    Returns:
        The console for what else there is to say: standard error where standard output holds JSON.
    """
    console = terminal(stderr=as_json)
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        for table in tables:
            table.print(console)
    return console


def say(console: Console, text: str) -> None:
    """One line, whole however narrow the terminal is: somebody may want to copy it."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"
