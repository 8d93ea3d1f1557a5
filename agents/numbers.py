"""Strict numbers in configurations: no truth value counts as one, and 5e6 is one.

YAML 1.1 reads ``5e6`` as text and ``yes`` as true, and pydantic would take true for 1.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from dqgym.errors import BadInputError

_EXPONENT = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d+)[eE][-+]?\d+")
"""A number to everyone but YAML 1.1, which asks for a dot and for the exponent's sign."""


class Section(BaseModel):
    """A section of a configuration: strict keys, finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise BadInputError(f"must be a number, not {str(value).lower()}")
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    return value


def _truth(value: object) -> object:
    if not isinstance(value, bool):
        raise BadInputError("must be true or false")
    return value


Whole = Annotated[int, BeforeValidator(_number)]
"""A whole number; 5e6 is one."""
Number = Annotated[float, BeforeValidator(_number)]
"""Any finite number."""
Truth = Annotated[bool, BeforeValidator(_truth)]
"""true or false, nothing that stands for them."""
