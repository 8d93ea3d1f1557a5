"""The faults that validation found in a scenario, in the words of its YAML file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dqgym.errors import BadInputError
from dqgym.names import did_you_mean
from dqgym.scenario.limits import Growth
from dqgym.scenario.link import Link
from dqgym.scenario.record import yaml_key
from dqgym.scenario.workload import Schedule

MOST_FAULTS = 10
"""Faults that are told; the rest is counted."""
_SHOWN_CHARACTERS = 60
_MOST_CHARACTERS = 600


def _kinds(union: object) -> list[str]:
    """The values of ``kind`` in a discriminated union of records."""
    records = get_args(get_args(union)[0])
    return [record.model_fields["kind"].default for record in records]


_KINDS = {"link": _kinds(Link), "schedule": _kinds(Schedule), "downtime_growth": _kinds(Growth)}
"""The fields that come in several kinds."""


@contextmanager
def telling(what: str, error: type[BadInputError] = BadInputError) -> Iterator[None]:
    """Turn a scenario that the block cannot make into one error, which begins with ``what``."""
    try:
        yield
    except ValidationError as failure:
        raise error(f"{what}: {'; '.join(described(failure))}") from failure


def described(error: ValidationError) -> list[str]:
    """One line for each fault, ``field: value: what is wrong``; ``MOST_FAULTS`` and how many more there are."""
    faults = _causes(error)
    lines = [_shortened(_describe(fault)) for fault in faults[:MOST_FAULTS]]
    more = len(faults) - MOST_FAULTS
    return [*lines, f"and {more:,} more faults"] if more > 0 else lines


def _shortened(line: str) -> str:
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}..."


def _causes(error: ValidationError) -> list[ErrorDetails]:
    """The faults, without the complaint that a list is too short because of a fault in one of its items."""
    faults = error.errors()
    parents = {fault["loc"][:depth] for fault in faults for depth in range(len(fault["loc"]))}
    return [fault for fault in faults if fault["type"] != "too_short" or fault["loc"] not in parents]


def _describe(fault: ErrorDetails) -> str:
    """One fault as ``field: value: what is wrong``, in the words of the YAML file."""
    where = _yaml_location(fault["loc"])
    context = fault.get("ctx", {})
    value = fault["input"]
    match fault["type"]:
        case "missing":
            return f"{where}: missing"
        case "union_tag_not_found":
            return f"{where}: needs a 'kind'; allowed: {', '.join(_KINDS[str(fault['loc'][-1])])}"
        case "union_tag_invalid":
            return f"{where}.kind: {_unknown(context['tag'], context['expected_tags'])}"
        case "literal_error":
            return f"{where}: {_unknown(str(value), context['expected'])}"
        case "value_error":
            message = str(context["error"])
        case _:
            message = fault["msg"][0].lower() + fault["msg"][1:]
    if not isinstance(value, Mapping | list | tuple) and repr(value) not in message:
        message = f"{repr(value)[:_SHOWN_CHARACTERS]}: {message}"
    return f"{where}: {message}" if where else message


def _yaml_location(location: tuple[int | str, ...]) -> str:
    """Such as ``workload[0].schedule.period``: YAML keys, without the kinds that pydantic puts between."""
    text = ""
    previous: int | str = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part not in _KINDS.get(str(previous), ()):
            text += f".{yaml_key(part)}"
        previous = part
    return text.removeprefix(".")


def _unknown(value: str, expected: str) -> str:
    """``expected`` is pydantic's list of allowed names: quoted, separated by commas and an "or"."""
    allowed = [name.strip(" '") for name in expected.replace(" or ", ", ").split(",")]
    return f"{value!r} is unknown{did_you_mean(value, allowed)}; allowed: {', '.join(allowed)}"
