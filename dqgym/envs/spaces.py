"""The observation and action spaces for V vCPU slots."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES


def observation_space(slots: int) -> spaces.Box:
    """float32 [G + F * V]; the bounds are those of the feature tables."""
    features = [*GLOBAL_FEATURES, *(feature for feature in VCPU_FEATURES for _ in range(slots))]
    low = np.array([feature.low for feature in features], dtype=np.float32)
    high = np.array([feature.high for feature in features], dtype=np.float32)
    return spaces.Box(low, high, dtype=np.float32)


def action_space(slots: int) -> spaces.Box:
    """float32 [V] in [-1, 1]."""
    return spaces.Box(-1.0, 1.0, shape=(slots,), dtype=np.float32)
