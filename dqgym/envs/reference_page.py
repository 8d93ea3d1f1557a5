"""The tables of the reference page of the environments, the docstring of ``MigrationEnv``: made of what they show."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TypeVar

from dqgym.envs.arguments.options import ARGUMENTS
from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES

Class = TypeVar("Class", bound=type)


def with_tables(documented: Class) -> Class:
    """The class, with the tables in the places of its docstring where ``{features}`` and the like stand."""
    text = documented.__doc__ or ""  # python -OO has none
    places = {
        "    {features}": textwrap.indent("\n".join(_feature_rows()), " " * 4),
        "    {arguments}": textwrap.indent("\n".join(_argument_rows()), " " * 4),
        "{G}": str(len(GLOBAL_FEATURES)),
        "{F}": str(len(VCPU_FEATURES)),
    }
    for place, content in places.items():
        text = text.replace(place, content)
    documented.__doc__ = text
    return documented


def _feature_rows() -> Iterator[str]:
    """Number, name, range and origin of each feature."""
    places = [str(place) for place in range(len(GLOBAL_FEATURES))]
    places += [f"{len(GLOBAL_FEATURES)} + {place} V .." for place in range(len(VCPU_FEATURES))]
    for place, feature in zip(places, GLOBAL_FEATURES + VCPU_FEATURES, strict=True):
        yield f"| {place} | {feature.name} | {feature.low:g} | {feature.high:g} | {feature.source} |"


def _argument_rows() -> Iterator[str]:
    """Name, default and meaning of each argument."""
    for name, argument in ARGUMENTS.items():
        yield f"| ``{name}`` | {argument.shown or _shown(argument.default)} | {argument.what} |"


def _shown(default: object) -> str:
    match default:
        case str():
            return f'``"{default}"``'
        case tuple():
            return f"``{default}``"
        case float():
            return f"{default:g}"
    return str(default)
