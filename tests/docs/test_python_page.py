"""docs/python.md: its tables are what the code says, and every name that the package offers is on it."""

import dqgym
from tests.docs.python_page import PAGE, tables, with_tables


def test_its_tables_are_made_from_the_code():
    text = PAGE.read_text(encoding="utf-8")
    assert with_tables(text) == text, "write them anew: python -m tests.docs.python_page"


def test_every_field_has_a_meaning_and_every_array_a_shape():
    made = tables()
    for name in ("facts", "telemetry", "command"):
        for line in made[name].splitlines()[2:]:
            field, shape, _, meaning = (cell.strip() for cell in line.strip("|").split("|"))
            assert meaning, line
            assert "[N" in shape or field == "`survey`", line


def test_it_names_everything_that_the_package_offers():
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in dqgym.__all__ if f"`{name}`" not in text and f"`dqgym.{name}`" not in text] == []
