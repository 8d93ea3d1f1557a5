"""Open-loop schedules of a migration's quota, batched.

A schedule says, for each slice of time, which fraction of the bandwidth the throttled vCPUs may dirty together, and how
much of the memory the vCPUs with the smallest working sets may write unthrottled. Equal shares among the throttled are
the best division for convex stall costs (``dqgym.throttles.rules.quota_rule``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dqgym.arrays import BoolArray, Float32Array, FloatArray
from dqgym.scenario import Scenario
from dqgym.telemetry.command import UNLIMITED, Command, free_command
from dqgym.telemetry.interval import POLICY_INTERVAL
from dqgym.telemetry.telemetry import Facts, Telemetry, VmField
from dqgym.throttles.rules.quota_rule import smallest_within

SLICES = 20
SLICE_PASS_TIMES = 2 * POLICY_INTERVAL.pass_times
"""Two control intervals. The last slice lasts to the end."""
LEAST_LOG, FREE_LOG = -3.0, 1.0
"""log10 of the smallest fraction, and of the one from which on nobody is throttled."""
MOST_SPARED = 0.3


@dataclass(frozen=True)
class Schedules:
    """One for each of N migrations.

    Attributes:
        log_fraction: [N, SLICES] log10 of the quota over the bandwidth.
        spared: [N] of the memory, what the unthrottled vCPUs' working sets may add up to.
    """

    log_fraction: FloatArray
    spared: FloatArray

    def __len__(self) -> int:
        return len(self.spared)

    def take(self, index: np.ndarray) -> Schedules:
        """Those at these places."""
        return Schedules(self.log_fraction[index], self.spared[index])


def concatenated(parts: Sequence[Schedules]) -> Schedules:
    """All schedules of the parts, in order."""
    return Schedules(
        np.concatenate([part.log_fraction for part in parts]), np.concatenate([part.spared for part in parts])
    )


def working_sets(scenarios: Sequence[Scenario], slots: int) -> Float32Array:
    """float32 [N, slots] bytes that each vCPU writes to; 0 in absent slots."""
    sizes = np.zeros((len(scenarios), slots), dtype=np.float32)
    for n, scenario in enumerate(scenarios):
        of_vcpus = [group.working_set_bytes for group in scenario.workload for _ in range(group.vcpus)]
        sizes[n, : len(of_vcpus)] = of_vcpus
    return sizes


class Player:
    """Turns schedules into commands while migrations run."""

    def __init__(self, schedules: Schedules, facts: Facts, set_bytes: Float32Array) -> None:
        spared = smallest_within(set_bytes, schedules.spared * facts.memory_bytes)
        self._throttled: BoolArray = facts.present & ~spared
        self._per_throttled = 1.0 / np.maximum(self._throttled.sum(axis=1), 1)
        self._schedules = schedules
        self._slice_s = SLICE_PASS_TIMES * facts.pass_time_s
        self._free = free_command(facts)
        self._rows = np.arange(len(schedules))

    def command(self, telemetry: Telemetry) -> Command:
        """The limits of the slice that each migration is in."""
        index = np.minimum(telemetry.per_vm(VmField.TIME_S) / self._slice_s + 1e-6, SLICES - 1).astype(np.int64)
        log_fraction = self._schedules.log_fraction[self._rows, index]
        share = 10.0**log_fraction * telemetry.per_vm(VmField.BANDWIDTH_BYTES_PER_S) * self._per_throttled
        share = np.where(log_fraction >= FREE_LOG, UNLIMITED, share)
        limits = np.where(self._throttled, share[:, None], UNLIMITED).astype(np.float32)
        return replace(self._free, dirty_limit_bytes_per_s=limits)
