"""The hidden state, which the model knows and no monitor can read: for a critic, in training only.

An observation leaves open which working sets and write rates brought it about, and how long a phase still lasts; most
of what a migration will cost depends on these. A critic that sees them estimates costs with far less noise, and the
policy, which does not see them, learns faster (asymmetric actor-critic: Pinto et al., 2018).
Units and squashing are those of the observation (``dqgym.telemetry.features``).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from gymnasium import spaces

from dqgym.jit.compile import routine
from dqgym.model.layout import Vcpu, Vm
from dqgym.telemetry.encoding import squash
from dqgym.telemetry.features import SQUASHED_HIGH

_f = np.float32


class HiddenGlobal(IntEnum):
    """Of the migration."""

    BANDWIDTH = 0
    """Bandwidth of the link now, over the nominal one."""
    LINK_LEFT = 1
    """squash(time until that changes / T0)."""
    FOUND = 2
    """squash(bytes that a sync would find dirty now / memory)."""
    DEVICE_RATE = 3
    """squash(rate of the device writes / nominal bandwidth)."""


class HiddenVcpu(IntEnum):
    """Of each vCPU; all are 0 in absent slots."""

    DEMAND = 0
    """squash(stores that it wants to make now / nominal bandwidth)."""
    FULL_RATE = 1
    """squash(the same when it is busy)."""
    WORKING_SET = 2
    """squash(working set / memory)."""
    DIRTY = 3
    """squash(bytes that a sync would find dirty now / memory)."""
    PHASE_LEFT = 4
    """squash(time until its phase changes / T0)."""
    SEQUENTIAL = 5
    BACKLOG = 6
    """squash(open-loop stores that wait / memory)."""


_GLOBALS = len(HiddenGlobal)
_HIGH = _f(SQUASHED_HIGH)


def hidden_size(slots: int) -> int:
    """Length of the hidden state with ``slots`` vCPU slots."""
    return _GLOBALS + len(HiddenVcpu) * slots


def hidden_space(slots: int) -> spaces.Box:
    """float32 [P + Q * V]: the numbers of the migration, then those of the vCPUs, number by number (each V wide)."""
    return spaces.Box(0.0, SQUASHED_HIGH, shape=(hidden_size(slots),), dtype=np.float32)


@routine
def write_hidden_state(tile, state, out, slots):  # type: ignore[no-untyped-def]
    """Fill ``out`` [P + Q * V] from the model's arrays of one migration."""
    per_nominal = _f(1.0 / state[Vm.NOMINAL_BANDWIDTH])
    per_memory, per_pass = _f(1.0 / state[Vm.MEMORY_BYTES]), _f(1.0 / state[Vm.PASS_TIME_S])
    slot_count = len(slots)
    found = _f(state[Vm.DEVICE_DIRTY])
    for i in range(slot_count):
        present = tile[Vcpu.PRESENT, i]
        busy_s = tile[Vcpu.DUTY, i] * tile[Vcpu.CURRENT_PERIOD, i]
        is_busy = tile[Vcpu.PHASE, i] < busy_s
        factor = _f(1.0) if is_busy else tile[Vcpu.LOW, i]
        left_s = (busy_s if is_busy else tile[Vcpu.CURRENT_PERIOD, i]) - tile[Vcpu.PHASE, i]
        dirty = tile[Vcpu.HOT_DIRTY, i] + tile[Vcpu.COLD_DIRTY, i]
        found += dirty
        full = tile[Vcpu.RATE, i] * per_nominal
        first = _GLOBALS + i
        out[first + HiddenVcpu.DEMAND * slot_count] = present * squash(full * factor)
        out[first + HiddenVcpu.FULL_RATE * slot_count] = present * squash(full)
        working_set = tile[Vcpu.HOT_BYTES, i] + tile[Vcpu.COLD_BYTES, i]
        out[first + HiddenVcpu.WORKING_SET * slot_count] = present * squash(working_set * per_memory)
        out[first + HiddenVcpu.DIRTY * slot_count] = present * squash(dirty * per_memory)
        out[first + HiddenVcpu.PHASE_LEFT * slot_count] = present * squash(left_s * per_pass)
        out[first + HiddenVcpu.SEQUENTIAL * slot_count] = present * tile[Vcpu.SEQUENTIAL, i]
        out[first + HiddenVcpu.BACKLOG * slot_count] = present * squash(tile[Vcpu.BACKLOG, i] * per_memory)
    out[HiddenGlobal.BANDWIDTH] = min(_f(state[Vm.BANDWIDTH]) * per_nominal, _HIGH)
    out[HiddenGlobal.LINK_LEFT] = squash(_f(min(state[Vm.LINK_NEXT_S] - state[Vm.TIME_S], 1e9)) * per_pass)
    out[HiddenGlobal.FOUND] = squash(found * per_memory)
    out[HiddenGlobal.DEVICE_RATE] = squash(_f(state[Vm.DEVICE_RATE]) * per_nominal)
