"""The tables of docs/python.md, made from the code: ``python -m tests.docs.python_page`` writes them into the page."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from enum import IntEnum

from dqgym.files import write_text
from dqgym.results.schema import FRAMES, FrameSchema
from dqgym.telemetry.command import Command
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField
from experiments.reporting.pages import split_at_marks
from tests.docs.runner import ROOT

PAGE = ROOT / "docs" / "python.md"
UNITS = {"BYTES_PER_S": "bytes/s", "BYTES": "bytes", "S": "s"}
"""By how a name ends."""


def tables() -> dict[str, str]:
    """By the name in their marks."""
    return {
        "facts": attribute_table(Facts),
        "telemetry": attribute_table(Telemetry),
        "vm": enum_table(VmField),
        "vcpu": enum_table(VcpuField),
        "command": attribute_table(Command),
        "schema": "\n\n".join(
            f"**`{name}`**: {schema.row}\n\n{schema_table(schema)}" for name, schema in FRAMES.items()
        ),
    }


def marks(name: str) -> tuple[str, str]:
    """Before and after a table."""
    return f"<!-- begin: {name} -->", f"<!-- end: {name} -->"


def with_tables(page: str) -> str:
    """The page with its tables as they must be."""
    for name, table in tables().items():
        begin, end = marks(name)
        before, _, after = split_at_marks(page, begin, end, str(PAGE))
        page = f"{before}{begin}\n\n{table}\n\n{end}{after}"
    return page


def attribute_table(record: type) -> str:
    """Of a record's ``Attributes:``; type and shape are how a text begins."""
    lines = [("field", "type and shape", "unit", "meaning")]
    for name, text in attributes(record):
        shaped = re.match(r"((?:float32|float64|bool) \[[^\]]*\])\s*(.*)", text)
        shape, meaning = (f"`{shaped[1]}`", shaped[2]) if shaped else ("", text)
        lines.append((f"`{name}`", shape, unit(name.upper()), meaning))
    return markdown(lines)


def attributes(record: type) -> Iterator[tuple[str, str]]:
    """Names and texts of the attributes in a docstring."""
    section = inspect.getdoc(record).partition("Attributes:\n")[2]  # type: ignore[union-attr]
    for part in re.split(r"\n(?=    \w)", section):
        name, _, text = part.strip().partition(": ")
        yield name, " ".join(text.split())


def enum_table(enum: type[IntEnum]) -> str:
    """Of an enumeration, whose members have a docstring each."""
    (tree,) = ast.parse(inspect.getsource(enum)).body
    assert isinstance(tree, ast.ClassDef)
    lines = [("field", "unit", "meaning")]
    for one, text in zip(tree.body[1::2], tree.body[2::2], strict=True):
        name = one.targets[0].id  # type: ignore[attr-defined]
        lines.append((f"`{name}`", unit(name), " ".join(text.value.value.split())))  # type: ignore[attr-defined]
    return markdown(lines)


def schema_table(schema: FrameSchema) -> str:
    """Of a frame's columns."""
    rows = [(f"`{one.name}`", one.dtype, one.unit, one.meaning) for one in schema.columns]
    return markdown([("column", "dtype", "unit", "meaning"), *rows])


def unit(name: str) -> str:
    return next((unit for end, unit in UNITS.items() if name.endswith(f"_{end}")), "")


def markdown(lines: list[tuple[str, ...]]) -> str:
    texts = ["| " + " | ".join(cell.replace("``", "`") for cell in line) + " |" for line in lines]
    return "\n".join([texts[0], "| " + " | ".join("---" for _ in lines[0]) + " |", *texts[1:]])


if __name__ == "__main__":
    write_text(PAGE, with_tables(PAGE.read_text(encoding="utf-8")))
