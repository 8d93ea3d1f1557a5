"""The base of every throttle's options: frozen, validated, no unknown names."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from dqgym.cost import FAST


class ThrottleOptions(BaseModel):
    """Options of one throttle; a wrong name or value is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NoOptions(ThrottleOptions):
    """For a throttle that leaves nothing to choose."""


class PreferenceOptions(ThrottleOptions):
    """For a throttle that is told what guest runtime is worth against time, and nothing else."""

    preference: Annotated[float, Field(gt=0)] = FAST
