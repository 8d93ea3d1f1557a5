"""What an environment says of a migration that has ended: ``info`` of the last step, ``final_info`` of a vector."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dqgym.backends.base import Outcomes
from dqgym.compile import routine
from dqgym.model.layout import Vcpu, Vm
from dqgym.telemetry.telemetry import FloatArray

FINAL_INFO = (
    "total_time_s",
    "time_over_t0",
    "downtime_s",
    "guest_runtime",
    "worst_vcpu_runtime",
    "converged",
    "rounds",
    "cost",
    "episode_return",
    "episode_steps",
    "term_time",
    "term_stall",
    "term_downtime",
    "term_deadline",
    "preference",
    "pass_time_s",
)
"""Names of the numbers: the outcome, the cost J and its four terms, and what the episode was."""


@routine
def write_final_info(tile, row, out, slots):  # type: ignore[no-untyped-def]
    """Fill ``out`` [len(FINAL_INFO)] from the model's arrays of one migration."""
    total, least = 0.0, 1.0
    for i in range(slots):
        if tile[Vcpu.PRESENT, i] > 0.0:
            runtime = min(tile[Vcpu.RUN_TOTAL_S, i] / row[Vm.TIME_S], 1.0)
            total += runtime
            least = min(least, runtime)
    out[0] = row[Vm.TIME_S]
    out[1] = row[Vm.TIME_S] / row[Vm.PASS_TIME_S]
    out[2] = row[Vm.DOWNTIME_S] + row[Vm.PAUSED_S] if row[Vm.CONVERGED] > 0.0 else np.nan
    out[3] = total / row[Vm.VCPUS]
    out[4] = least
    out[5] = row[Vm.CONVERGED]
    out[6] = row[Vm.ROUND]
    out[7] = row[Vm.TIME_TERM] + row[Vm.STALL_TERM] + row[Vm.DOWNTIME_TERM] + row[Vm.DEADLINE_TERM]
    out[8] = row[Vm.RETURN]
    out[9] = row[Vm.STEPS]
    out[10] = row[Vm.TIME_TERM]
    out[11] = row[Vm.STALL_TERM]
    out[12] = row[Vm.DOWNTIME_TERM]
    out[13] = row[Vm.DEADLINE_TERM]
    out[14] = row[Vm.PREFERENCE]
    out[15] = row[Vm.PASS_TIME_S]


def final_info_columns(numbers: FloatArray) -> dict[str, FloatArray]:
    """[N, len(FINAL_INFO)] as arrays [N] by name."""
    return {name: numbers[:, k] for k, name in enumerate(FINAL_INFO)}


def final_info_of(
    outcomes: Outcomes, terms: Mapping[str, float], preference: float, episode_return: float, steps: int
) -> dict[str, float]:
    """The same of a single migration on any backend; ``terms``: time, stall, downtime and deadline of its cost."""
    return {
        "total_time_s": float(outcomes.total_time_s[0]),
        "time_over_t0": float(outcomes.time_over_t0[0]),
        "downtime_s": float(outcomes.downtime_s[0]),
        "guest_runtime": float(outcomes.guest_runtime[0]),
        "worst_vcpu_runtime": float(outcomes.worst_vcpu_runtime[0]),
        "converged": float(outcomes.converged[0]),
        "rounds": float(outcomes.rounds[0]),
        "cost": sum(terms.values()),
        "episode_return": episode_return,
        "episode_steps": float(steps),
        **{f"term_{name}": value for name, value in terms.items()},
        "preference": preference,
        "pass_time_s": float(outcomes.pass_time_s[0]),
    }
