"""What the contextual rule's network is told of a migration: a few numbers, all without a unit.

Rates are in units of the bandwidth, bytes in units of the memory, as in ``dqgym.telemetry.features``, from where
``squash`` is, too: decades become steps (0.01 -> 0.22, 1 -> 0.9, 100 -> 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import Float32Array, FloatArray
from dqgym.telemetry.survey import MARKS
from dqgym.telemetry.telemetry import Facts, VcpuField, VmField
from dqgym.throttles.rules.quota_rule import Going, QuotaRule, round_bytes, rounds_done

FEATURES = {
    "preference": "log10(c / 0.2)",
    "vcpus": "ln(number of vCPUs) / ln 64",
    "threshold": "squash(nominal bandwidth * downtime limit / memory)",
    "rounds": "ln(1 + rounds done)",
    "round_sent": "share of this round's bytes that is sent",
    "round_size": "squash(this round's bytes / memory)",
    "round_dirty": "squash(bytes dirtied in this round / this round's bytes)",
    "dirty_rate": "squash(bytes dirtied in the last interval / its length / bandwidth)",
    "demand": "squash(sum of demands / bandwidth)",
    "peak_demand": "squash(sum of peak demands / bandwidth)",
    "busy": "sum of demands / sum of peak demands",
    "sets": "squash(sum of the largest rounds / memory)",
    "largest_set": "largest of these / their sum",
    "writers": "share of the vCPUs that ever dirtied",
    "run_share": "mean over the vCPUs in the last interval",
    "bandwidth": "measured / nominal bandwidth, at most 4",
    "bandwidth_mean": "bytes sent / time since the survey / nominal bandwidth, at most 4",
    "deadline": "time / deadline",
    "survey": "1 with a survey, else 0, and then what follows is, too",
    "survey_rate": "squash(bytes in the survey's first eighth / its length / nominal bandwidth)",
    "survey_sets": "squash(distinct bytes in the survey / memory)",
}
"""Name and origin, in order."""


def squash(x: FloatArray) -> FloatArray:
    """(x + 1e-4) ** 0.25 - 0.1."""
    return np.sqrt(np.sqrt(x + 1e-4)) - 0.1


def rule_features(rule: QuotaRule, going: Going, preference: FloatArray) -> Float32Array:
    """[K, len(FEATURES)] for the migrations that go on, after ``rule`` has observed; ``preference`` [K]."""
    facts, sets, rows, telemetry = rule.facts, rule.sets, going.rows, going.telemetry
    memory, nominal = facts.memory_bytes[rows], facts.bandwidth_bytes_per_s[rows]
    vcpus = facts.vcpus[rows]
    bandwidth = np.maximum(rule.bandwidth(going), 1.0)
    interval_s, time_s = telemetry.per_vm(VmField.INTERVAL_S), telemetry.per_vm(VmField.TIME_S)
    sending_s = time_s if facts.survey is None else time_s - facts.survey.duration_s[rows]
    sent = telemetry.per_vm(VmField.SENT_BYTES)
    this_round = np.maximum(round_bytes(telemetry), 1.0)
    largest, peaks = sets.largest_round_bytes[rows], sets.peak_demand_bytes_per_s[rows]
    demand, peak, all_sets = sets.demand_bytes_per_s[rows].sum(axis=1), peaks.sum(axis=1), largest.sum(axis=1)
    dirtied = np.nan_to_num(telemetry.per_vcpu(VcpuField.DIRTIED_BYTES)).sum(axis=1)
    run_s = np.nan_to_num(telemetry.per_vcpu(VcpuField.RUN_S)).sum(axis=1)
    features = [
        np.log10(preference / 0.2),
        np.log(vcpus) / np.log(64.0),
        squash(nominal * facts.downtime_limit_s[rows] / memory),
        np.log1p(np.maximum(rounds_done(telemetry), 0.0)),
        1.0 - telemetry.per_vm(VmField.REMAINING_BYTES) / this_round,
        squash(this_round / memory),
        squash(sets.round_bytes[rows].sum(axis=1) / this_round),
        squash(dirtied / np.maximum(interval_s, 1e-9) / bandwidth),
        squash(demand / bandwidth),
        squash(peak / bandwidth),
        demand / np.maximum(peak, 1.0),
        squash(all_sets / memory),
        largest.max(axis=1) / np.maximum(all_sets, 1.0),
        (peaks > 0).sum(axis=1) / vcpus,
        np.where(interval_s > 0, run_s / np.maximum(interval_s, 1e-9) / vcpus, 1.0),
        np.minimum(bandwidth / nominal, 4.0),
        np.where(sending_s > 0, np.minimum(sent / np.maximum(sending_s, 1e-9) / nominal, 4.0), 1.0),
        time_s / facts.deadline_s[rows],
        *_survey(facts, going),
    ]
    return np.stack(np.broadcast_arrays(*features), axis=1).astype(np.float32)


def _survey(facts: Facts, going: Going) -> Sequence[NDArray[np.floating[Any]]]:
    """[K] each: the features of the survey."""
    if facts.survey is None:
        return [np.zeros(len(going.rows))] * 3
    rows = going.rows
    duration_s = facts.survey.duration_s[rows]
    counts = np.nan_to_num(facts.survey.dirtied_bytes[rows]).sum(axis=2)
    rate = counts[:, 0] / np.maximum(MARKS[0] * duration_s, 1e-9)
    return [
        (duration_s > 0) * 1.0,
        squash(rate / facts.bandwidth_bytes_per_s[rows]),
        squash(counts[:, -1] / facts.memory_bytes[rows]),
    ]
