"""The vectorised model as a backend: any number of migrations side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import BoolArray, Float32Array, FloatArray
from dqgym.backends.base import Capabilities, Outcomes
from dqgym.cost.definition import downtime
from dqgym.errors import BadInputError
from dqgym.jit.array_views import at
from dqgym.jit.compile import kernel
from dqgym.jit.lane_rows import LANES, blocks_for, in_columns, mark, state_of
from dqgym.jit.random import streams
from dqgym.model.kernel.ends import stop_vcpus
from dqgym.model.kernel.intervals import GROUP, advance, begin_intervals
from dqgym.model.kernel.rounds import sync_dirty_log
from dqgym.model.kernel.sleeping import command_sleeps, empty_rings, kick, lose_quota_asleep
from dqgym.model.kernel.start import start_migration
from dqgym.model.layout import NUMBERS, UNLIMITED_RATE, VCPU_SURVEY, VCPU_TELEMETRY, VM_TELEMETRY, Number, Vcpu, Vm
from dqgym.model.parameters import DEFAULT_PARAMETERS, ModelParameters
from dqgym.model.pool import ScenarioPool, pack_scenarios
from dqgym.scenario import Scenario
from dqgym.telemetry.command import Command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.survey import Survey
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField

_FIRST_ROW, _END_ROW = VCPU_TELEMETRY.start, VCPU_TELEMETRY.stop
_FIRST_COLUMN, _END_COLUMN = VM_TELEMETRY.start, VM_TELEMETRY.stop


class ModelBackend:
    """Migrations in the model of ``dqgym.model``, batched.

    Args:
        parameters: the model's global parameters.
        vcpu_slots: number of vCPU slots V; None: as many as the widest scenario needs.

    The tuple of scenarios that it started last is not packed again, unless ``parameters`` or ``vcpu_slots`` have been
    set anew: whoever plays it often keeps the backend.
    """

    name = "model"
    capabilities = Capabilities(
        dirty_limit=True, run_share_cap=True, ring_sleep=True, max_migrations=None, survey=True, sync=True
    )

    def __init__(self, parameters: ModelParameters = DEFAULT_PARAMETERS, vcpu_slots: int | None = None) -> None:
        self.parameters = parameters
        self.vcpu_slots = vcpu_slots
        self.facts: Facts
        self._packed: tuple[Sequence[Scenario], ModelParameters, int | None] = ((), parameters, vcpu_slots)
        self._pool: ScenarioPool
        self._vcpu: Float32Array
        self._vm: FloatArray
        self._random_states: NDArray[np.uint64]

    def start(
        self, scenarios: Sequence[Scenario], seeds: Sequence[int], survey: ControlInterval | None = None
    ) -> Telemetry:
        """Start one migration for each scenario. BadInputError where the seeds are not as many."""
        if len(seeds) != len(scenarios):
            raise BadInputError(f"{len(scenarios)} scenarios need as many seeds, not {len(seeds)}")
        self._pack(scenarios)
        self.facts = self._pool.facts()
        n = len(self._pool)
        self._vcpu = np.zeros((n, len(Vcpu), self._pool.slots), dtype=np.float32)
        self._vm = np.zeros((blocks_for(n), len(Vm), LANES))
        self._random_states = streams(seeds)
        pool = self._pool
        survey_s = np.zeros(n) if survey is None else survey.seconds(self.facts)
        start_all(
            self._vcpu, self._vm, self._random_states, (0,) * pool.slots,
            pool.vcpu, pool.vm, pool.table_times, pool.table_values, survey_s,
        )  # fmt: skip
        if survey is not None:
            self.facts = replace(self.facts, survey=Survey(survey_s, self._vcpu[:, VCPU_SURVEY].copy()))
        return self._telemetry()

    def _pack(self, scenarios: Sequence[Scenario]) -> None:
        """Fill the pool; it stays for the next run where that is of the same tuple, which cannot have changed."""
        before, *how_before = self._packed
        is_same = isinstance(scenarios, tuple) and scenarios is before
        if not is_same or how_before != [self.parameters, self.vcpu_slots]:
            self._pool = pack_scenarios(scenarios, self.parameters, self.vcpu_slots)
            self._packed = scenarios, self.parameters, self.vcpu_slots

    def step(self, command: Command, interval_s: FloatArray) -> Telemetry:
        """Carry out a command for ``interval_s`` [N] seconds, or until the migration ends."""
        pool = self._pool
        advance_all(
            self._vcpu, self._vm, self._random_states, (0,) * pool.slots, interval_s, self.parameters,
            command.dirty_limit_bytes_per_s, command.run_share_cap, command.ring_sleep_s, command.share_unclaimed,
            command.sync, command.kicks_wake, command.read_rings,
            pool.table_times, pool.table_values,
        )  # fmt: skip
        return self._telemetry()

    def outcomes(self) -> Outcomes:
        """The outcomes of the migrations."""
        return outcomes_of(self._vcpu, self._vm)

    def close(self) -> None:
        """Nothing to release."""

    def _telemetry(self) -> Telemetry:
        n, _, slots = self._vcpu.shape
        vcpu, vm = np.empty((n, len(VcpuField), slots), dtype=np.float32), np.empty((n, len(VmField)))
        done = np.empty(n, dtype=np.bool_)
        read_all(self._vcpu, self._vm, vcpu, vm, done)
        return Telemetry(vcpu, vm, done)


@kernel
def read_all(vcpu, vm, telemetry_vcpu, telemetry_vm, done):  # type: ignore[no-untyped-def]
    """Copy what telemetry shows of every migration; NumPy takes several times as long to do it field by field."""
    for n in range(vcpu.shape[0]):
        tile, state = at(vcpu, n), state_of(vm, n)
        telemetry_vcpu[n] = tile[_FIRST_ROW:_END_ROW]
        telemetry_vm[n] = state[_FIRST_COLUMN:_END_COLUMN]
        done[n] = state[Vm.DONE] > 0.0


@kernel
def start_all(  # type: ignore[no-untyped-def]
    vcpu, vm, random_states, slots, pool_vcpu, pool_vm, table_times, table_values, survey_s
):  # fmt: skip
    """Begin a migration of each scenario of the pool. Backends need no preference: what it weighs is computed later."""
    numbers = np.empty((vm.shape[0], NUMBERS, LANES), dtype=np.float32)
    members = np.empty(LANES, dtype=np.int64)
    for n in range(vcpu.shape[0]):
        start_migration(
            vcpu, vm, numbers, members, random_states, n, slots,
            pool_vcpu, pool_vm, n, table_times, table_values, 0.0, survey_s[n],
        )  # fmt: skip


@kernel
def advance_all(  # type: ignore[no-untyped-def]
    vcpu, vm, random_states, slots, interval_s, parameters, limit, cap, ring_sleep_s, share_unclaimed, sync,
    kicks_wake, read_rings, table_times, table_values,
):  # fmt: skip
    """One control interval of every migration that has not ended, under explicit commands [N, V]."""
    numbers = np.empty((vm.shape[0], NUMBERS, LANES), dtype=np.float32)
    members, scratch = np.empty(GROUP * LANES, dtype=np.int64), np.empty(GROUP * LANES, dtype=np.int64)
    for first in range(0, vm.shape[0], GROUP):
        last = min(first + GROUP, vm.shape[0])
        count = np.int64(0)
        for n in range(first * LANES, min(last * LANES, vcpu.shape[0])):
            tile, state = at(vcpu, n), state_of(vm, n)
            if state[Vm.DONE] > 0.0:
                continue
            least_cap = 1.0
            for i in range(len(slots)):
                tile[Vcpu.LIMIT, i] = min(max(limit[n, i], np.float32(0.0)), np.float32(UNLIMITED_RATE))
                tile[Vcpu.CAP, i] = min(max(cap[n, i], np.float32(0.0)), np.float32(1.0))
                tile[Vcpu.RING_SLEEP_S, i] = ring_sleep_s[n, i] * tile[Vcpu.PRESENT, i]
                if tile[Vcpu.PRESENT, i] > 0.0:
                    least_cap = min(least_cap, tile[Vcpu.CAP, i])
            state[Vm.LEAST_CAP] = min(state[Vm.LEAST_CAP], least_cap)
            state[Vm.KICKS_WAKE] = 1.0 if kicks_wake[n] else 0.0
            if kicks_wake[n] and (sync[n] or read_rings[n]):
                kick(tile, slots)
            if read_rings[n]:
                empty_rings(tile, slots)
            if state[Vm.PAUSED] > 0.0:
                stop_vcpus(tile, slots)
            command_sleeps(tile, state, slots)
            if not share_unclaimed[n] and state[Vm.SYNC_WAITS] == 0.0:
                lose_quota_asleep(tile, slots, parameters)
            state[Vm.SHARE_UNCLAIMED] = 1.0 if share_unclaimed[n] else 0.0
            state[Vm.LEFT_S] = interval_s[n]
            members[count] = n
            count += 1
        if count > 0:
            mark(numbers, Number.ACTS, first, last, members, count)
            begin_intervals(vcpu, vm, numbers, first, last, members, count, slots)
            for k in range(count):
                if sync[members[k]]:
                    sync_dirty_log(at(vcpu, members[k]), state_of(vm, members[k]), slots)
            advance(
                vcpu, vm, numbers, first, last, members, count, scratch, random_states, slots, parameters,
                table_times, table_values,
            )  # fmt: skip


def outcomes_of(vcpu: Float32Array, vm: FloatArray) -> Outcomes:
    """The outcomes of migrations that have ended, from the arrays of ``dqgym.model.layout``."""
    state: FloatArray = in_columns(vm, len(vcpu))
    present: BoolArray = vcpu[:, Vcpu.PRESENT] > 0
    total_time_s = state[Vm.TIME_S]
    converged: BoolArray = state[Vm.CONVERGED] > 0
    per_vcpu = np.where(present, vcpu[:, Vcpu.RUN_TOTAL_S] / np.maximum(total_time_s, 1e-12)[:, None], np.nan)
    return Outcomes(
        converged=converged,
        total_time_s=total_time_s,
        downtime_s=np.where(converged, downtime(state[Vm.DOWNTIME_S], state[Vm.PAUSED_S]), np.nan),
        guest_runtime_per_vcpu=np.minimum(per_vcpu, 1.0),
        guest_runtime=np.nanmean(np.minimum(per_vcpu, 1.0), axis=1),
        bytes_sent=state[Vm.SENT_BYTES],
        rounds=state[Vm.ROUND].astype(np.int64),
        max_throttle_percent=100.0 * (1.0 - state[Vm.LEAST_CAP]),
        stall_s=state[Vm.STALL_S],
        pass_time_s=state[Vm.PASS_TIME_S],
        deadline_s=state[Vm.DEADLINE_S],
        forced=converged & (state[Vm.PAUSED] > 0),
    )
