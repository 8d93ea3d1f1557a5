"""The meaning of a policy's actions: per-vCPU dirty-rate limits, scaled logarithmically."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from dqgym.arrays import Float32Array, FloatArray
from dqgym.errors import BadInputError
from dqgym.jit.compile import kernel, part
from dqgym.jit.fast_math import exp
from dqgym.telemetry.command import Command, free_of_shape
from dqgym.telemetry.telemetry import Facts

_f = np.float32


@dataclass(frozen=True)
class ActionSpec:
    """One number in [-1, 1] for each vCPU: its dirty-rate limit in units of a fair share, on a logarithmic scale.

    A fair share is the measured bandwidth over the number of vCPUs that write (``Encoder.writers``). With the default
    range, 0 everywhere lets a VM dirty about a third of what the link carries, whatever its size and however many of
    its vCPUs write: a good rule, so that a policy has but to learn when to deviate from it.

    Attributes:
        lowest: limit at -1, in fair shares.
        highest: limit just below +1; at +1 there is none.
    """

    lowest: float = 0.005
    highest: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.lowest < self.highest < math.inf:
            raise BadInputError(f"action: lowest={self.lowest!r} must be positive and below highest={self.highest!r}")

    def spec(self) -> dict[str, Any]:
        """JSON-able description for a policy's manifest."""
        return {
            "name": "dirty_limit",
            "per": "vcpu",
            "low": -1.0,
            "high": 1.0,
            "meaning": "limit = bandwidth / writers * lowest * (highest / lowest) ** ((action + 1) / 2); none at 1",
            "unit": "measured bandwidth / number of vCPUs that write",
            **asdict(self),
        }

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> ActionSpec:
        """The specification that ``spec`` describes. KeyError where a number is missing."""
        return cls(lowest=float(spec["lowest"]), highest=float(spec["highest"]))

    @property
    def log_range(self) -> tuple[float, float]:
        """Natural logarithms of ``lowest`` and ``highest``."""
        return math.log(self.lowest), math.log(self.highest)


@part
def limits_of_actions(values, fair_share, log_lowest, log_highest, unlimited):  # type: ignore[no-untyped-def]
    """Replace the actions in ``values`` [V] by their dirty-rate limits, bytes/s; an action of 1 by ``unlimited``."""
    middle, half = _f(0.5 * (log_lowest + log_highest)), _f(0.5 * (log_highest - log_lowest))
    for i in range(values.shape[0]):
        limit = _f(fair_share) * exp(middle + half * max(values[i], _f(-1.0)))
        values[i] = _f(unlimited) if values[i] >= _f(1.0) else limit


@kernel
def _limits_of_batch(values, fair_share, log_lowest, log_highest):  # type: ignore[no-untyped-def]
    for n in range(values.shape[0]):
        limits_of_actions(values[n], fair_share[n], log_lowest, log_highest, np.inf)


def action_to_command(
    actions: Float32Array,
    bandwidth_bytes_per_s: FloatArray,
    writers: FloatArray,
    facts: Facts,
    action_spec: ActionSpec,
) -> Command:
    """The command for actions float32 [N, V]: a limit for each vCPU, no run-share cap.

    It is in units of the measured bandwidth [N] over the number of vCPUs that write [N] (``Encoder.writers``).
    """
    if actions.shape != facts.present.shape:
        raise BadInputError(f"actions have shape {actions.shape}, must have {facts.present.shape}")
    limits = np.array(actions, dtype=np.float32, order="C")
    _limits_of_batch(limits, bandwidth_bytes_per_s / writers, *action_spec.log_range)
    return replace(free_of_shape(*limits.shape), dirty_limit_bytes_per_s=limits)
