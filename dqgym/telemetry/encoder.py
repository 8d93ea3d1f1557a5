"""The encoder: telemetry to observation, one code for the environments, the controller and the exported policy.

``encode`` encodes migrations of a block inside a kernel; ``Encoder`` does so for N of them and holds the running state.
An observation is a flat float32 vector: the global features, then the per-vCPU features, feature by feature (each V
wide).
"""

from __future__ import annotations

import math
from dataclasses import asdict
from enum import IntEnum
from typing import Any

import numpy as np

from dqgym.arrays import Float32Array, FloatArray
from dqgym.errors import BadInputError
from dqgym.jit.array_views import at
from dqgym.jit.compile import exact_part, exact_routine, kernel, routine
from dqgym.jit.fast_math import log, one_minus_exp
from dqgym.jit.lane_rows import (
    LANES,
    blocks_for,
    column,
    column_of,
    in_blocks,
    largest,
    load,
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
    GLOBAL_FEATURES,
    MIDDLE_PREFERENCE,
    SQUASH_OFFSET,
    SQUASH_SHIFT,
    SQUASHED_HIGH,
    VCPU_FEATURES,
    Feature,
    Global,
    PerVcpu,
)
from dqgym.telemetry.survey import MARKS
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField, first_telemetry

ENCODER_VERSION = 2
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
    for block in range(first, last):
        set_column(at(numbers, block), Number.ACTS, 0.0)
    for k in range(count):
        state_of(numbers, members[k])[Number.ACTS] = 1.0
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


@kernel
def _encode_all(vcpu, vm, facts, tiles, vm_state, out, slots):  # type: ignore[no-untyped-def]
    numbers = np.empty((vm.shape[0], NUMBERS, LANES), dtype=np.float32)
    members = np.arange(out.shape[0])
    encode(vcpu, 0, vm, 0, facts, tiles, vm_state, out, numbers, 0, vm.shape[0], members, out.shape[0], slots)


@kernel
def _reset_all(facts, present, surveyed, tiles, vm_state, slots):  # type: ignore[no-untyped-def]
    for n in range(present.shape[0]):
        reset_encoder(
            state_of(facts, n), at(present, n), at(surveyed, n), 0, at(tiles, n), state_of(vm_state, n), slots
        )  # fmt: skip


class Encoder:
    """Observations of N migrations at a time, with explicit running state.

    Args:
        vcpu_slots: V of the observations. Facts and telemetry with fewer slots are padded.

    Attributes:
        tiles: float32 [N, TILE_ROWS, V].
        vm_state: float64 [blocks, len(VmState), LANES] (``dqgym.jit.lane_rows``).
    """

    global_features: tuple[Feature, ...] = GLOBAL_FEATURES
    vcpu_features: tuple[Feature, ...] = VCPU_FEATURES

    def __init__(self, vcpu_slots: int) -> None:
        self.vcpu_slots = vcpu_slots
        self.tiles: Float32Array
        self.vm_state: FloatArray
        self._facts: FloatArray

    @property
    def observation_size(self) -> int:
        """Length of an observation."""
        return observation_size(self.vcpu_slots)

    def reset(self, facts: Facts, preference: float | FloatArray) -> Float32Array:
        """Begin N migrations; their first observations. BadInputError where one has more vCPUs than there are slots."""
        n, slots, most = len(facts.present), self.vcpu_slots, int(facts.vcpus.max())
        if most > slots:
            raise BadInputError(f"{most} vCPUs do not fit the {slots} vCPU slots of this observation")
        self._facts = in_blocks(facts_columns(facts, preference))
        self.tiles = np.empty((n, TILE_ROWS, slots), dtype=np.float32)
        self.vm_state = np.zeros((blocks_for(n), len(VmState), LANES))
        present = _fit(facts.present.astype(np.float32), slots)
        surveyed = _fit(surveyed_bytes(facts), slots)
        _reset_all(self._facts, present, surveyed, self.tiles, self.vm_state, (0,) * slots)
        return self.encode(first_telemetry(facts))

    def encode(self, telemetry: Telemetry) -> Float32Array:
        """float32 [N, observation_size]: the observations after one more interval; advances the running state.

        The telemetry of a migration that has not begun advances nothing.
        """
        slots = self.vcpu_slots
        out = np.empty((len(self.tiles), self.observation_size), dtype=np.float32)
        vcpu = _fit(telemetry.vcpu, slots)
        _encode_all(vcpu, in_blocks(telemetry.vm), self._facts, self.tiles, self.vm_state, out, (0,) * slots)
        return out

    @property
    def writers(self) -> FloatArray:
        """[N] number of vCPUs that write, as far as is known: the unit of actions depends on it."""
        return column_of(self.vm_state, VmState.WRITERS, len(self.tiles))

    def spec(self) -> dict[str, Any]:
        """JSON-able description for a policy's manifest."""
        return {
            "version": ENCODER_VERSION,
            "layout": "global features, then per-vCPU features, feature by feature",
            "vcpu_slots": self.vcpu_slots,
            "mean_time_constant_t0": MEAN_TIME_CONSTANT,
            "squash": "min((x + 1e-4) ** 0.25 - 0.1, high)",
            "global_features": [asdict(feature) for feature in GLOBAL_FEATURES],
            "vcpu_features": [asdict(feature) for feature in VCPU_FEATURES],
        }

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Encoder:
        """The encoder that ``spec`` describes. ValueError if this code makes other observations than it says."""
        encoder = cls(spec["vcpu_slots"])
        ours = encoder.spec()
        for key, value in ours.items():
            if spec.get(key) != value:
                raise BadInputError(f"observation: {key} is {spec.get(key)!r}, this version of dqgym makes {value!r}")
        return encoder


def observation_size(slots: int) -> int:
    """Length of an observation with ``slots`` vCPU slots."""
    return len(GLOBAL_FEATURES) + len(VCPU_FEATURES) * slots


def facts_columns(facts: Facts, preference: float | FloatArray) -> FloatArray:
    """float64 [N, len(FactColumn)]: facts and preference as the encoder takes them."""
    columns = np.empty((len(facts.memory_bytes), len(FactColumn)))
    columns[:, FactColumn.MEMORY] = facts.memory_bytes
    columns[:, FactColumn.BANDWIDTH] = facts.bandwidth_bytes_per_s
    columns[:, FactColumn.DOWNTIME_LIMIT] = facts.downtime_limit_s
    columns[:, FactColumn.DEADLINE] = facts.deadline_s
    columns[:, FactColumn.VCPUS] = facts.vcpus
    columns[:, FactColumn.PREFERENCE] = preference
    columns[:, FactColumn.SURVEY_S] = 0.0 if facts.survey is None else facts.survey.duration_s
    return columns


def surveyed_bytes(facts: Facts) -> Float32Array:
    """float32 [N, len(MARKS), V]: the survey's counts; zeros without one."""
    n, slots = facts.present.shape
    return np.zeros((n, len(MARKS), slots), np.float32) if facts.survey is None else facts.survey.dirtied_bytes


def _fit(array: Float32Array, slots: int) -> Float32Array:
    """``array`` with its last axis padded with zeros or cut (of absent slots) to ``slots``."""
    given = array.shape[-1]
    if given < slots:
        return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, slots - given)])
    return np.ascontiguousarray(array[..., :slots])
