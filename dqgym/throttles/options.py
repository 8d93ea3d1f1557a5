"""The base of every throttle's options: frozen, validated, no unknown names; each says what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from dqgym.cost import FAST

TunedValue = bool | int | float
"""The value of an option that a search can set."""
OptionValue = TunedValue | str


class ThrottleOptions(BaseModel):
    """Options of one throttle; a wrong name or value is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Described:
    """Of an option, beside its type, default and bounds.

    Attributes:
        meaning: one line, which lists of options show.
        qemu: the name of QEMU's parameter; empty where there is none.
        qemu_scale: the unit of QEMU's parameter, in that of the option.
    """

    meaning: str
    qemu: str = ""
    qemu_scale: float = 1.0


class NoOptions(ThrottleOptions):
    """For a throttle that leaves nothing to choose."""


Preference = Annotated[float, Field(gt=0), Described("what guest runtime is worth against time")]


class PreferenceOptions(ThrottleOptions):
    """For a throttle that is told what guest runtime is worth against time, and nothing else."""

    preference: Preference = FAST
