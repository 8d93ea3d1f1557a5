"""One step of N environments: action to command, the model, telemetry to observation and reward in one pass.

The parts are those that a backend and a throttle use one after another; here a few blocks of migrations go through all
of them before the next do, so that everything stays in the processor's cache.
"""

from __future__ import annotations

import numpy as np

from dqgym.envs.hidden import write_hidden_state
from dqgym.envs.info import write_final_info
from dqgym.envs.latency import advance_late, run_free
from dqgym.envs.randomisation import draw_latency, is_heeded, misread
from dqgym.jit.array_views import at, row
from dqgym.jit.compile import exact_part, kernel, routine
from dqgym.jit.lane_rows import LANES, column, mark, set_column, state_of
from dqgym.jit.lanes import alike, bits, larger, narrow, split_lowest, where
from dqgym.jit.random import mix, next_seed, uniform
from dqgym.model.kernel.intervals import GROUP, advance, begin_intervals
from dqgym.model.kernel.plan import acting
from dqgym.model.kernel.start import start_migration
from dqgym.model.layout import (
    NUMBERS,
    UNLIMITED_RATE,
    VCPU_SURVEY,
    VCPU_TELEMETRY,
    VM_TELEMETRY,
    Number,
    Vcpu,
    Vm,
)
from dqgym.telemetry.action import set_limits
from dqgym.telemetry.encoding import NUMBERS as ENCODER_NUMBERS
from dqgym.telemetry.encoding import FactColumn, VmState, encode, reset_encoder

_VCPU_TELEMETRY_FIRST = VCPU_TELEMETRY.start
_VM_TELEMETRY_FIRST = VM_TELEMETRY.start
_VCPU_SURVEY_FIRST = VCPU_SURVEY.start


@kernel
def draw_episode(streams, n, pool_size, lowest, highest, survey_chance):  # type: ignore[no-untyped-def]
    """(seed, index into the pool, preference, whether there is a survey) of the next episode of stream ``n``.

    The preference is log-uniform.
    """
    seed = next_seed(streams, n)
    index = min(int(uniform(streams, n) * pool_size), pool_size - 1)
    preference = lowest * (highest / lowest) ** uniform(streams, n)
    surveyed = survey_chance >= 1.0 or (survey_chance > 0.0 and uniform(streams, n) < survey_chance)
    return seed, index, preference, surveyed


@routine
def _observe(vcpu, vm, encoder, first, last, members, count, slots, numbers, observations, hidden):  # type: ignore[no-untyped-def]
    """Encode the telemetry of ``members[:count]``; ``hidden`` [N, P + Q * V] gets their hidden states, unless empty.

    ``encoder``: its facts, tiles and running states, as blocks and tiles.
    """
    facts, tiles, vm_state = encoder
    encode(
        vcpu, _VCPU_TELEMETRY_FIRST, vm, _VM_TELEMETRY_FIRST,
        facts, tiles, vm_state, observations, numbers, first, last, members, count, slots,
    )  # fmt: skip
    if hidden.shape[1] > 0:
        for k in range(count):
            n = members[k]
            write_hidden_state(at(vcpu, n), state_of(vm, n), at(hidden, n), slots)


@routine
def _reset(  # type: ignore[no-untyped-def]
    vcpu, vm, streams, migration_streams, encoder, scratch, n, slots, pool, preferences, survey, randomised,
    observations, hidden,
):  # fmt: skip
    """Begin another migration in place ``n`` and observe it; ``survey``: least_s, pass_times, chance.

    ``randomised``: a ``StepRandomisation``. ``scratch``: the numbers of the model and of the encoder, and members.
    """
    facts, tiles, vm_state = encoder
    numbers, encoder_numbers, members = scratch
    pool_vcpu, pool_vm, table_times, table_values = pool
    seed, m, preference, surveyed = draw_episode(
        streams, n, pool_vm.shape[0], preferences[0], preferences[1], survey[2]
    )
    survey_s = max(survey[0], survey[1] * pool_vm[m, Vm.PASS_TIME_S]) if surveyed else 0.0
    migration_streams[n] = mix(seed)  # as dqgym.jit.random.streams does
    start_migration(
        vcpu, vm, numbers, members, migration_streams, n, slots,
        pool_vcpu, pool_vm, m, table_times, table_values, preference, survey_s,
    )  # fmt: skip
    state, known = state_of(vm, n), state_of(facts, n)
    draw_latency(state, streams, n, randomised)
    known[FactColumn.MEMORY] = state[Vm.MEMORY_BYTES]
    known[FactColumn.BANDWIDTH] = state[Vm.NOMINAL_BANDWIDTH]
    known[FactColumn.DOWNTIME_LIMIT] = state[Vm.DOWNTIME_LIMIT_S]
    known[FactColumn.DEADLINE] = state[Vm.DEADLINE_S]
    known[FactColumn.VCPUS] = state[Vm.VCPUS]
    known[FactColumn.PREFERENCE] = preference
    known[FactColumn.SURVEY_S] = survey_s
    reset_encoder(
        known, row(at(vcpu, n), Vcpu.PRESENT, slots), at(vcpu, n), _VCPU_SURVEY_FIRST,
        at(tiles, n), state_of(vm_state, n), slots,
    )  # fmt: skip
    members[0] = n
    block = n // LANES
    _observe(vcpu, vm, encoder, block, block + 1, members, np.int64(1), slots, encoder_numbers, observations, hidden)


@kernel
def reset_where(  # type: ignore[no-untyped-def]
    mask, vcpu, vm, streams, migration_streams, encoder, slots, pool, preferences, survey, randomised,
    observations, hidden,
):  # fmt: skip
    """Begin another migration wherever ``mask`` [N] says so."""
    scratch = (
        np.empty((vm.shape[0], NUMBERS, LANES), dtype=np.float32),
        np.empty((vm.shape[0], ENCODER_NUMBERS, LANES), dtype=np.float32),
        np.empty(LANES, dtype=np.int64),
    )
    for n in range(vcpu.shape[0]):
        if mask[n]:
            _reset(
                vcpu, vm, streams, migration_streams, encoder, scratch, n, slots, pool, preferences, survey,
                randomised, observations, hidden,
            )  # fmt: skip


@kernel
def final_info_where(mask, vcpu, vm, final_info, slots):  # type: ignore[no-untyped-def]
    """Fill ``final_info`` [N, len(FINAL_INFO)] wherever ``mask`` [N] says so, with how far the migration has come."""
    for n in range(vcpu.shape[0]):
        if mask[n]:
            write_final_info(at(vcpu, n), state_of(vm, n), at(final_info, n), len(slots))


@exact_part
def _set_fair_shares(vm, vm_state, numbers):  # type: ignore[no-untyped-def]
    """The units of the actions of a block."""
    set_column(
        numbers, Number.FAIR_SHARE, narrow(column(vm, Vm.MEASURED_BANDWIDTH) / column(vm_state, VmState.WRITERS))
    )


@exact_part
def _begin_block(state, numbers, least_s, pass_times):  # type: ignore[no-untyped-def]
    """LEFT_S of the migrations of a block that act, their control intervals; what their costs are before it."""
    length_s = larger(column(state, Vm.PASS_TIME_S) * pass_times, least_s)
    set_column(state, Vm.LEFT_S, where(acting(numbers), length_s, 0.0))
    set_column(state, Vm.TIME_TERM_BEFORE, column(state, Vm.TIME_TERM))
    set_column(state, Vm.STALL_TERM_BEFORE, column(state, Vm.STALL_TERM))


@exact_part
def _reward_block(state, numbers, weights):  # type: ignore[no-untyped-def]
    """The rewards of a block, and what the terms grew by; 0 for those that do not act."""
    acts = acting(numbers)
    one = alike(column(state, Vm.STEPS), 1.0)
    time = where(acts, column(state, Vm.TIME_TERM) - column(state, Vm.TIME_TERM_BEFORE), 0.0)
    stall = where(acts, column(state, Vm.STALL_TERM) - column(state, Vm.STALL_TERM_BEFORE), 0.0)
    # The other two are 0 until the end.
    downtime = where(acts, column(state, Vm.DOWNTIME_TERM), 0.0)
    deadline = where(acts, column(state, Vm.DEADLINE_TERM), 0.0)
    reward = -(weights[0] * time + weights[1] * stall + weights[2] * downtime + weights[3] * deadline)
    set_column(state, Vm.REWARD, reward)
    set_column(state, Vm.TIME_GROWN, time)
    set_column(state, Vm.STALL_GROWN, stall)
    set_column(state, Vm.DOWNTIME_GROWN, downtime)
    set_column(state, Vm.DEADLINE_GROWN, deadline)
    set_column(state, Vm.RETURN, column(state, Vm.RETURN) + reward)
    set_column(state, Vm.STEPS, column(state, Vm.STEPS) + where(acts, one, 0.0))


@exact_part
def _that_ended(state, numbers):  # type: ignore[no-untyped-def]
    """Mask of the migrations of a block that ended in this step."""
    return acting(numbers) & (column(state, Vm.DONE) > 0.0)


@exact_part
def _note_ended(vcpu, vm, numbers, first, last, terminated, final_info, slots):  # type: ignore[no-untyped-def]
    ended = 0
    for block in range(first, last):
        rest = bits(_that_ended(at(vm, block), at(numbers, block)))
        while rest != 0:
            lane, rest = split_lowest(rest)
            n = block * LANES + lane
            ended += 1
            terminated[n] = True
            write_final_info(at(vcpu, n), state_of(vm, n), at(final_info, n), len(slots))
    return ended


@kernel
def step_all(  # type: ignore[no-untyped-def]
    vcpu, vm, streams, migration_streams, encoder, slots, tables, parameters, randomised,
    actions, log_limits, least_interval_s, interval_pass_times, weights, waits,
    observations, hidden, terminated, final_info,
):  # fmt: skip
    """One control interval of N environments; returns how many ended. REWARD and the columns after it say the rest.

    ``tables``: the times and values of the pool's tables. ``randomised``: a ``StepRandomisation``.
    ``waits`` [N]: environments that do not act in this step and are not observed: they have just begun another
    migration, or are left out. ``terminated`` [N] is set and ``final_info`` [N, len(FINAL_INFO)] filled for those that
    end. To begin their next migrations is left to ``reset_where``: few need it, and it takes as long to compile.
    """
    _, _, vm_state = encoder
    table_times, table_values = tables
    blocks = vm.shape[0]
    numbers = np.empty((blocks, NUMBERS, LANES), dtype=np.float32)
    encoder_numbers = np.empty((blocks, ENCODER_NUMBERS, LANES), dtype=np.float32)
    members, scratch = np.empty(GROUP * LANES, dtype=np.int64), np.empty(GROUP * LANES, dtype=np.int64)
    comes_late = randomised.most_latency > 0.0
    is_misread = randomised.measurement_noise > 0.0 or randomised.bandwidth_noise > 0.0
    limit_row = Vcpu.NEXT_LIMIT if comes_late else Vcpu.LIMIT
    ended = 0
    for first in range(0, blocks, GROUP):
        last = min(first + GROUP, blocks)
        count, heeded = np.int64(0), np.int64(0)  # a literal 0 is another type, for which numba compiles once more
        for n in range(first * LANES, min(last * LANES, vcpu.shape[0])):
            if waits[n]:
                continue
            tile, state = at(vcpu, n), state_of(vm, n)
            if state[Vm.STEPS] == 0.0:
                run_free(tile, slots)
            if is_heeded(state, streams, n, randomised):
                scratch[heeded] = n
                heeded += 1
            elif comes_late:
                for i in range(len(slots)):
                    tile[Vcpu.NEXT_LIMIT, i] = tile[Vcpu.LIMIT, i]
            members[count] = n
            count += 1
        mark(numbers, Number.ACTS, first, last, members, count)
        if count > 0:
            for block in range(first, last):
                _set_fair_shares(at(vm, block), at(vm_state, block), at(numbers, block))
                _begin_block(at(vm, block), at(numbers, block), least_interval_s, interval_pass_times)
            set_limits(
                actions, numbers, Number.FAIR_SHARE, scratch, heeded, log_limits, UNLIMITED_RATE, vcpu, limit_row, slots
            )  # fmt: skip
            begin_intervals(vcpu, vm, numbers, first, last, members, count, slots)
            if comes_late:
                advance_late(
                    vcpu, vm, numbers, first, last, members, count, scratch, migration_streams, slots, parameters,
                    table_times, table_values,
                )  # fmt: skip
            else:
                advance(
                    vcpu, vm, numbers, first, last, members, count, scratch, migration_streams, slots, parameters,
                    table_times, table_values,
                )  # fmt: skip
        for block in range(first, last):
            _reward_block(at(vm, block), at(numbers, block), weights)
        if is_misread:
            for k in range(count):
                n = members[k]
                misread(at(vcpu, n), state_of(vm, n), streams, n, slots, randomised)
        if count > 0:
            _observe(vcpu, vm, encoder, first, last, members, count, slots, encoder_numbers, observations, hidden)
            ended += _note_ended(vcpu, vm, numbers, first, last, terminated, final_info, slots)
    return ended
