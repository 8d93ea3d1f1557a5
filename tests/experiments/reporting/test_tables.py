import os
from io import StringIO

import pytest
from rich.console import Console

from experiments.reporting.tables import LEAST_WIDTH, WIDTH_WITHOUT_TERMINAL, Table, terminal

TABLE = Table.of("Rates [M/s]", ("name", "[b]"), [("a|b", "1.5"), ("[red]c", "2")], ["a [note]"])


def test_markdown_escapes_and_aligns():
    assert TABLE.markdown().splitlines() == [
        "| name | [b] |",
        "| --- | ---: |",
        "| a\\|b | 1.5 |",
        "| [red]c | 2 |",
        "",
        "- a [note]",
    ]


def printed(table, width):
    console = Console(file=StringIO(), width=width)
    table.print(console)
    return console.file.getvalue()


def test_terminal_shows_brackets_as_they_are():
    text = printed(TABLE, 80)
    assert all(part in text for part in ("Rates [M/s]", "[b]", "[red]c", "a [note]"))


WIDE = Table.of(
    "Wide",
    ("name", "words", "first\nto go", "second", "kept"),
    [("row-one", "two words", "11111111111111111111", "22222222222222222222", "33333333333333333333")],
    ["A note that is longer than the narrowest of the terminals."],
    text_columns=2,
    expendable=("first\nto go", "second"),
)


def test_a_narrow_terminal_goes_without_expendable_columns_in_their_order_and_is_told():
    whole, narrower, narrow = (printed(WIDE, width) for width in (100, 75, 50))
    assert "111" in whole
    assert "222" in whole
    assert "Left out" not in whole
    assert "111" not in narrower
    assert "222" in narrower
    assert "Left out in 75 columns: first to go." in narrower
    assert "222" not in narrow
    assert "Left out in 50 columns: first to go, second." in narrow


def test_numbers_and_names_stay_in_one_piece_where_words_fold():
    text = printed(WIDE, 40)
    assert "row-one" in text
    assert "33333333333333333333" in text
    assert "two words" not in text
    assert all(len(line) <= 40 for line in text.splitlines())


def test_no_number_is_cut_short_however_narrow_the_terminal_is():
    numbers = [f"{number}.25" for number in range(1000, 1009)]
    table = Table.of("Numbers", ("name", *(f"n{index}" for index in range(9))), [("row", *numbers)])
    assert all(number in printed(table, 40) for number in numbers)


@pytest.mark.parametrize(
    ("columns", "width"),
    [("80", 80), ("100", 100), ("300", 300), ("3", LEAST_WIDTH)]
    + [(nothing, WIDTH_WITHOUT_TERMINAL) for nothing in ("", "0", "-5", "wide")],
)
def test_output_that_nobody_watches_is_as_wide_as_columns_says(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal().width == terminal(stderr=True).width == width


def test_without_columns_nothing_is_folded_in_a_pipe(monkeypatch):
    monkeypatch.delenv("COLUMNS")
    assert terminal().width == WIDTH_WITHOUT_TERMINAL


def test_a_terminal_is_filled(monkeypatch):
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setattr("rich.console.os.get_terminal_size", lambda _: os.terminal_size((93, 20)))
    assert terminal().width == 93
