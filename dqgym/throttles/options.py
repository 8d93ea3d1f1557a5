"""The base of every throttle's options: frozen, validated, no unknown names."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ThrottleOptions(BaseModel):
    """Options of one throttle; a wrong name or value is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NoOptions(ThrottleOptions):
    """For a throttle that leaves nothing to choose."""
