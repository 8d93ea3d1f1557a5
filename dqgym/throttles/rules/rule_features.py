"""The inputs of the contextual rule's network: a few numbers about a migration, all without a unit.

Rates are in units of the bandwidth, bytes in units of the memory, as in ``dqgym.telemetry.features``. Quantities that
span decades are squashed by the same law, but not clipped: 0.01 -> 0.22, 1 -> 0.9, 100 -> 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import Float32Array, FloatArray
from dqgym.telemetry.features import MIDDLE_PREFERENCE, SQUASH_OFFSET, SQUASH_SHIFT
from dqgym.telemetry.survey import MARKS
from dqgym.telemetry.telemetry import VcpuField, VmField
from dqgym.throttles.rules.quota_rule import QuotaRule, Running, round_bytes, rounds_done

Numbers = NDArray[np.floating[Any]]
"""[K] one for each migration that goes on."""


def unclipped_squash(x: Numbers) -> Numbers:
    """(x + 1e-4) ** 0.25 - 0.1 as float64: ``dqgym.telemetry.encoding.squash`` without its upper bound."""
    return np.sqrt(np.sqrt(x + SQUASH_SHIFT)) - SQUASH_OFFSET


@dataclass(frozen=True)
class Seen:
    """What is known of the K migrations that go on, after the rule has observed; each is [K].

    Args:
        rule: what it has found out.
        running: which they are, and their last interval.
        preference: what guest runtime is worth in each.
    """

    rule: QuotaRule
    running: Running
    preference: FloatArray

    def of_vm(self, field: VmField) -> FloatArray:
        """A field of the telemetry."""
        return self.running.telemetry.per_vm(field)

    def of_all_vcpus(self, field: VcpuField) -> Numbers:
        """The sum of a field over the vCPUs; what was not measured counts as 0."""
        return np.nan_to_num(self.running.telemetry.per_vcpu(field)).sum(axis=1)

    @cached_property
    def memory(self) -> FloatArray:
        """Bytes."""
        return self.rule.facts.memory_bytes[self.running.rows]

    @cached_property
    def nominal(self) -> FloatArray:
        """The configured bandwidth in bytes/s."""
        return self.rule.facts.bandwidth_bytes_per_s[self.running.rows]

    @cached_property
    def downtime_limit_s(self) -> FloatArray:
        """The downtime limit in force."""
        now_s = self.of_vm(VmField.DOWNTIME_LIMIT_S)
        return np.where(now_s > 0.0, now_s, self.rule.facts.downtime_limit_s[self.running.rows])

    @cached_property
    def bandwidth(self) -> FloatArray:
        """The measured bandwidth in bytes/s, at least 1."""
        return np.maximum(self.rule.bandwidth(self.running), 1.0)

    @cached_property
    def vcpus(self) -> Numbers:
        """How many."""
        return self.rule.facts.vcpus[self.running.rows].astype(np.float64)

    @cached_property
    def interval_s(self) -> FloatArray:
        """Length of the last interval, 0 before the first."""
        return self.of_vm(VmField.INTERVAL_S)

    @cached_property
    def some_interval_s(self) -> FloatArray:
        """The same, but above 0."""
        return np.maximum(self.interval_s, 1e-9)

    @cached_property
    def round_bytes(self) -> FloatArray:
        """What this round sends in all, at least 1."""
        return np.maximum(round_bytes(self.running.telemetry), 1.0)

    @cached_property
    def demand(self) -> Numbers:
        """Bytes/s of all vCPUs in the last interval, by run time."""
        return self.rule.sets.demand_bytes_per_s[self.running.rows].sum(axis=1)

    @cached_property
    def peaks(self) -> Float32Array:
        """[K, V] the largest demand of each vCPU."""
        return self.rule.sets.peak_demand_bytes_per_s[self.running.rows]

    @cached_property
    def peak(self) -> Numbers:
        """Their sum."""
        return self.peaks.sum(axis=1)

    @cached_property
    def sets(self) -> Float32Array:
        """[K, V] most bytes that each vCPU dirtied in a round."""
        return self.rule.sets.largest_round_bytes[self.running.rows]

    @cached_property
    def all_sets(self) -> Numbers:
        """Their sum."""
        return self.sets.sum(axis=1)

    @cached_property
    def survey_s(self) -> FloatArray:
        """Length of the survey, 0 without one."""
        survey = self.rule.facts.survey
        return np.zeros(len(self.memory)) if survey is None else survey.duration_s[self.running.rows]

    @cached_property
    def surveyed(self) -> Numbers:
        """[K, len(MARKS)] distinct bytes of all vCPUs at the survey's marks, 0 without one."""
        survey = self.rule.facts.survey
        if survey is None:
            return np.zeros((len(self.memory), len(MARKS)))
        return np.nan_to_num(survey.dirtied_bytes[self.running.rows]).sum(axis=2)

    def if_surveyed(self, x: Numbers) -> Numbers:
        """Squashed with a survey, 0 without one."""
        return np.where(self.survey_s > 0, unclipped_squash(x), 0.0)

    @cached_property
    def sending_s(self) -> FloatArray:
        """Time since the survey."""
        return self.of_vm(VmField.TIME_S) - self.survey_s


@dataclass(frozen=True)
class RuleFeature:
    """One input of the network: how a text says it, and how it is computed."""

    source: str
    value: Callable[[Seen], Numbers]


FEATURES = {
    "preference": RuleFeature(
        f"log10(c / {MIDDLE_PREFERENCE})", lambda seen: np.log10(seen.preference / MIDDLE_PREFERENCE)
    ),
    "vcpus": RuleFeature("ln(number of vCPUs) / ln 64", lambda seen: np.log(seen.vcpus) / np.log(64.0)),
    "threshold": RuleFeature(
        "squash(nominal bandwidth * downtime limit / memory)",
        lambda seen: unclipped_squash(seen.nominal * seen.downtime_limit_s / seen.memory),
    ),
    "rounds": RuleFeature(
        "ln(1 + rounds done)", lambda seen: np.log1p(np.maximum(rounds_done(seen.running.telemetry), 0.0))
    ),
    "round_sent": RuleFeature(
        "share of this round's bytes that is sent",
        lambda seen: 1.0 - seen.of_vm(VmField.REMAINING_BYTES) / seen.round_bytes,
    ),
    "round_size": RuleFeature(
        "squash(this round's bytes / memory)", lambda seen: unclipped_squash(seen.round_bytes / seen.memory)
    ),
    "round_dirty": RuleFeature(
        "squash(bytes dirtied in this round / this round's bytes)",
        lambda seen: unclipped_squash(seen.rule.sets.round_bytes[seen.running.rows].sum(axis=1) / seen.round_bytes),
    ),
    "dirty_rate": RuleFeature(
        "squash(bytes dirtied in the last interval / its length / bandwidth)",
        lambda seen: unclipped_squash(
            seen.of_all_vcpus(VcpuField.DIRTIED_BYTES) / seen.some_interval_s / seen.bandwidth
        ),
    ),
    "demand": RuleFeature(
        "squash(sum of demands / bandwidth)", lambda seen: unclipped_squash(seen.demand / seen.bandwidth)
    ),
    "peak_demand": RuleFeature(
        "squash(sum of peak demands / bandwidth)", lambda seen: unclipped_squash(seen.peak / seen.bandwidth)
    ),
    "busy": RuleFeature("sum of demands / sum of peak demands", lambda seen: seen.demand / np.maximum(seen.peak, 1.0)),
    "sets": RuleFeature(
        "squash(sum of the largest rounds / memory)", lambda seen: unclipped_squash(seen.all_sets / seen.memory)
    ),
    "largest_set": RuleFeature(
        "largest of these / their sum", lambda seen: seen.sets.max(axis=1) / np.maximum(seen.all_sets, 1.0)
    ),
    "writers": RuleFeature(
        "share of the vCPUs that ever dirtied", lambda seen: (seen.peaks > 0).sum(axis=1) / seen.vcpus
    ),
    "run_share": RuleFeature(
        "mean over the vCPUs in the last interval",
        lambda seen: np.where(
            seen.interval_s > 0, seen.of_all_vcpus(VcpuField.RUN_S) / seen.some_interval_s / seen.vcpus, 1.0
        ),
    ),
    "bandwidth": RuleFeature(
        "measured / nominal bandwidth, at most 4", lambda seen: np.minimum(seen.bandwidth / seen.nominal, 4.0)
    ),
    "bandwidth_mean": RuleFeature(
        "bytes sent / time since the survey / nominal bandwidth, at most 4",
        lambda seen: np.where(
            seen.sending_s > 0,
            np.minimum(seen.of_vm(VmField.SENT_BYTES) / np.maximum(seen.sending_s, 1e-9) / seen.nominal, 4.0),
            1.0,
        ),
    ),
    "deadline": RuleFeature(
        "time / deadline", lambda seen: seen.of_vm(VmField.TIME_S) / seen.rule.facts.deadline_s[seen.running.rows]
    ),
    "survey": RuleFeature(
        "1 with a survey, else 0, and then what follows is, too", lambda seen: (seen.survey_s > 0) * 1.0
    ),
    "survey_rate": RuleFeature(
        "squash(bytes in the survey's first eighth / its length / nominal bandwidth)",
        lambda seen: seen.if_surveyed(seen.surveyed[:, 0] / np.maximum(MARKS[0] * seen.survey_s, 1e-9) / seen.nominal),
    ),
    "survey_sets": RuleFeature(
        "squash(distinct bytes in the survey / memory)",
        lambda seen: seen.if_surveyed(seen.surveyed[:, -1] / seen.memory),
    ),
}
"""By name, in the order in which the network takes them."""


def rule_features(rule: QuotaRule, running: Running, preference: FloatArray) -> Float32Array:
    """[K, len(FEATURES)] for the migrations that go on, after ``rule`` has observed; ``preference`` [K]."""
    seen = Seen(rule, running, preference)
    return np.stack([feature.value(seen) for feature in FEATURES.values()], axis=1).astype(np.float32)
