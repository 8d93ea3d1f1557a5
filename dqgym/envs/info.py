"""The content of ``info``: the reward terms of each step, and the outcome in the last step.

A vector has each number as an array [N], beside a mask ``_name`` [N] of the environments that it is of; where an
environment ended and began anew in the same step, what the old episode had to say is in ``final_info``, masked alike.
This is how Gymnasium's ``VectorEnv`` collects the infos of single environments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Any

import numpy as np

from dqgym.arrays import BoolArray, FloatArray
from dqgym.backends.base import Outcomes
from dqgym.cost import TERMS
from dqgym.cost.window import downtime
from dqgym.jit.compile import routine
from dqgym.model.layout import Vcpu, Vm


class FinalInfo(IntEnum):
    """The numbers: the outcome, the cost J and its four terms, and what the episode was.

    This is the table of them: ``info`` has each under its name in small letters. ``write_final_info`` takes them from
    the model's arrays, ``final_info_of`` from a backend's outcomes; a test holds both against the table.
    """

    TOTAL_TIME_S = 0
    TIME_OVER_T0 = 1
    DOWNTIME_S = 2
    """NaN where the migration missed its deadline."""
    GUEST_RUNTIME = 3
    WORST_VCPU_RUNTIME = 4
    CONVERGED = 5
    ROUNDS = 6
    COST = 7
    EPISODE_RETURN = 8
    EPISODE_STEPS = 9
    TERM_TIME = 10
    """The first of ``dqgym.cost.TERMS``; the others follow in their order."""
    TERM_STALL = 11
    TERM_DOWNTIME = 12
    TERM_DEADLINE = 13
    PREFERENCE = 14
    PASS_TIME_S = 15
    FORCED = 16
    """1 where it converged only because the guest was paused."""


FINAL_INFO = tuple(number.name.lower() for number in FinalInfo)
"""Their names, in order."""


@routine
def write_final_info(tile, state, out, slots):  # type: ignore[no-untyped-def]
    """Fill ``out`` [len(FINAL_INFO)] from the model's arrays of one migration."""
    total, least = 0.0, 1.0
    for i in range(slots):
        if tile[Vcpu.PRESENT, i] > 0.0:
            runtime = min(tile[Vcpu.RUN_TOTAL_S, i] / state[Vm.TIME_S], 1.0)
            total += runtime
            least = min(least, runtime)
    out[FinalInfo.TOTAL_TIME_S] = state[Vm.TIME_S]
    out[FinalInfo.TIME_OVER_T0] = state[Vm.TIME_S] / state[Vm.PASS_TIME_S]
    down_s = downtime(state[Vm.DOWNTIME_S], state[Vm.PAUSED_S])
    out[FinalInfo.DOWNTIME_S] = down_s if state[Vm.CONVERGED] > 0.0 else np.nan
    out[FinalInfo.GUEST_RUNTIME] = total / state[Vm.VCPUS]
    out[FinalInfo.WORST_VCPU_RUNTIME] = least
    out[FinalInfo.CONVERGED] = state[Vm.CONVERGED]
    out[FinalInfo.ROUNDS] = state[Vm.ROUND]
    out[FinalInfo.COST] = state[Vm.TIME_TERM] + state[Vm.STALL_TERM] + state[Vm.DOWNTIME_TERM] + state[Vm.DEADLINE_TERM]
    out[FinalInfo.EPISODE_RETURN] = state[Vm.RETURN]
    out[FinalInfo.EPISODE_STEPS] = state[Vm.STEPS]
    out[FinalInfo.TERM_TIME] = state[Vm.TIME_TERM]
    out[FinalInfo.TERM_STALL] = state[Vm.STALL_TERM]
    out[FinalInfo.TERM_DOWNTIME] = state[Vm.DOWNTIME_TERM]
    out[FinalInfo.TERM_DEADLINE] = state[Vm.DEADLINE_TERM]
    out[FinalInfo.PREFERENCE] = state[Vm.PREFERENCE]
    out[FinalInfo.PASS_TIME_S] = state[Vm.PASS_TIME_S]
    out[FinalInfo.FORCED] = state[Vm.CONVERGED] * state[Vm.PAUSED]


def with_masks(names: tuple[str, ...], numbers: Iterable[FloatArray], mask: BoolArray) -> dict[str, Any]:
    """Numbers [N] by name, 0 where they are not set, and beside each ``mask`` [N]: the same array for all of them."""
    return dict(zip(names, numbers, strict=True)) | dict.fromkeys(_mask_names(names), mask)


@lru_cache
def _mask_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"_{name}" for name in names)


def final_info_of(
    outcomes: Outcomes, terms: Mapping[str, float], preference: float, episode_return: float, steps: int
) -> dict[str, float]:
    """The same of a single migration on any backend; ``terms``: time, stall, downtime and deadline of its cost."""
    numbers: dict[FinalInfo, float] = {
        FinalInfo.TOTAL_TIME_S: outcomes.total_time_s[0],
        FinalInfo.TIME_OVER_T0: outcomes.time_over_t0[0],
        FinalInfo.DOWNTIME_S: outcomes.downtime_s[0],
        FinalInfo.GUEST_RUNTIME: outcomes.guest_runtime[0],
        FinalInfo.WORST_VCPU_RUNTIME: outcomes.worst_vcpu_runtime[0],
        FinalInfo.CONVERGED: outcomes.converged[0],
        FinalInfo.ROUNDS: outcomes.rounds[0],
        FinalInfo.COST: sum(terms.values()),
        FinalInfo.EPISODE_RETURN: episode_return,
        FinalInfo.EPISODE_STEPS: steps,
        **{FinalInfo(FinalInfo.TERM_TIME + place): terms[name] for place, name in enumerate(TERMS)},
        FinalInfo.PREFERENCE: preference,
        FinalInfo.PASS_TIME_S: outcomes.pass_time_s[0],
        FinalInfo.FORCED: outcomes.forced[0],
    }
    return {name: float(numbers[number]) for name, number in zip(FINAL_INFO, FinalInfo, strict=True)}
