"""Domain randomisation: what a training environment varies beyond its scenarios, so that no policy relies on it.

The model's constants come from one table of measurements, a host's telemetry is never exact, and a command may come
late. A policy that was trained with all of these varied expects none of them to be right (Tobin et al., 2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dqgym.compile import part
from dqgym.model.layout import Vcpu
from dqgym.model.parameters import ModelParameters
from dqgym.random import normal

CALIBRATED = ("write_bytes_per_s", "fault_s", "exit_bytes_per_s", "contention", "overshoot_bytes")
"""The constants of the model that were fitted, or depend on the host."""
_f = np.float32


@dataclass(frozen=True)
class Randomisation:
    """What is varied, and how much; by default nothing is.

    Attributes:
        calibration: each constant of ``CALIBRATED`` is off by a factor between 1 / (1 + this) and 1 + this, drawn for
            each scenario of the pool.
        measurement_noise: relative standard deviation of the dirtied bytes of each vCPU and interval that the policy
            is told; the migration goes by the true ones.
        late_commands: share of the control intervals in which the limits of the interval before still hold.
    """

    calibration: float = 0.0
    measurement_noise: float = 0.0
    late_commands: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (("calibration", 1.0), ("measurement_noise", 1.0), ("late_commands", 0.9)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise ValueError(f"randomisation: {name}={value!r} must be from 0 to {most:g}")

    def parameters(self, nominal: ModelParameters, count: int, seed: int) -> list[ModelParameters]:
        """The constants of each of ``count`` scenarios; the same ones for the same seed."""
        if self.calibration == 0.0:
            return [nominal] * count
        reach = math.log1p(self.calibration)
        factors = np.exp(np.random.default_rng(seed).uniform(-reach, reach, size=(count, len(CALIBRATED))))
        return [
            nominal._replace(
                **{name: getattr(nominal, name) * float(factor) for name, factor in zip(CALIBRATED, row, strict=True)}
            )
            for row in factors
        ]


@part
def misread_dirtied_bytes(tile, random_states, n, slots, sd):  # type: ignore[no-untyped-def]
    """Put an error on what telemetry says of one migration's last interval."""
    for i in range(len(slots)):
        if tile[Vcpu.DIRTIED_BYTES, i] > 0.0:
            tile[Vcpu.DIRTIED_BYTES, i] *= _f(max(1.0 + sd * normal(random_states, n), 0.0))
