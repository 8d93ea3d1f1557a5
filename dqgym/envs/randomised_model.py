"""The model as the single environment's backend under domain randomisation.

It does to one migration what ``dqgym.envs.kernel`` does to many, with the same random numbers in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import FloatArray
from dqgym.backends.base import Backend
from dqgym.backends.model import ModelBackend
from dqgym.envs.latency import advance_late, run_free
from dqgym.envs.randomisation import Randomisation, draw_latency, is_heeded, misread
from dqgym.errors import BadInputError
from dqgym.jit.array_views import at
from dqgym.jit.compile import kernel
from dqgym.jit.lane_rows import LANES, mark, state_of
from dqgym.model.kernel.intervals import begin_intervals
from dqgym.model.layout import NUMBERS, UNLIMITED_RATE, Number, Vcpu, Vm
from dqgym.model.parameters import DEFAULT_PARAMETERS, ModelParameters
from dqgym.scenario import Scenario
from dqgym.telemetry.command import Command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import Telemetry


class RandomisedModel(ModelBackend):
    """One migration at a time, whose telemetry and commands have the errors that a ``Randomisation`` says.

    Of a command it takes the dirty-rate limits, as an environment has no others.

    Args:
        randomisation: of the steps; the constants are those of ``begin_episode``.
        vcpu_slots: number of vCPU slots V.
    """

    def __init__(self, randomisation: Randomisation, vcpu_slots: int) -> None:
        super().__init__(DEFAULT_PARAMETERS, vcpu_slots)
        self._randomised = randomisation.of_steps
        self._streams: NDArray[np.uint64]

    def begin_episode(self, constants: ModelParameters, streams: NDArray[np.uint64]) -> None:
        """Before ``start``: the model's constants, and the stream uint64 [1] that all that is random comes from."""
        self.parameters = constants
        self._streams = streams

    def start(
        self, scenarios: Sequence[Scenario], seeds: Sequence[int], survey: ControlInterval | None = None
    ) -> Telemetry:
        """As ``ModelBackend.start``, for one scenario."""
        telemetry = super().start(scenarios, seeds, survey)
        _begin(self._vm, self._streams, self._randomised)
        return telemetry

    def step(self, command: Command, interval_s: FloatArray) -> Telemetry:
        """As ``ModelBackend.step``; the telemetry is what can be read."""
        _step(
            self._vcpu, self._vm, self._random_states, self._streams, (0,) * self._pool.slots, interval_s[0],
            self.parameters, self._randomised, command.dirty_limit_bytes_per_s,
            self._pool.table_times, self._pool.table_values,
        )  # fmt: skip
        return self._telemetry()


def require_model(backend: str | Backend) -> None:
    """Raise a ValueError where a backend other than the model shall be randomised."""
    name = backend if isinstance(backend, str) else backend.name
    if backend != ModelBackend.name:
        raise BadInputError(
            f"randomisation: is of the model; backend={name!r} has its own constants, noise and latency"
        )


@kernel
def _begin(vm, streams, randomised):  # type: ignore[no-untyped-def]
    draw_latency(state_of(vm, 0), streams, 0, randomised)


@kernel
def _step(  # type: ignore[no-untyped-def]
    vcpu, vm, random_states, streams, slots, interval_s, parameters, randomised, limits, table_times, table_values
):  # fmt: skip
    """One control interval of migration 0 under ``limits`` [1, V]."""
    numbers = np.empty((1, NUMBERS, LANES), dtype=np.float32)
    members, scratch = np.zeros(LANES, dtype=np.int64), np.zeros(LANES, dtype=np.int64)
    tile, state = at(vcpu, 0), state_of(vm, 0)
    if state[Vm.STEPS] == 0.0:
        run_free(tile, slots)
    heeded = is_heeded(state, streams, 0, randomised)
    for i in range(len(slots)):
        limit = min(limits[0, i], np.float32(UNLIMITED_RATE))
        tile[Vcpu.NEXT_LIMIT, i] = limit if heeded else tile[Vcpu.LIMIT, i]
    state[Vm.LEFT_S] = interval_s
    mark(numbers, Number.ACTS, 0, 1, members, 1)
    begin_intervals(vcpu, vm, numbers, 0, 1, members, 1, slots)
    advance_late(
        vcpu, vm, numbers, 0, 1, members, 1, scratch, random_states, slots, parameters, table_times, table_values
    )  # fmt: skip
    state[Vm.STEPS] += 1.0
    misread(tile, state, streams, 0, slots, randomised)
