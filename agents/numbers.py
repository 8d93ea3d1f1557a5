"""Strict numbers in configurations: no truth value counts as one, and 5e6 is one.

YAML 1.1 reads ``5e6`` as text and ``yes`` as true, and pydantic would take true for 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from dqgym.errors import BadInputError

_EXPONENT = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d+)[eE][-+]?\d+")
"""What everyone but YAML 1.1 takes for a number; it asks for a dot and for the exponent's sign."""


class Section(BaseModel):
    """A section of a configuration: strict keys, strict and finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: object, info: ValidationInfo) -> object:
        assert info.field_name is not None
        return strict(cls.model_fields[info.field_name].annotation, value)


def strict(annotation: Any, value: object) -> object:
    """The value as the annotation's numbers need it, elements of lists and mappings included.

    Raises:
        BadInputError: it is true or false where a number is asked for, or something else where a truth value is.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return strict(arguments[0], value)
    if origin in (Union, UnionType):
        (inner, *others) = [argument for argument in arguments if argument is not type(None)]
        return value if others or value is None else strict(inner, value)
    if annotation in (int, float):
        return _number(value)
    if annotation is bool and not isinstance(value, bool):
        raise BadInputError("must be true or false")
    if origin in (tuple, list) and isinstance(value, list | tuple):
        return [strict(arguments[0], element) for element in value]
    if origin is dict and isinstance(value, Mapping):
        return {key: strict(arguments[1], element) for key, element in value.items()}
    return value


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise BadInputError(f"must be a number, not {str(value).lower()}")
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    return value
