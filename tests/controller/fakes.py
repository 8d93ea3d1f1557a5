"""A small backend for tests of the loop, the throttles and the guard: a fluid model in steps of 5 ms.

Every vCPU dirties clean pages of its working set at its demand until all of it is dirty in the round. The sender sends
at the bandwidth; when what remains fits into the downtime limit, a sync adds what was dirtied, and the migration
completes if the sum still fits. A vCPU that sleeps at full rings runs for its mean share of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dqgym.arrays import FloatArray
from dqgym.backends.base import Capabilities, Outcomes
from dqgym.telemetry.command import Command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField

MIB = 2.0**20
STEP_S = 0.005


@dataclass(frozen=True)
class FakeMigration:
    """What is migrated; the demand in bytes/s and the working set in bytes of each vCPU."""

    demand_bytes_per_s: tuple[float, ...]
    working_set_bytes: tuple[float, ...]
    memory_bytes: float = 128 * MIB
    bandwidth_bytes_per_s: float = 64 * MIB
    downtime_limit_s: float = 0.3
    deadline_pass_times: float = 20.0


def writers(demand_mib_per_s: float, vcpus: int = 1, memory_mib: float = 128, **others: float) -> FakeMigration:
    """VCPUs that share one demand and the whole memory."""
    return FakeMigration(
        demand_bytes_per_s=(demand_mib_per_s * MIB / vcpus,) * vcpus,
        working_set_bytes=(memory_mib * MIB / vcpus,) * vcpus,
        memory_bytes=memory_mib * MIB,
        **others,
    )


class FakeBackend:
    """A ``Backend`` over ``FakeMigration``s."""

    def __init__(self, vcpu_slots: int | None = None) -> None:
        self.name = "fake"
        self.capabilities = Capabilities(dirty_limit=True, run_share_cap=True, ring_sleep=True, max_migrations=64)
        self.vcpu_slots = vcpu_slots
        self.closed = 0
        self.commands: list[Command] = []

    def start(
        self, scenarios: Sequence[FakeMigration], seeds: Sequence[int], survey: ControlInterval | None = None
    ) -> Telemetry:
        n = len(scenarios)
        slots = self.vcpu_slots or max(len(s.demand_bytes_per_s) for s in scenarios)
        self._demand, self._working_set = np.zeros((n, slots)), np.zeros((n, slots))
        present = np.zeros((n, slots), dtype=bool)
        for i, s in enumerate(scenarios):
            v = len(s.demand_bytes_per_s)
            present[i, :v] = True
            self._demand[i, :v], self._working_set[i, :v] = s.demand_bytes_per_s, s.working_set_bytes
        memory = np.array([s.memory_bytes for s in scenarios], dtype=float)
        bandwidth = np.array([s.bandwidth_bytes_per_s for s in scenarios], dtype=float)
        self.facts = Facts(
            present=present,
            memory_bytes=memory,
            bandwidth_bytes_per_s=bandwidth,
            downtime_limit_s=np.array([s.downtime_limit_s for s in scenarios]),
            deadline_s=np.array([s.deadline_pass_times for s in scenarios]) * memory / bandwidth,
            ring_bytes=np.full(n, 16 * MIB),
        )
        self._vm = np.zeros((n, len(VmField)))
        self._vm[:, VmField.REMAINING_BYTES] = memory
        self._vm[:, VmField.BANDWIDTH_BYTES_PER_S] = bandwidth
        self._vm[:, VmField.ROUND] = self._vm[:, VmField.SYNCS] = 1
        self._dirty, self._run_s = np.zeros((n, slots)), np.zeros((n, slots))
        self._least_cap = np.ones(n)
        self._done, self._converged = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        self._downtime_s = np.full(n, np.nan)
        self.commands = []
        return self._telemetry(np.zeros((n, len(VcpuField), slots)))

    def step(self, command: Command, interval_s: FloatArray) -> Telemetry:
        self.commands.append(command)
        running = ~self._done
        self._least_cap[running] = np.minimum(self._least_cap, command.run_share_cap.min(axis=1))[running]
        vcpu = np.zeros((len(self._done), len(VcpuField), self._demand.shape[1]))
        self._vm[running, VmField.INTERVAL_S] = 0
        sent_before = self._vm[:, VmField.SENT_BYTES].copy()
        self._sync(running & command.sync, ends_round=False)
        for _ in range(round(float(interval_s.max()) / STEP_S)):
            active = ~self._done & (self._vm[:, VmField.INTERVAL_S] < interval_s - STEP_S / 2)
            if not active.any():
                break
            self._advance(active, command, vcpu)
        measured = self._vm[:, VmField.SENT_BYTES] - sent_before
        measured = measured / np.maximum(self._vm[:, VmField.INTERVAL_S], STEP_S)
        self._vm[running, VmField.BANDWIDTH_BYTES_PER_S] = measured[running]
        return self._telemetry(vcpu)

    def _advance(self, active: np.ndarray, command: Command, vcpu: FloatArray) -> None:
        rows = active[:, None]
        awake = command.run_share_cap / (1 + self._demand * command.ring_sleep_s / self.facts.ring_bytes[:, None])
        wish = np.minimum(self._demand * awake * STEP_S, self._working_set - self._dirty)
        limit = np.minimum(command.dirty_limit_bytes_per_s.astype(float) * STEP_S, 1e18) * self.facts.present
        granted = np.minimum(wish, limit)
        missing = wish - granted
        pool = (limit - granted).sum(axis=1, keepdims=True) * command.share_unclaimed[:, None]
        total_missing = missing.sum(axis=1, keepdims=True)
        granted = granted + missing * np.minimum(1.0, pool / np.maximum(total_missing, 1e-9))
        share = np.where(wish > 0, granted / np.maximum(wish, 1e-9), 1.0) * awake * self.facts.present

        granted, run_s = granted * rows, share * STEP_S * rows
        self._dirty += granted
        self._run_s += run_s
        vcpu[:, VcpuField.DIRTIED_BYTES] += granted
        vcpu[:, VcpuField.RUN_S] += run_s
        vcpu[:, VcpuField.STALLED_S] += (STEP_S * rows - run_s) * self.facts.present
        sent = np.minimum(self.facts.bandwidth_bytes_per_s * STEP_S, self._vm[:, VmField.REMAINING_BYTES]) * active
        self._vm[:, VmField.SENT_BYTES] += sent
        self._vm[:, VmField.REMAINING_BYTES] -= sent
        self._vm[:, VmField.INTERVAL_S] += STEP_S * active
        self._vm[:, VmField.TIME_S] += STEP_S * active
        self._end_rounds(active)

    def _end_rounds(self, active: np.ndarray) -> None:
        threshold = self.facts.bandwidth_bytes_per_s * self.facts.downtime_limit_s
        self._sync(active & (self._vm[:, VmField.REMAINING_BYTES] < threshold), ends_round=True)
        remaining = self._vm[:, VmField.REMAINING_BYTES]
        completes = active & (remaining < threshold)
        self._downtime_s[completes] = (remaining / self.facts.bandwidth_bytes_per_s)[completes]
        self._vm[completes, VmField.TIME_S] += self._downtime_s[completes]
        self._vm[completes, VmField.SENT_BYTES] += remaining[completes]
        self._vm[completes, VmField.REMAINING_BYTES] = 0
        self._converged |= completes
        self._done |= completes | (active & (self._vm[:, VmField.TIME_S] >= self.facts.deadline_s))

    def _sync(self, rows: np.ndarray, ends_round: bool) -> None:
        remaining, dirty = self._vm[:, VmField.REMAINING_BYTES], self._dirty.sum(axis=1)
        found = dirty * (1 - remaining / self.facts.memory_bytes)  # the others were still waiting to be sent
        self._vm[rows, VmField.REMAINING_BYTES] += found[rows]
        self._vm[rows, VmField.SYNCED_DIRTY_BYTES] += found[rows]
        self._vm[rows, VmField.SYNCED_SENT_BYTES] = self._vm[rows, VmField.SENT_BYTES]
        self._vm[rows, VmField.SYNC_TIME_S] = self._vm[rows, VmField.TIME_S]
        self._vm[rows, VmField.SYNCS] += 1
        self._vm[rows, VmField.ROUND] += ends_round
        self._dirty[rows] = 0

    def _telemetry(self, vcpu: FloatArray) -> Telemetry:
        return Telemetry(vcpu=vcpu.astype(np.float32), vm=self._vm.copy(), done=self._done.copy())

    def outcomes(self) -> Outcomes:
        time_s = self._vm[:, VmField.TIME_S]
        runtime = np.where(self.facts.present, self._run_s / time_s[:, None], np.nan)
        return Outcomes(
            converged=self._converged,
            total_time_s=time_s,
            downtime_s=self._downtime_s,
            guest_runtime_per_vcpu=runtime,
            guest_runtime=np.nanmean(runtime, axis=1),
            bytes_sent=self._vm[:, VmField.SENT_BYTES],
            rounds=self._vm[:, VmField.ROUND].astype(int),
            max_throttle_percent=100 * (1 - self._least_cap),
            stall_s=np.zeros(len(time_s)),
            pass_time_s=self.facts.pass_time_s,
            deadline_s=self.facts.deadline_s,
            forced=np.zeros(len(time_s), dtype=bool),
        )

    def close(self) -> None:
        self.closed += 1
