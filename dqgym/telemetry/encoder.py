"""The encoder: telemetry to observation, one code for the environments, the controller and the exported policy.

``encode_vm`` encodes one migration inside a kernel; ``Encoder`` does so for N of them and holds the running state. An
observation is a flat float32 vector: the global features, then the per-vCPU features, feature by feature (each V wide).
"""

from __future__ import annotations

import math
from dataclasses import asdict
from enum import IntEnum
from typing import Any

import numpy as np

from dqgym.arrays import Float32Array, FloatArray
from dqgym.errors import BadInputError
from dqgym.jit.array_views import at, row
from dqgym.jit.compile import kernel, part, routine
from dqgym.jit.fast_math import log, one_minus_exp
from dqgym.telemetry.features import (
    GLOBAL_FEATURES,
    MIDDLE_PREFERENCE,
    SQUASH_OFFSET,
    SQUASH_SHIFT,
    SQUASHED_GLOBALS,
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
_LOG_THRESHOLD_SCALE = _f(-0.2 / math.log(10.0))
_GLOBALS = len(Global)
_TELEMETRY = len(VcpuField)
_FEATURES = len(PerVcpu)
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
TELEMETRY_ROWS = PRESENT_ROW + 1
STATE_ROWS = TELEMETRY_ROWS + len(VcpuField)
FEATURE_ROWS = STATE_ROWS + len(VcpuState)
TILE_ROWS = FEATURE_ROWS + len(PerVcpu)
"""The encoder's tile of one migration, float32 [TILE_ROWS, V]: which vCPUs are present, then the rows of ``VcpuField``,
of ``VcpuState`` and of ``PerVcpu``, each from its first row on."""


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


@part
def squash(x):  # type: ignore[no-untyped-def]
    """(x + 1e-4) ** 0.25 - 0.1, clipped: decades become steps (0.01 -> 0.22, 1 -> 0.9, 100 -> 3.1), 0 stays 0."""
    return min(np.sqrt(np.sqrt(max(_f(x), _ZERO) + _SQUASH_SHIFT)) - _SQUASH_OFFSET, _SQUASHED_HIGH)


@routine
def encode_vm(vcpu, vcpu_first, vm, vm_first, facts, tile, vm_state, out, slots):  # type: ignore[no-untyped-def]
    """Encode one migration and advance its running state.

    Telemetry are the rows of ``vcpu`` [.., V] from ``vcpu_first`` on, in the order of ``VcpuField``, and the columns of
    ``vm`` from ``vm_first`` on, in the order of ``VmField``. ``facts`` [len(FactColumn)], ``tile`` [TILE_ROWS, V],
    ``vm_state`` [len(VmState)], ``out`` [G + F * V]. Fields that a backend cannot measure are NaN and
    count as 0, a run time as the whole interval.
    """
    for k in range(_TELEMETRY):
        for i in range(len(slots)):
            tile[TELEMETRY_ROWS + k, i] = vcpu[vcpu_first + k, i]
    interval_s, memory = vm[vm_first + VmField.INTERVAL_S], facts[FactColumn.MEMORY]
    pass_time_s = memory / facts[FactColumn.BANDWIDTH]
    bandwidth = max(vm[vm_first + VmField.BANDWIDTH_BYTES_PER_S], 1.0)
    weight = one_minus_exp(_f(interval_s / (MEAN_TIME_CONSTANT * pass_time_s)))
    synced = vm[vm_first + VmField.SYNCS] > vm_state[VmState.SYNCS]
    if synced:
        vm_state[VmState.SYNC_DIRTY] = vm[vm_first + VmField.SYNCED_DIRTY_BYTES] - vm_state[VmState.SYNCED_DIRTY]
        vm_state[VmState.SYNCED_DIRTY] = vm[vm_first + VmField.SYNCED_DIRTY_BYTES]
        vm_state[VmState.SYNCS] = vm[vm_first + VmField.SYNCS]
    vm_state[VmState.BANDWIDTH_MEAN] += weight * (bandwidth - vm_state[VmState.BANDWIDTH_MEAN])
    # Share of the interval that came after the last sync: it belongs to the new round.
    fresh = _f(1.0)
    if synced and interval_s > 0.0:
        fresh = _f(
            min(max((vm[vm_first + VmField.TIME_S] - vm[vm_first + VmField.SYNC_TIME_S]) / interval_s, 0.0), 1.0)
        )
    kept = _f(0.0) if synced else _f(1.0)

    present = row(tile, PRESENT_ROW, slots)
    dirtied = row(tile, TELEMETRY_ROWS + VcpuField.DIRTIED_BYTES, slots)
    exits = row(tile, TELEMETRY_ROWS + VcpuField.QUOTA_EXITS, slots)
    run_s = row(tile, TELEMETRY_ROWS + VcpuField.RUN_S, slots)
    peak_now = row(tile, STATE_ROWS + VcpuState.PEAK_NOW, slots)
    peak_previous = row(tile, STATE_ROWS + VcpuState.PEAK_PREVIOUS, slots)
    mean_demand = row(tile, STATE_ROWS + VcpuState.MEAN_DEMAND, slots)
    round_dirty = row(tile, STATE_ROWS + VcpuState.ROUND_DIRTY, slots)
    largest_round = row(tile, STATE_ROWS + VcpuState.LARGEST_ROUND, slots)
    present_out = row(tile, FEATURE_ROWS + PerVcpu.PRESENT, slots)
    rate_out = row(tile, FEATURE_ROWS + PerVcpu.DIRTY_RATE, slots)
    demand_out = row(tile, FEATURE_ROWS + PerVcpu.DEMAND, slots)
    peak_out = row(tile, FEATURE_ROWS + PerVcpu.PEAK_DEMAND, slots)
    mean_out = row(tile, FEATURE_ROWS + PerVcpu.MEAN_DEMAND, slots)
    round_out = row(tile, FEATURE_ROWS + PerVcpu.ROUND_DIRTY, slots)
    largest_out = row(tile, FEATURE_ROWS + PerVcpu.LARGEST_ROUND, slots)
    run_out = row(tile, FEATURE_ROWS + PerVcpu.RUN_SHARE, slots)
    exits_out = row(tile, FEATURE_ROWS + PerVcpu.EXITS, slots)
    per_interval = _f(1.0 / interval_s) if interval_s > 0.0 else _f(0.0)
    per_rate, per_memory, whole_s = _f(1.0 / bandwidth), _f(1.0 / memory), _f(interval_s)
    total_rate, total_peak, total_round, total_run, most = _f(0.0), _f(0.0), _f(0.0), _f(0.0), _f(0.0)
    for i in range(len(slots)):
        wrote = dirtied[i] if dirtied[i] == dirtied[i] else _f(0.0)
        ran_s = run_s[i] if run_s[i] == run_s[i] else whole_s
        left = exits[i] if exits[i] == exits[i] else _f(0.0)
        rate = wrote * per_interval * per_rate
        share = min(ran_s * per_interval, _f(1.0))
        demand = min(rate / max(share, _f(1e-3)), _LARGEST_RATE)
        peak_previous[i] = kept * peak_previous[i] + (_f(1.0) - kept) * peak_now[i]
        peak_now[i] = max(kept * peak_now[i], demand)
        mean_demand[i] += weight * (demand - mean_demand[i])
        round_dirty[i] = kept * round_dirty[i] + fresh * wrote * per_memory
        largest_round[i] = max(largest_round[i], round_dirty[i])
        most = max(most, largest_round[i])
        peak = max(peak_now[i], peak_previous[i])
        total_rate += present[i] * rate
        total_peak += present[i] * peak
        total_round += present[i] * round_dirty[i]
        total_run += present[i] * share
        present_out[i] = present[i]
        rate_out[i] = present[i] * squash(rate)
        demand_out[i] = present[i] * squash(demand)
        peak_out[i] = present[i] * squash(peak)
        mean_out[i] = present[i] * squash(mean_demand[i])
        round_out[i] = present[i] * squash(round_dirty[i])
        largest_out[i] = present[i] * squash(largest_round[i])
        run_out[i] = present[i] * share
        exits_out[i] = present[i] * left / (left + _f(10.0))
    writers = _f(0.0)
    for i in range(len(slots)):
        writers += _f(1.0) if largest_round[i] > _WRITER_SHARE * most else _f(0.0)
    vm_state[VmState.WRITERS] = writers if most > _ZERO else facts[FactColumn.VCPUS]
    for k in range(_FEATURES):
        for i in range(len(slots)):
            out[_GLOBALS + k * len(slots) + i] = tile[FEATURE_ROWS + PerVcpu.PRESENT + k, i]
    per_pass = _f(1.0 / pass_time_s)
    per_nominal = _f(1.0 / facts[FactColumn.BANDWIDTH])
    out[Global.TIME] = _f(vm[vm_first + VmField.TIME_S]) * per_pass
    out[Global.ROUND_TIME] = _f(vm[vm_first + VmField.TIME_S] - vm[vm_first + VmField.SYNC_TIME_S]) * per_pass
    out[Global.INTERVAL] = whole_s * per_pass
    out[Global.REMAINING] = _f(vm[vm_first + VmField.REMAINING_BYTES]) * per_memory
    out[Global.DIRTY_RATE] = total_rate
    out[Global.DEMAND] = total_peak
    out[Global.ROUND_DIRTY] = total_round
    out[Global.SYNC_DIRTY] = _f(vm_state[VmState.SYNC_DIRTY]) * per_memory
    for k in range(SQUASHED_GLOBALS):
        out[k] = squash(out[k])
    limit_s = vm[vm_first + VmField.DOWNTIME_LIMIT_S]
    limit_s = limit_s if limit_s > 0.0 else facts[FactColumn.DOWNTIME_LIMIT]
    threshold = _f(bandwidth * limit_s) * per_memory
    out[Global.ROUND] = min(_f(vm[vm_first + VmField.ROUND]) * _f(0.05), _f(1.0))
    out[Global.BANDWIDTH] = min(_f(bandwidth) * per_nominal, _f(4.0))
    out[Global.BANDWIDTH_MEAN] = min(_f(vm_state[VmState.BANDWIDTH_MEAN]) * per_nominal, _f(4.0))
    out[Global.THRESHOLD] = min(max(log(threshold) * _LOG_THRESHOLD_SCALE, _f(0.0)), _f(1.5))
    out[Global.PREFERENCE] = vm_state[VmState.PREFERENCE]
    out[Global.VCPUS] = vm_state[VmState.LOG_VCPUS]
    out[Global.RUN_SHARE] = total_run / _f(facts[FactColumn.VCPUS])
    out[Global.SURVEY] = vm_state[VmState.SURVEY]
    out[Global.DEADLINE] = min(_f(vm[vm_first + VmField.TIME_S] / facts[FactColumn.DEADLINE]), _f(1.0))


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
    vm_state[VmState.SURVEY] = squash(survey_s * facts[FactColumn.BANDWIDTH] / facts[FactColumn.MEMORY])
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
        tile[FEATURE_ROWS + PerVcpu.SURVEY_RATE, i] = present[i] * squash(measured(first) * per_first)
        tile[FEATURE_ROWS + PerVcpu.SURVEY_LATE_RATE, i] = present[i] * squash(measured(late) * per_late)
        tile[FEATURE_ROWS + PerVcpu.SURVEY_SET, i] = present[i] * squash(measured(all_of_it) * per_memory)


@part
def measured(value):  # type: ignore[no-untyped-def]
    """The value, or 0 where it is NaN."""
    return value if value == value else _ZERO


@kernel
def _encode_all(vcpu, vm, facts, tiles, vm_state, out, slots):  # type: ignore[no-untyped-def]
    for n in range(vm.shape[0]):
        encode_vm(at(vcpu, n), 0, at(vm, n), 0, at(facts, n), at(tiles, n), at(vm_state, n), at(out, n), slots)


@kernel
def _reset_all(facts, present, surveyed, tiles, vm_state, slots):  # type: ignore[no-untyped-def]
    for n in range(facts.shape[0]):
        reset_encoder(at(facts, n), at(present, n), at(surveyed, n), 0, at(tiles, n), at(vm_state, n), slots)


class Encoder:
    """Observations of N migrations at a time, with explicit running state.

    Args:
        vcpu_slots: V of the observations. Facts and telemetry with fewer slots are padded.

    Attributes:
        tiles: float32 [N, TILE_ROWS, V].
        vm_state: float64 [N, len(VmState)].
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
        self._facts = facts_columns(facts, preference)
        self.tiles = np.empty((n, TILE_ROWS, slots), dtype=np.float32)
        self.vm_state = np.empty((n, len(VmState)))
        present = _fit(facts.present.astype(np.float32), slots)
        surveyed = _fit(surveyed_bytes(facts), slots)
        _reset_all(self._facts, present, surveyed, self.tiles, self.vm_state, (0,) * slots)
        return self.encode(first_telemetry(facts))

    def encode(self, telemetry: Telemetry) -> Float32Array:
        """float32 [N, observation_size]: the observations after one more interval; advances the running state.

        The telemetry of a migration that has not begun advances nothing.
        """
        slots = self.vcpu_slots
        out = np.empty((len(self._facts), self.observation_size), dtype=np.float32)
        vcpu = _fit(telemetry.vcpu, slots)
        _encode_all(vcpu, telemetry.vm, self._facts, self.tiles, self.vm_state, out, (0,) * slots)
        return out

    @property
    def writers(self) -> FloatArray:
        """[N] number of vCPUs that write, as far as is known: the unit of actions depends on it."""
        return self.vm_state[:, VmState.WRITERS].copy()

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
    """float64 [N, len(FactColumn)]: facts and preference as ``encode_vm`` takes them."""
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
