"""Pages of Markdown that are written in part by a command, in part by hand: two marks enclose the smaller part."""

from __future__ import annotations

from collections.abc import Sequence

from dqgym.errors import BadInputError
from experiments.reporting.tables import Table, markdown

Marks = tuple[str, str]
"""Lines of a page between which a command writes."""


def split_at_marks(page: str, begin: str, end: str, source: str) -> tuple[str, str, str]:
    """The texts before, between and after two marks, without the marks.

    Raises:
        BadInputError: the page, from ``source``, does not have each mark once, in their order.
    """
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise BadInputError(f"{source}: must have the lines {begin!r} and {end!r}, each once and in this order")
    before, rest = page.split(begin)
    between, after = rest.split(end)
    return before, between, after


def with_tables(page: str, tables: Sequence[Table], source: str, marks: Marks) -> str:
    """The page with the text between its two marks replaced by the tables.

    Raises:
        BadInputError: ``source`` does not have each mark once, in their order.
    """
    begin, end = marks
    before, _, after = split_at_marks(page, begin, end, source)
    return f"{before}{begin}\n\n{markdown(tables)}\n{end}{after}"
