"""Telemetry to observation, as ``numba`` code: a few blocks of migrations at a time, for every place that makes any.

``encode`` does it, and advances the running state that ``reset_encoder`` begins. An observation is a flat float32
vector: the global features, then the per-vCPU features, feature by feature (each V wide).
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np

from dqgym.jit.array_views import at
from dqgym.jit.compile import exact_part, exact_routine, routine
from dqgym.jit.fast_math import log, one_minus_exp
from dqgym.jit.lane_rows import (
    column,
    largest,
    load,
    mark,
    pack_of,
    pack_size,
    put,
    set_column,
    spread,
    state_of,
    store,
    totals,
)
from dqgym.jit.lanes import alike, larger, narrow, root, smaller, where, widen
from dqgym.telemetry.features import (
    MIDDLE_PREFERENCE,
    SQUASH_OFFSET,
    SQUASH_SHIFT,
    SQUASHED_HIGH,
    Global,
    PerVcpu,
)
from dqgym.telemetry.survey import MARKS
from dqgym.telemetry.telemetry import VcpuField, VmField

MEAN_TIME_CONSTANT = 0.25
"""Time constant of the running means, in units of T0."""

_f = np.float32
_ZERO = _f(0.0)
_SQUASH_SHIFT, _SQUASH_OFFSET = _f(SQUASH_SHIFT), _f(SQUASH_OFFSET)
_SQUASHED_HIGH = _f(SQUASHED_HIGH)
_LARGEST_RATE = _f(1e6)
_LEAST_SHARE = _f(1e-3)
_FEW_EXITS = _f(10.0)
_LOG_THRESHOLD_SCALE = _f(-0.2 / math.log(10.0))
_GLOBALS = len(Global)
_WRITER_SHARE = _f(0.001)
"""A vCPU that dirties less than this share of what the busiest one does is no writer."""
_LAST_MARK = len(MARKS) - 1
_FIRST_SHARE, _LATE_SHARE = MARKS[0], MARKS[-1] - MARKS[-2]
"""Shares of the survey over which its first and its late rate are taken."""


class VcpuState(IntEnum):
    """Rows of the encoder's running state of each vCPU."""

    PEAK_NOW = 0
    PEAK_PREVIOUS = 1
    MEAN_DEMAND = 2
    ROUND_DIRTY = 3
    LARGEST_ROUND = 4


PRESENT_ROW = 0
STATE_ROWS = PRESENT_ROW + 1
SURVEY_ROWS = STATE_ROWS + len(VcpuState)
SURVEY_FEATURES = int(PerVcpu.SURVEY_SET) + 1 - int(PerVcpu.SURVEY_RATE)
TILE_ROWS = SURVEY_ROWS + SURVEY_FEATURES
"""The encoder's tile of one migration, float32 [TILE_ROWS, V]: which vCPUs are present, the rows of ``VcpuState``, and
the features of the survey, which stay as they are."""


class VmState(IntEnum):
    """Columns of the encoder's running state of each migration, float64."""

    SYNCS = 0
    SYNCED_DIRTY = 1
    SYNC_DIRTY = 2
    BANDWIDTH_MEAN = 3
    PREFERENCE = 4
    """The feature of that name: constant, so its logarithm is taken once."""
    LOG_VCPUS = 5
    SURVEY = 6
    """Likewise."""
    WRITERS = 7
    """Number of vCPUs that write; all of them until one does."""


class FactColumn(IntEnum):
    """Columns of the facts as the encoder takes them, float64."""

    MEMORY = 0
    BANDWIDTH = 1
    DOWNTIME_LIMIT = 2
    DEADLINE = 3
    VCPUS = 4
    PREFERENCE = 5
    SURVEY_S = 6


class Number(IntEnum):
    """Columns of ``numbers``, float32 [blocks, NUMBERS, LANES]: what the code of the vCPUs takes and gives; scratch."""

    ACTS = 0
    """1 for the migrations that are encoded."""
    WEIGHT = 1
    """Of this interval in the running means."""
    FRESH = 2
    """Share of the interval that came after the last sync: it belongs to the new round."""
    KEPT = 3
    """0 where there was a sync, 1 elsewhere."""
    INTERVAL_S = 4
    PER_INTERVAL = 5
    PER_BANDWIDTH = 6
    PER_MEMORY = 7
    TOTAL_RATE = 8
    """Sums over the vCPUs."""
    TOTAL_PEAK = 9
    TOTAL_ROUND = 10
    TOTAL_RUN = 11
    WRITERS = 12
    LARGEST_ROUND = 13
    FIRST_FEATURE = 14


NUMBERS = int(Number.FIRST_FEATURE) + len(Global)
"""The columns, and those of the global features after them."""


@exact_part
def squash(x):  # type: ignore[no-untyped-def]
    """(x + 1e-4) ** 0.25 - 0.1, clipped: decades become steps (0.01 -> 0.22, 1 -> 0.9, 100 -> 3.1), 0 stays 0."""
    return smaller(root(root(larger(x, _ZERO) + _SQUASH_SHIFT)) - _SQUASH_OFFSET, _SQUASHED_HIGH)


@exact_part
def measured(value, otherwise):  # type: ignore[no-untyped-def]
    """The value, or something else where it is NaN: a backend could not measure it."""
    return where(value == value, value, otherwise)


@exact_part
def notice_syncs(vm, first, facts, state, numbers):  # type: ignore[no-untyped-def]
    """Advance the running state of the migrations of a block; says what their vCPUs' rows need to know."""
    acts = column(numbers, Number.ACTS) > 0.0
    interval_s, memory = column(vm, first + VmField.INTERVAL_S), column(facts, FactColumn.MEMORY)
    pass_time_s = memory / column(facts, FactColumn.BANDWIDTH)
    bandwidth = larger(column(vm, first + VmField.BANDWIDTH_BYTES_PER_S), 1.0)
    weight = one_minus_exp(narrow(interval_s * (1.0 / MEAN_TIME_CONSTANT) / pass_time_s))
    syncs, found = column(vm, first + VmField.SYNCS), column(vm, first + VmField.SYNCED_DIRTY_BYTES)
    before, mean = column(state, VmState.SYNCED_DIRTY), column(state, VmState.BANDWIDTH_MEAN)
    synced = acts & (syncs > column(state, VmState.SYNCS))
    set_column(state, VmState.SYNC_DIRTY, where(synced, found - before, column(state, VmState.SYNC_DIRTY)))
    set_column(state, VmState.SYNCED_DIRTY, where(synced, found, before))
    set_column(state, VmState.SYNCS, where(synced, syncs, column(state, VmState.SYNCS)))
    mean = where(acts, mean + widen(weight) * (bandwidth - mean), mean)
    set_column(state, VmState.BANDWIDTH_MEAN, mean)
    since_s = column(vm, first + VmField.TIME_S) - column(vm, first + VmField.SYNC_TIME_S)
    fresh = narrow(smaller(larger(since_s / interval_s, 0.0), 1.0))
    one, runs = alike(weight, 1.0), interval_s > 0.0
    set_column(numbers, Number.WEIGHT, weight)
    set_column(numbers, Number.FRESH, where(synced & runs, fresh, one))
    set_column(numbers, Number.KEPT, where(synced, 0.0, one))
    set_column(numbers, Number.INTERVAL_S, narrow(interval_s))
    set_column(numbers, Number.PER_INTERVAL, where(runs, one / narrow(interval_s), 0.0))
    set_column(numbers, Number.PER_BANDWIDTH, one / narrow(bandwidth))
    set_column(numbers, Number.PER_MEMORY, one / narrow(memory))


@exact_part
def encode_vcpus(vcpu, first, tiles, numbers, pack, out, slots):  # type: ignore[no-untyped-def]
    """The features of the vCPUs of a pack, and their sums; advances their running state."""
    present = load(tiles, pack, PRESENT_ROW, slots)
    weight, fresh = spread(numbers, Number.WEIGHT, pack, slots), spread(numbers, Number.FRESH, pack, slots)
    kept, whole_s = spread(numbers, Number.KEPT, pack, slots), spread(numbers, Number.INTERVAL_S, pack, slots)
    per_interval = spread(numbers, Number.PER_INTERVAL, pack, slots)
    wrote = measured(load(vcpu, pack, first + VcpuField.DIRTIED_BYTES, slots), _ZERO)
    exits = measured(load(vcpu, pack, first + VcpuField.QUOTA_EXITS, slots), _ZERO)
    run_s = measured(load(vcpu, pack, first + VcpuField.RUN_S, slots), whole_s)
    rate = wrote * per_interval * spread(numbers, Number.PER_BANDWIDTH, pack, slots)
    share = smaller(run_s * per_interval, 1.0)
    demand = smaller(rate / larger(share, _LEAST_SHARE), _LARGEST_RATE)
    peak_now = load(tiles, pack, STATE_ROWS + VcpuState.PEAK_NOW, slots)
    peak_before = load(tiles, pack, STATE_ROWS + VcpuState.PEAK_PREVIOUS, slots)
    peak_before = where(kept > 0.0, peak_before, peak_now)
    peak_now = larger(kept * peak_now, demand)
    mean = load(tiles, pack, STATE_ROWS + VcpuState.MEAN_DEMAND, slots)
    mean = mean + weight * (demand - mean)
    found = load(tiles, pack, STATE_ROWS + VcpuState.ROUND_DIRTY, slots)
    found = kept * found + fresh * wrote * spread(numbers, Number.PER_MEMORY, pack, slots)
    most_found = larger(load(tiles, pack, STATE_ROWS + VcpuState.LARGEST_ROUND, slots), found)
    store(tiles, pack, STATE_ROWS + VcpuState.PEAK_NOW, peak_now, slots)
    store(tiles, pack, STATE_ROWS + VcpuState.PEAK_PREVIOUS, peak_before, slots)
    store(tiles, pack, STATE_ROWS + VcpuState.MEAN_DEMAND, mean, slots)
    store(tiles, pack, STATE_ROWS + VcpuState.ROUND_DIRTY, found, slots)
    store(tiles, pack, STATE_ROWS + VcpuState.LARGEST_ROUND, most_found, slots)
    peak = larger(peak_now, peak_before)
    busiest = largest(most_found, slots)
    writes = where(most_found > _WRITER_SHARE * busiest, alike(rate, 1.0), 0.0)
    put(numbers, Number.TOTAL_RATE, pack, totals(present * rate, slots), slots)
    put(numbers, Number.TOTAL_PEAK, pack, totals(present * peak, slots), slots)
    put(numbers, Number.TOTAL_ROUND, pack, totals(present * found, slots), slots)
    put(numbers, Number.TOTAL_RUN, pack, totals(present * share, slots), slots)
    put(numbers, Number.WRITERS, pack, totals(writes, slots), slots)
    put(numbers, Number.LARGEST_ROUND, pack, busiest, slots)
    _put_feature(out, pack, PerVcpu.PRESENT, present, slots)
    _put_feature(out, pack, PerVcpu.DIRTY_RATE, present * squash(rate), slots)
    _put_feature(out, pack, PerVcpu.DEMAND, present * squash(demand), slots)
    _put_feature(out, pack, PerVcpu.PEAK_DEMAND, present * squash(peak), slots)
    _put_feature(out, pack, PerVcpu.MEAN_DEMAND, present * squash(mean), slots)
    _put_feature(out, pack, PerVcpu.ROUND_DIRTY, present * squash(found), slots)
    _put_feature(out, pack, PerVcpu.LARGEST_ROUND, present * squash(most_found), slots)
    _put_feature(out, pack, PerVcpu.RUN_SHARE, present * share, slots)
    _put_feature(out, pack, PerVcpu.EXITS, present * exits / (exits + _FEW_EXITS), slots)
    for k in range(SURVEY_FEATURES):
        _put_feature(out, pack, PerVcpu.SURVEY_RATE + k, load(tiles, pack, SURVEY_ROWS + k, slots), slots)


@exact_part
def _put_feature(out, pack, feature, value, slots):  # type: ignore[no-untyped-def]
    store(out, pack, _GLOBALS + feature * len(slots), value, slots)


@exact_part
def encode_globals(vm, first, facts, state, numbers):  # type: ignore[no-untyped-def]
    """The features of the migrations of a block, into ``numbers`` from FIRST_FEATURE on."""
    acts = column(numbers, Number.ACTS) > 0.0
    memory, nominal = column(facts, FactColumn.MEMORY), column(facts, FactColumn.BANDWIDTH)
    vcpus, time_s = column(facts, FactColumn.VCPUS), column(vm, first + VmField.TIME_S)
    bandwidth = larger(column(vm, first + VmField.BANDWIDTH_BYTES_PER_S), 1.0)
    writers = where(column(numbers, Number.LARGEST_ROUND) > 0.0, widen(column(numbers, Number.WRITERS)), vcpus)
    set_column(state, VmState.WRITERS, where(acts, writers, column(state, VmState.WRITERS)))
    per_memory, per_pass, per_nominal = 1.0 / narrow(memory), narrow(nominal / memory), 1.0 / narrow(nominal)
    since_s = time_s - column(vm, first + VmField.SYNC_TIME_S)
    _put_global(numbers, Global.TIME, squash(narrow(time_s) * per_pass))
    _put_global(numbers, Global.ROUND_TIME, squash(narrow(since_s) * per_pass))
    _put_global(numbers, Global.INTERVAL, squash(column(numbers, Number.INTERVAL_S) * per_pass))
    _put_global(numbers, Global.REMAINING, squash(narrow(column(vm, first + VmField.REMAINING_BYTES)) * per_memory))
    _put_global(numbers, Global.DIRTY_RATE, squash(column(numbers, Number.TOTAL_RATE)))
    _put_global(numbers, Global.DEMAND, squash(column(numbers, Number.TOTAL_PEAK)))
    _put_global(numbers, Global.ROUND_DIRTY, squash(column(numbers, Number.TOTAL_ROUND)))
    _put_global(numbers, Global.SYNC_DIRTY, squash(narrow(column(state, VmState.SYNC_DIRTY)) * per_memory))
    limit_s = column(vm, first + VmField.DOWNTIME_LIMIT_S)
    limit_s = where(limit_s > 0.0, limit_s, column(facts, FactColumn.DOWNTIME_LIMIT))
    threshold = narrow(bandwidth * limit_s) * per_memory
    _put_global(numbers, Global.ROUND, smaller(narrow(column(vm, first + VmField.ROUND)) * 0.05, 1.0))
    _put_global(numbers, Global.BANDWIDTH, smaller(narrow(bandwidth) * per_nominal, 4.0))
    mean = narrow(column(state, VmState.BANDWIDTH_MEAN))
    _put_global(numbers, Global.BANDWIDTH_MEAN, smaller(mean * per_nominal, 4.0))
    _put_global(numbers, Global.THRESHOLD, smaller(larger(log(threshold) * _LOG_THRESHOLD_SCALE, 0.0), 1.5))
    _put_global(numbers, Global.PREFERENCE, narrow(column(state, VmState.PREFERENCE)))
    _put_global(numbers, Global.VCPUS, narrow(column(state, VmState.LOG_VCPUS)))
    _put_global(numbers, Global.RUN_SHARE, column(numbers, Number.TOTAL_RUN) / narrow(vcpus))
    _put_global(numbers, Global.SURVEY, narrow(column(state, VmState.SURVEY)))
    _put_global(numbers, Global.DEADLINE, smaller(narrow(time_s / column(facts, FactColumn.DEADLINE)), 1.0))


@exact_part
def _put_global(numbers, feature, value):  # type: ignore[no-untyped-def]
    set_column(numbers, Number.FIRST_FEATURE + feature, value)


@exact_routine
def encode(  # type: ignore[no-untyped-def]
    vcpu, vcpu_first, vm, vm_first, facts, tiles, vm_state, out, numbers, first, last, members, count, slots
):  # fmt: skip
    """Encode the migrations ``members[:count]`` of blocks ``first`` to ``last`` and advance their running state.

    Telemetry are the rows of ``vcpu`` [N, .., V] from ``vcpu_first`` on, in the order of ``VcpuField``, and the columns
    of the blocks ``vm`` from ``vm_first`` on, in the order of ``VmField``. ``facts`` and ``vm_state`` are blocks with
    columns ``FactColumn`` and ``VmState``, ``tiles`` is [N, TILE_ROWS, V], ``out`` [N, G + F * V], ``numbers`` blocks
    of NUMBERS columns, scratch. Fields that a backend cannot measure are NaN and count as 0, a run time as the whole
    interval.
    """
    mark(numbers, Number.ACTS, first, last, members, count)
    for block in range(first, last):
        notice_syncs(at(vm, block), vm_first, at(facts, block), at(vm_state, block), at(numbers, block))
    for k in range(0, count, pack_size(slots)):
        encode_vcpus(vcpu, vcpu_first, tiles, numbers, pack_of(members, k, count, slots), out, slots)
    for block in range(first, last):
        encode_globals(at(vm, block), vm_first, at(facts, block), at(vm_state, block), at(numbers, block))
    for k in range(count):
        own = state_of(numbers, members[k])
        for feature in range(_GLOBALS):
            out[members[k], feature] = own[Number.FIRST_FEATURE + feature]


@routine
def reset_encoder(facts, present, surveyed, surveyed_first, tile, vm_state, slots):  # type: ignore[no-untyped-def]
    """The running state of a migration that has not begun, for float32 ``present`` [V].

    The rows of ``surveyed`` [.., V] from ``surveyed_first`` on are the survey's counts at its marks.
    """
    for k in range(tile.shape[0]):
        for i in range(len(slots)):
            tile[k, i] = 0.0
    for i in range(len(slots)):
        tile[PRESENT_ROW, i] = present[i]
    vm_state[VmState.WRITERS] = facts[FactColumn.VCPUS]
    vm_state[VmState.SYNCS] = 1.0
    vm_state[VmState.SYNCED_DIRTY] = 0.0
    vm_state[VmState.SYNC_DIRTY] = 0.0
    vm_state[VmState.BANDWIDTH_MEAN] = facts[FactColumn.BANDWIDTH]
    preference = math.log10(facts[FactColumn.PREFERENCE] / MIDDLE_PREFERENCE)
    vm_state[VmState.PREFERENCE] = min(max(preference, -1.0), 1.5)
    vm_state[VmState.LOG_VCPUS] = math.log(facts[FactColumn.VCPUS]) / math.log(64.0)
    survey_s = facts[FactColumn.SURVEY_S]
    vm_state[VmState.SURVEY] = squash(_f(survey_s * facts[FactColumn.BANDWIDTH] / facts[FactColumn.MEMORY]))
    if survey_s > 0.0:
        encode_survey(facts, present, surveyed, surveyed_first, tile, slots)


@routine
def encode_survey(facts, present, surveyed, surveyed_first, tile, slots):  # type: ignore[no-untyped-def]
    """The features of a survey that was made; a count that was not measured (NaN) leaves what needs it at 0."""
    could_send = facts[FactColumn.SURVEY_S] * facts[FactColumn.BANDWIDTH]
    per_first = _f(1.0 / max(_FIRST_SHARE * could_send, 1.0))
    per_late = _f(1.0 / max(_LATE_SHARE * could_send, 1.0))
    per_memory = _f(1.0 / facts[FactColumn.MEMORY])
    for i in range(len(slots)):
        first, all_of_it = surveyed[surveyed_first, i], surveyed[surveyed_first + _LAST_MARK, i]
        late = all_of_it - surveyed[surveyed_first + _LAST_MARK - 1, i]
        tile[SURVEY_ROWS, i] = present[i] * squash(measured(first, _ZERO) * per_first)
        tile[SURVEY_ROWS + 1, i] = present[i] * squash(measured(late, _ZERO) * per_late)
        tile[SURVEY_ROWS + 2, i] = present[i] * squash(measured(all_of_it, _ZERO) * per_memory)
