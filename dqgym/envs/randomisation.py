"""Domain randomisation: what a training environment varies beyond its scenarios, so that no policy relies on it.

The model's constants come from one table of measurements, a host's telemetry is never exact, and a command may come
late. A policy that was trained with all of these varied expects none of them to be right (Tobin et al., 2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from dqgym.envs.errors import refuse_unknown
from dqgym.errors import BadInputError
from dqgym.jit.compile import part
from dqgym.jit.random import normal, uniform
from dqgym.model.layout import Vcpu, Vm
from dqgym.model.parameters import ModelParameters
from dqgym.scenario import Phased, Scenario, VcpuGroup

CALIBRATED = ("write_bytes_per_s", "fault_s", "exit_bytes_per_s", "contention", "overshoot_bytes")
"""The constants of the model that were fitted, or depend on the host."""
_MOST = {
    "calibration": 1.0,
    "measurement_noise": 1.0,
    "late_commands": 0.9,
    "bandwidth_noise": 1.0,
    "period_jitter": 0.9,
}
_LEAST_FACTOR = 0.1
"""A bandwidth is read as this share of what it is at least: it is divided by."""
_f = np.float32


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


class StepRandomisation(NamedTuple):
    """The randomness in the steps of an environment; a named tuple so that kernels take it as it is."""

    measurement_noise: float
    late_commands: float
    bandwidth_noise: float
    least_latency: float
    most_latency: float


@dataclass(frozen=True)
class Randomisation:
    """The quantities that are varied, and how much; by default none is.

    Attributes:
        calibration: each constant of ``CALIBRATED`` is off by a factor between 1 / (1 + this) and 1 + this, drawn for
            each scenario of the pool.
        measurement_noise: relative standard deviation of the dirtied bytes of each vCPU and interval that the policy
            is told; the migration goes by the true ones.
        late_commands: share of the control intervals in which the limits of the interval before still hold.
        bandwidth_noise: relative standard deviation of the measured bandwidth, which limits are in units of.
        latency: (least, most) share of a control interval that is over before its limits take effect; each migration
            draws one, evenly. Until then the limits before hold; before the first ones the guest runs free.
        period_jitter: phases are not exactly periodic: each group of vCPUs that has phases draws, evenly, how much of
            its period they may be longer or shorter, up to this.

    Raises:
        BadInputError: a number is out of range; the message names it, its value and what is allowed.
    """

    calibration: float = 0.0
    measurement_noise: float = 0.0
    late_commands: float = 0.0
    bandwidth_noise: float = 0.0
    latency: tuple[float, float] = (0.0, 0.0)
    period_jitter: float = 0.0

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value <= most:
                raise BadInputError(f"randomisation: {name}={value!r} must be from 0 to {most:g}")
        latency = tuple(self.latency) if isinstance(self.latency, tuple | list) else ()
        if len(latency) != 2 or not all(map(_is_number, latency)) or not 0 <= latency[0] <= latency[1] <= 1:
            raise BadInputError(
                f"randomisation: latency={self.latency!r} must be (least, most), 0 <= least <= most <= 1"
            )
        object.__setattr__(self, "latency", tuple(map(float, latency)))

    @classmethod
    def of(cls, given: Randomisation | Mapping[str, Any] | None) -> Randomisation:
        """The one given, or that which a mapping of its attributes describes. BadInputError for an unknown one."""
        if isinstance(given, Randomisation):
            return given
        if given is not None and not isinstance(given, Mapping):
            raise BadInputError(f"randomisation={given!r} must be a mapping from names")
        refuse_unknown("part of randomisation", given or {}, [field.name for field in fields(cls)])
        return cls(**given or {})

    @property
    def of_steps(self) -> StepRandomisation:
        """The part of it that kernels need in every step."""
        return StepRandomisation(
            *map(float, (self.measurement_noise, self.late_commands, self.bandwidth_noise, *self.latency))
        )

    def scenarios(self, given: Sequence[Scenario], seed: int) -> tuple[Scenario, ...]:
        """The scenarios with jitter in their phases; the same one for the same seed."""
        if self.period_jitter == 0.0:
            return tuple(given)
        rng = np.random.default_rng(seed)
        return tuple(
            scenario.model_copy(update={"workload": tuple(self._jittered(group, rng) for group in scenario.workload)})
            for scenario in given
        )

    def _jittered(self, group: VcpuGroup, rng: np.random.Generator) -> VcpuGroup:
        if not isinstance(group.schedule, Phased):
            return group
        jitter = max(group.schedule.jitter, self.period_jitter * rng.random())
        return group.model_copy(update={"schedule": group.schedule.model_copy(update={"jitter": jitter})})

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
def misread(tile, state, random_states, n, slots, randomised):  # type: ignore[no-untyped-def]
    """Put errors on what telemetry says of one migration's last interval."""
    if randomised.measurement_noise > 0.0:
        for i in range(len(slots)):
            if tile[Vcpu.DIRTIED_BYTES, i] > 0.0:
                factor = 1.0 + randomised.measurement_noise * normal(random_states, n)
                tile[Vcpu.DIRTIED_BYTES, i] *= _f(max(factor, 0.0))
    # Where nothing was sent, the last reading stands, with its error.
    if randomised.bandwidth_noise > 0.0 and state[Vm.SENDING_S] > 0.0:
        factor = 1.0 + randomised.bandwidth_noise * normal(random_states, n)
        state[Vm.MEASURED_BANDWIDTH] *= max(factor, _LEAST_FACTOR)


@part
def draw_latency(state, random_states, n, randomised):  # type: ignore[no-untyped-def]
    """Decide how late the commands of a migration that begins will be."""
    least, most = randomised.least_latency, randomised.most_latency
    if most > 0.0:
        state[Vm.LATENCY] = least + (most - least) * uniform(random_states, n)


@part
def is_heeded(state, random_states, n, randomised):  # type: ignore[no-untyped-def]
    """True where the command for the interval that begins comes in it at all. The first one always does."""
    late = randomised.late_commands
    return late == 0.0 or state[Vm.STEPS] == 0.0 or uniform(random_states, n) >= late
