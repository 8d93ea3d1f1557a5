"""Columns of results: what each means and its unit, said once, where the record has its field."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Says:
    """What a field of a record means, as ``Annotated`` has it.

    Attributes:
        meaning: in a few words.
        unit: empty where it has none: a name, a count, a share.
    """

    meaning: str
    unit: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a frame.

    Attributes:
        name: with the unit at its end, where it has one.
        dtype: pandas' name of its type. Numbers that are absent are NaN in ``float64``, else ``<NA>``.
        meaning: in a few words.
        unit: empty where it has none.
    """

    name: str
    dtype: str
    meaning: str
    unit: str = ""


DTYPES: dict[Any, str] = {
    str: "string", int: "int64", float: "float64", bool: "bool", int | None: "Int64", float | None: "float64",
}  # fmt: skip
"""Of the types that a record's field may have; one of another type is no column."""


def columns_of(record: type) -> tuple[Column, ...]:
    """The columns of a dataclass, from its annotated fields."""
    hints = get_type_hints(record, include_extras=True)
    return tuple(
        Column(field.name, DTYPES[kind], says.meaning, says.unit)
        for field in fields(record)
        for kind, says in [_parts(hints[field.name])]
        if kind in DTYPES
    )


def _parts(hint: Any) -> tuple[Any, Says]:
    assert get_origin(hint) is Annotated, hint
    kind, says = get_args(hint)
    return kind, says
