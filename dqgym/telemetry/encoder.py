"""The encoder: telemetry to observation, one code for the environments, the controller and the exported policy.

``dqgym.telemetry.encoding`` makes observations inside a kernel; ``Encoder`` makes those of N migrations and holds their
running state.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from dqgym.arrays import Float32Array, FloatArray
from dqgym.errors import BadInputError
from dqgym.jit.array_views import at
from dqgym.jit.compile import kernel
from dqgym.jit.lane_rows import LANES, blocks_for, column_of, in_blocks, state_of
from dqgym.telemetry.encoding import MEAN_TIME_CONSTANT, NUMBERS, TILE_ROWS, FactColumn, VmState, encode, reset_encoder
from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES, Feature
from dqgym.telemetry.survey import MARKS
from dqgym.telemetry.telemetry import Facts, Telemetry, first_telemetry

ENCODER_VERSION = 2


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
