"""One step of N environments: action to command, the model, telemetry to observation, reward and reset in one pass.

The pieces are those that a backend and a throttle use one after another; here they run migration by migration, so that
everything stays in the processor's cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dqgym.elementary import FAST
from dqgym.model.kernel import advance, start_migration
from dqgym.model.layout import UNLIMITED_RATE, VCPU_TELEMETRY, VM_TELEMETRY, Vcpu, Vm
from dqgym.envs.info import write_final_info
from dqgym.random import mix, next_seed, uniform
from dqgym.telemetry.action import limits_of_actions
from dqgym.telemetry.encoder import FactColumn, encode_vm, reset_encoder
from dqgym.tiles import at, row

_VCPU_TELEMETRY_FIRST = VCPU_TELEMETRY.start
_VM_TELEMETRY_FIRST = VM_TELEMETRY.start


@njit(error_model="numpy", cache=True)
def draw_episode(streams, n, pool_size, lowest, highest):  # type: ignore[no-untyped-def]
    """(seed, index into the pool, preference) of the next episode of stream ``n``; the preference is log-uniform."""
    seed = next_seed(streams, n)
    index = min(int(uniform(streams, n) * pool_size), pool_size - 1)
    preference = lowest * (highest / lowest) ** uniform(streams, n)
    return seed, index, preference


@njit(fastmath=FAST, error_model="numpy")
def _observe(vcpu, vm, encoder, n, slots, observations):  # type: ignore[no-untyped-def]
    """Encode the telemetry of migration ``n``."""
    facts, tiles, vm_state = encoder
    encode_vm(
        at(vcpu, n), _VCPU_TELEMETRY_FIRST, at(vm, n), _VM_TELEMETRY_FIRST,
        at(facts, n), at(tiles, n), at(vm_state, n), at(observations, n), slots,
    )  # fmt: skip


@njit(fastmath=FAST, error_model="numpy")
def _reset(vcpu, vm, streams, migration_streams, encoder, n, slots, pool, preferences, observations):  # type: ignore[no-untyped-def]
    """Begin another migration in place ``n`` and observe it."""
    pool_vcpu, pool_vm, table_times, table_values = pool
    seed, m, preference = draw_episode(streams, n, pool_vm.shape[0], preferences[0], preferences[1])
    migration_streams[n] = mix(seed)  # as dqgym.random.streams does
    start_migration(
        vcpu, vm, migration_streams, n, slots, pool_vcpu, pool_vm, m, table_times, table_values, preference
    )
    facts, tiles, vm_state = encoder
    facts[n, FactColumn.MEMORY] = vm[n, Vm.MEMORY_BYTES]
    facts[n, FactColumn.BANDWIDTH] = vm[n, Vm.NOMINAL_BANDWIDTH]
    facts[n, FactColumn.DOWNTIME_LIMIT] = vm[n, Vm.DOWNTIME_LIMIT_S]
    facts[n, FactColumn.DEADLINE] = vm[n, Vm.DEADLINE_S]
    facts[n, FactColumn.VCPUS] = vm[n, Vm.VCPUS]
    facts[n, FactColumn.PREFERENCE] = preference
    reset_encoder(at(facts, n), row(at(vcpu, n), Vcpu.PRESENT, slots), at(tiles, n), at(vm_state, n), slots)
    _observe(vcpu, vm, encoder, n, slots, observations)


@njit(fastmath=FAST, error_model="numpy", cache=True)
def reset_where(mask, vcpu, vm, streams, migration_streams, encoder, slots, pool, preferences, observations):  # type: ignore[no-untyped-def]
    """Begin another migration wherever ``mask`` [N] says so."""
    for n in range(vm.shape[0]):
        if mask[n]:
            _reset(vcpu, vm, streams, migration_streams, encoder, n, slots, pool, preferences, observations)


@njit(inline="always", error_model="numpy")
def _copy_row(source, target, n):  # type: ignore[no-untyped-def]
    for k in range(source.shape[1]):
        target[n, k] = source[n, k]


@njit(fastmath=FAST, error_model="numpy", cache=True)
def step_all(  # type: ignore[no-untyped-def]
    vcpu, vm, streams, migration_streams, encoder, slots, pool, preferences, parameters,
    actions, log_limits, least_interval_s, interval_pass_times, weights, reset_ended, reset_now,
    observations, rewards, terminated, final_observations, final_info,
):  # fmt: skip
    """One control interval of N environments; returns how many ended.

    ``reset_now`` [N]: environments that ended in the step before and begin anew in this one, without acting.
    ``reset_ended``: whether those that end in this step begin anew in it; what they observed at their end is then in
    ``final_observations``. ``final_info`` [N, len(FINAL_INFO)] is filled for those that end.
    """
    pool_vcpu, pool_vm, table_times, table_values = pool
    ended = 0
    for n in range(vm.shape[0]):
        rewards[n] = 0.0
        terminated[n] = False
        if reset_now[n]:
            _reset(vcpu, vm, streams, migration_streams, encoder, n, slots, pool, preferences, observations)
            continue
        limits, cap = row(at(vcpu, n), Vcpu.LIMIT, slots), row(at(vcpu, n), Vcpu.CAP, slots)
        for i in range(len(slots)):
            limits[i] = actions[n, i]
            cap[i] = 1.0
        limits_of_actions(limits, vm[n, Vm.MEASURED_BANDWIDTH], log_limits[0], log_limits[1], UNLIMITED_RATE)
        before_time, before_stall = vm[n, Vm.TIME_TERM], vm[n, Vm.STALL_TERM]
        interval_s = max(least_interval_s, interval_pass_times * vm[n, Vm.PASS_TIME_S])
        advance(
            vcpu, vm, migration_streams, n, slots, interval_s, False, parameters, table_times, table_values
        )
        # The other two terms are 0 until the end.
        rewards[n] = -(
            weights[0] * (vm[n, Vm.TIME_TERM] - before_time)
            + weights[1] * (vm[n, Vm.STALL_TERM] - before_stall)
            + weights[2] * vm[n, Vm.DOWNTIME_TERM]
            + weights[3] * vm[n, Vm.DEADLINE_TERM]
        )
        vm[n, Vm.STEPS] += 1.0
        vm[n, Vm.RETURN] += rewards[n]
        _observe(vcpu, vm, encoder, n, slots, observations)
        if vm[n, Vm.DONE] > 0.0:
            ended += 1
            terminated[n] = True
            write_final_info(at(vcpu, n), at(vm, n), at(final_info, n), len(slots))
            if reset_ended:
                _copy_row(observations, final_observations, n)
                _reset(vcpu, vm, streams, migration_streams, encoder, n, slots, pool, preferences, observations)
    return ended
