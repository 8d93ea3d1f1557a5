"""The meaning of a policy's actions: per-vCPU dirty-rate limits, scaled logarithmically."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from dqgym.arrays import Float32Array, FloatArray
from dqgym.errors import BadInputError
from dqgym.jit.compile import exact_part, kernel
from dqgym.jit.fast_math import exp
from dqgym.jit.lane_rows import LANES, load, pack_of, pack_size, spread, store
from dqgym.jit.lanes import larger, where
from dqgym.telemetry.command import Command, free_of_shape
from dqgym.telemetry.telemetry import Facts


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


@exact_part
def limits_of_actions(values, fair_share, log_lowest, log_highest, unlimited):  # type: ignore[no-untyped-def]
    """Dirty-rate limits, bytes/s, of lanes of actions; of an action of 1 ``unlimited``, of NaN NaN."""
    middle, half = 0.5 * (log_lowest + log_highest), 0.5 * (log_highest - log_lowest)
    limits = fair_share * exp(larger(-1.0, values) * half + middle)
    return where(values >= 1.0, unlimited, limits)


@exact_part
def set_limits(actions, numbers, fair_share, members, count, log_limits, unlimited, out, row, slots):  # type: ignore[no-untyped-def]
    """Put the limits that the actions [N, V] of ``members[:count]`` mean into a row of ``out``, or items of it.

    ``fair_share``: the column of the blocks ``numbers`` that holds the unit of each, bytes/s.
    """
    for k in range(0, count, pack_size(slots)):
        pack = pack_of(members, k, count, slots)
        units = spread(numbers, fair_share, pack, slots)
        limits = limits_of_actions(load(actions, pack, 0, slots), units, log_limits[0], log_limits[1], unlimited)
        store(out, pack, row, limits, slots)


@kernel
def _limits_of_batch(actions, fair_share, log_limits, out, slots):  # type: ignore[no-untyped-def]
    numbers = np.empty((actions.shape[0] // LANES + 1, 1, LANES), dtype=np.float32)
    members = np.empty(LANES, dtype=np.int64)
    for first in range(0, actions.shape[0], LANES):
        count = min(LANES, actions.shape[0] - first)
        for k in range(count):
            members[k] = first + k
            numbers[first // LANES, 0, k] = fair_share[first + k]
        set_limits(actions, numbers, 0, members, count, log_limits, np.inf, out, 0, slots)


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
    n, slots = actions.shape
    limits = np.empty((n, slots), dtype=np.float32)
    given = np.ascontiguousarray(actions, dtype=np.float32)
    _limits_of_batch(given, bandwidth_bytes_per_s / writers, action_spec.log_range, limits, (0,) * slots)
    return replace(free_of_shape(n, slots), dirty_limit_bytes_per_s=limits)
