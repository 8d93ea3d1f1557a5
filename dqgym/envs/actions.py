"""Actions as they come in: checked before a kernel sees them."""

from __future__ import annotations

import math

import numpy as np

from dqgym.arrays import Float32Array
from dqgym.envs.errors import BadActionError


def checked_actions(given: object, shape: tuple[int, ...]) -> Float32Array:
    """float32 [V] or [N, V], contiguous; what lies beyond [-1, 1] counts as the nearer end.

    Raises:
        BadActionError: another shape, or not numbers, or one that is not finite: a policy that puts out NaN is broken,
            and whatever its limits would be taken for, nobody would see it.
    """
    try:
        actions = np.ascontiguousarray(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise BadActionError(f"actions must be numbers, shape {shape}: {error}") from error
    if actions.shape != shape:
        raise BadActionError(f"actions have shape {actions.shape}, must have {shape}")
    # One pass without a temporary; squares that overflow are looked at again, one by one.
    if not math.isfinite(np.vdot(actions, actions)) and not np.isfinite(actions).all():
        *environment, vcpu = map(int, np.argwhere(~np.isfinite(actions))[0])
        place = f"environment {environment[0]}, vCPU {vcpu}" if environment else f"vCPU {vcpu}"
        raise BadActionError(
            f"action of {place}: {actions[(*environment, vcpu)]} must be a finite number from -1 to 1 (1: no limit)"
        )
    return actions
