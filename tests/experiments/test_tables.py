from io import StringIO

from rich.console import Console

from experiments.tables import Table

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


def test_terminal_shows_brackets_as_they_are():
    console = Console(file=StringIO(), width=80)
    TABLE.print(console)
    text = console.file.getvalue()
    assert all(part in text for part in ("Rates [M/s]", "[b]", "[red]c", "a [note]"))
