"""The frames of a vector environment: the timeline of each of its migrations, noted step by step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import BoolArray, Float32Array, FloatArray
from dqgym.controller.timeline import TimelineRecorder
from dqgym.jit.lane_rows import column_of, in_columns, in_rows
from dqgym.model.layout import UNLIMITED_RATE, VCPU_TELEMETRY, VM_TELEMETRY, Vcpu, Vm
from dqgym.telemetry.command import free_command
from dqgym.telemetry.telemetry import Facts, Telemetry


class VectorRecorder:
    """Keeps the time lines of N migrations in the arrays of ``dqgym.model.layout``."""

    def __init__(self, num_envs: int) -> None:
        self._recorders: list[TimelineRecorder | None] = [None] * num_envs
        self._facts: Facts

    def begin(self, mask: BoolArray, vcpu: Float32Array, vm: FloatArray) -> None:
        """Forget the migrations of ``mask`` [N]: others have begun in their places."""
        state = in_columns(vm, len(vcpu))
        self._facts = Facts(
            present=vcpu[:, Vcpu.PRESENT] > 0,
            memory_bytes=state[Vm.MEMORY_BYTES],
            bandwidth_bytes_per_s=state[Vm.NOMINAL_BANDWIDTH],
            downtime_limit_s=state[Vm.DOWNTIME_LIMIT_S],
            deadline_s=state[Vm.DEADLINE_S],
            ring_bytes=state[Vm.RING_BYTES],
        )
        for index in np.flatnonzero(mask).tolist():
            self._recorders[index] = TimelineRecorder(self._facts, index)

    def note(self, mask: BoolArray, vcpu: Float32Array, vm: FloatArray) -> None:
        """Note a step of the migrations of ``mask`` [N]."""
        telemetry = Telemetry(
            vcpu=vcpu[:, VCPU_TELEMETRY],
            vm=in_rows(vm, len(vcpu), VM_TELEMETRY),
            done=column_of(vm, Vm.DONE, len(vcpu)) > 0,
        )
        limits = vcpu[:, Vcpu.LIMIT]
        command = replace(
            free_command(self._facts),
            dirty_limit_bytes_per_s=np.where(limits < UNLIMITED_RATE, limits, np.float32(np.inf)),
        )
        for index in np.flatnonzero(mask).tolist():
            recorder = self._recorders[index]
            assert recorder is not None
            recorder(column_of(vm, Vm.INTERVAL_S, len(vcpu)), command, telemetry)

    def frames(self) -> tuple[NDArray[np.uint8], ...]:
        """One of each migration, uint8 [600, 800, 3]."""
        from dqgym.envs.rendering.frames import draw_migration

        return tuple(draw_migration(recorder.timeline()) for recorder in self._recorders if recorder is not None)
