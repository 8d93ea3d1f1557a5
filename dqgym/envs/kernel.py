"""One step of N environments: action to command, the model, telemetry to observation, reward and reset in one pass.

The pieces are those that a backend and a throttle use one after another; here they run migration by migration, so that
everything stays in the processor's cache.
"""

from __future__ import annotations

import numpy as np

from dqgym.cost import TERMS
from dqgym.envs.hidden import write_hidden_state
from dqgym.envs.info import write_final_info
from dqgym.envs.latency import advance_late, run_free
from dqgym.envs.randomisation import draw_latency, is_heeded, misread
from dqgym.jit.array_views import at, row
from dqgym.jit.compile import kernel, part, routine
from dqgym.jit.random import mix, next_seed, uniform
from dqgym.model.kernel import BLOCK, advance, begin_interval, start_migration
from dqgym.model.layout import UNLIMITED_RATE, VCPU_SURVEY, VCPU_TELEMETRY, VM_TELEMETRY, Vcpu, Vm
from dqgym.telemetry.action import limits_of_actions
from dqgym.telemetry.encoder import FactColumn, VmState, encode_vm, reset_encoder

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
def _observe(vcpu, vm, facts, tiles, vm_state, n, slots, observations, hidden):  # type: ignore[no-untyped-def]
    """Encode the telemetry of migration ``n``; ``hidden`` [N, P + Q * V] gets its hidden state, unless it is empty."""
    encode_vm(
        at(vcpu, n), _VCPU_TELEMETRY_FIRST, at(vm, n), _VM_TELEMETRY_FIRST,
        at(facts, n), at(tiles, n), at(vm_state, n), at(observations, n), slots,
    )  # fmt: skip
    if hidden.shape[1] > 0:
        write_hidden_state(at(vcpu, n), at(vm, n), at(hidden, n), slots)


@routine
def _reset(  # type: ignore[no-untyped-def]
    vcpu, vm, streams, migration_streams, facts, tiles, vm_state, n, slots,
    pool_vcpu, pool_vm, table_times, table_values, preferences, survey, randomised,
    observations, hidden,
):  # fmt: skip
    """Begin another migration in place ``n`` and observe it; ``survey``: least_s, pass_times, chance.

    ``randomised``: a ``StepRandomisation``.
    """
    seed, m, preference, surveyed = draw_episode(
        streams, n, pool_vm.shape[0], preferences[0], preferences[1], survey[2]
    )
    survey_s = max(survey[0], survey[1] * pool_vm[m, Vm.PASS_TIME_S]) if surveyed else 0.0
    migration_streams[n] = mix(seed)  # as dqgym.jit.random.streams does
    start_migration(
        vcpu, vm, migration_streams, n, slots, pool_vcpu, pool_vm, m, table_times, table_values, preference, survey_s
    )
    draw_latency(at(vm, n), streams, n, randomised)
    facts[n, FactColumn.MEMORY] = vm[n, Vm.MEMORY_BYTES]
    facts[n, FactColumn.BANDWIDTH] = vm[n, Vm.NOMINAL_BANDWIDTH]
    facts[n, FactColumn.DOWNTIME_LIMIT] = vm[n, Vm.DOWNTIME_LIMIT_S]
    facts[n, FactColumn.DEADLINE] = vm[n, Vm.DEADLINE_S]
    facts[n, FactColumn.VCPUS] = vm[n, Vm.VCPUS]
    facts[n, FactColumn.PREFERENCE] = preference
    facts[n, FactColumn.SURVEY_S] = survey_s
    reset_encoder(
        at(facts, n), row(at(vcpu, n), Vcpu.PRESENT, slots), at(vcpu, n), _VCPU_SURVEY_FIRST,
        at(tiles, n), at(vm_state, n), slots,
    )  # fmt: skip
    _observe(vcpu, vm, facts, tiles, vm_state, n, slots, observations, hidden)


@kernel
def reset_where(  # type: ignore[no-untyped-def]
    mask, vcpu, vm, streams, migration_streams, encoder, slots, pool, preferences, survey, randomised,
    observations, hidden,
):  # fmt: skip
    """Begin another migration wherever ``mask`` [N] says so."""
    facts, tiles, vm_state = encoder
    pool_vcpu, pool_vm, table_times, table_values = pool
    for n in range(vm.shape[0]):
        if mask[n]:
            _reset(
                vcpu, vm, streams, migration_streams, facts, tiles, vm_state, n, slots,
                pool_vcpu, pool_vm, table_times, table_values, preferences, survey, randomised,
                observations, hidden,
            )  # fmt: skip


@kernel
def final_info_where(mask, vcpu, vm, final_info, slots):  # type: ignore[no-untyped-def]
    """Fill ``final_info`` [N, len(FINAL_INFO)] wherever ``mask`` [N] says so, with how far the migration has come."""
    for n in range(vm.shape[0]):
        if mask[n]:
            write_final_info(at(vcpu, n), at(vm, n), at(final_info, n), len(slots))


@part
def _copy_row(source, target, n):  # type: ignore[no-untyped-def]
    for k in range(source.shape[1]):
        target[n, k] = source[n, k]


@kernel
def step_all(  # type: ignore[no-untyped-def]
    vcpu, vm, streams, migration_streams, encoder, slots, pool, preferences, survey, parameters, randomised,
    actions, log_limits, least_interval_s, interval_pass_times, weights, reset_ended, reset_now,
    observations, hidden, rewards, terms, terminated, final_observations, final_hidden, final_info,
):  # fmt: skip
    """One control interval of N environments; returns how many ended.

    ``terms`` [len(TERMS), N] gets what each term of the cost has grown by.

    ``randomised``: a ``StepRandomisation``.
    ``reset_now`` [N]: environments that ended in the step before and begin anew in this one, without acting.
    ``reset_ended``: whether those that end in this step begin anew in it; what they observed at their end is then in
    ``final_observations``, and likewise their hidden states. ``final_info`` [N, len(FINAL_INFO)] is filled for those
    that end.
    """
    # Taken apart here and not where they are used: every unpacking counts references, with atomic instructions.
    facts, tiles, vm_state = encoder
    pool_vcpu, pool_vm, table_times, table_values = pool
    members = np.empty((2, BLOCK), dtype=np.int64)
    limits_to_come = np.empty((BLOCK, len(slots)), dtype=np.float32)
    comes_late = randomised.most_latency > 0.0
    ended = 0
    for first in range(0, vm.shape[0], BLOCK):
        count = 0
        for n in range(first, min(first + BLOCK, vm.shape[0])):
            rewards[n] = 0.0
            for k in range(len(TERMS)):
                terms[k, n] = 0.0
            terminated[n] = False
            if reset_now[n]:
                _reset(
                    vcpu, vm, streams, migration_streams, facts, tiles, vm_state, n, slots,
                    pool_vcpu, pool_vm, table_times, table_values, preferences, survey, randomised,
                    observations, hidden,
                )  # fmt: skip
                continue
            tile, state = at(vcpu, n), at(vm, n)
            if state[Vm.STEPS] == 0.0:
                run_free(tile, slots)
            limits = row(limits_to_come, count, slots) if comes_late else row(tile, Vcpu.LIMIT, slots)
            if is_heeded(state, streams, n, randomised):
                for i in range(len(slots)):
                    limits[i] = actions[n, i]
                fair_share = state[Vm.MEASURED_BANDWIDTH] / vm_state[n, VmState.WRITERS]
                limits_of_actions(limits, fair_share, log_limits[0], log_limits[1], UNLIMITED_RATE)
            elif comes_late:
                for i in range(len(slots)):
                    limits[i] = tile[Vcpu.LIMIT, i]
            terms[0, n], terms[1, n] = state[Vm.TIME_TERM], state[Vm.STALL_TERM]
            rewards[n] = weights[0] * state[Vm.TIME_TERM] + weights[1] * state[Vm.STALL_TERM]
            interval_s = max(least_interval_s, interval_pass_times * state[Vm.PASS_TIME_S])
            begin_interval(tile, state, slots, interval_s, False)
            members[0, count] = n
            count += 1
        if comes_late:
            advance_late(
                vcpu, vm, migration_streams, members, count, slots, parameters, table_times, table_values,
                limits_to_come,
            )  # fmt: skip
        else:
            advance(vcpu, vm, migration_streams, members, count, slots, parameters, table_times, table_values)
        for k in range(count):
            n = members[0, k]
            state = at(vm, n)
            # The other two terms are 0 until the end.
            rewards[n] -= (
                weights[0] * state[Vm.TIME_TERM]
                + weights[1] * state[Vm.STALL_TERM]
                + weights[2] * state[Vm.DOWNTIME_TERM]
                + weights[3] * state[Vm.DEADLINE_TERM]
            )
            terms[0, n] = state[Vm.TIME_TERM] - terms[0, n]
            terms[1, n] = state[Vm.STALL_TERM] - terms[1, n]
            terms[2, n], terms[3, n] = state[Vm.DOWNTIME_TERM], state[Vm.DEADLINE_TERM]
            state[Vm.STEPS] += 1.0
            state[Vm.RETURN] += rewards[n]
            misread(at(vcpu, n), state, streams, n, slots, randomised)
            _observe(vcpu, vm, facts, tiles, vm_state, n, slots, observations, hidden)
        for k in range(count):
            n = members[0, k]
            if vm[n, Vm.DONE] > 0.0:
                ended += 1
                terminated[n] = True
                write_final_info(at(vcpu, n), at(vm, n), at(final_info, n), len(slots))
                if reset_ended:
                    _copy_row(observations, final_observations, n)
                    _copy_row(hidden, final_hidden, n)
                    _reset(
                        vcpu, vm, streams, migration_streams, facts, tiles, vm_state, n, slots,
                        pool_vcpu, pool_vm, table_times, table_values, preferences, survey, randomised,
                        observations, hidden,
                    )  # fmt: skip
    return ended
