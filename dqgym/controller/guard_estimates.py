"""The estimates that the guard makes from telemetry alone: the workload's demand, and the migration's progress."""

from __future__ import annotations

import numpy as np

from dqgym.arrays import BoolArray, FloatArray
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField

FIRST_SENT_SHARE = 0.1
"""Share of the memory that must be sent before the dirtying of the first round says anything."""


class DemandEstimate:
    """The rate at which the workload would dirty memory if nothing throttled it.

    Each interval gives one estimate: the sum over the vCPUs of bytes dirtied per second of running time. A fast writer
    that has dirtied its whole working set looks idle until the next sync makes its pages clean; hence the demand is the
    largest estimate of the current and the previous round. In the first round only stores to pages that are sent
    already count, so an estimate is over the share of the memory that was sent: where stores fall evenly, that is the
    demand. None is made before ``FIRST_SENT_SHARE`` is sent. Where the log is cleared earlier (at the sync, or in
    chunks), which telemetry does not tell, all stores count and the demand is overestimated for two rounds, so that a
    slow workload is let go later. The shipped policy does not stall such workloads either way.
    """

    def __init__(self, facts: Facts) -> None:
        n = facts.present.shape[0]
        self._present = facts.present
        self._rate_bytes_per_s = np.zeros(facts.present.shape)
        self._memory_bytes = facts.memory_bytes
        self._round = np.zeros(n)
        self._most_in_round = np.full(n, np.nan)
        self._most_in_previous_round = np.full(n, np.nan)

    def observe(self, telemetry: Telemetry) -> FloatArray:
        """[N] bytes/s; NaN until an interval has been measured."""
        run_s = telemetry.per_vcpu(VcpuField.RUN_S).astype(np.float64)
        # Not measured: the whole interval, as for the policy. Else every workload would look idle.
        run_s = np.where(np.isnan(run_s), telemetry.per_vm(VmField.INTERVAL_S)[:, None], run_s)
        dirtied_bytes = telemetry.per_vcpu(VcpuField.DIRTIED_BYTES).astype(np.float64)
        # A vCPU that did not run showed nothing: what it did before still holds.
        ran = self._present & (run_s > 0)
        self._rate_bytes_per_s = np.divide(dirtied_bytes, run_s, out=self._rate_bytes_per_s.copy(), where=ran)
        sent_share = telemetry.per_vm(VmField.SENT_BYTES) / self._memory_bytes
        measured = (telemetry.per_vm(VmField.INTERVAL_S) > 0) & ~(sent_share < FIRST_SENT_SHARE)
        rounds = telemetry.per_vm(VmField.ROUND)
        counted_share = np.where(rounds <= 1, np.clip(sent_share, FIRST_SENT_SHARE, 1.0), 1.0)
        estimate = np.where(measured, self._rate_bytes_per_s.sum(axis=1) / counted_share, np.nan)

        new_round = rounds > self._round
        self._round = rounds.copy()
        self._most_in_previous_round = np.where(new_round, self._most_in_round, self._most_in_previous_round)
        self._most_in_round = np.where(new_round, estimate, np.fmax(self._most_in_round, estimate))
        return np.fmax(self._most_in_round, self._most_in_previous_round)


class ProgressEstimate:
    """Tells a migration whose rounds no longer get shorter.

    A round makes progress when it starts with ``least_shrink`` less to send than the best round before it. A migration
    is stuck when there was none for ``patience_s`` and for ``patience_rounds``: the second keeps a slow link from
    counting as a lack of progress. The first round must send the whole memory whatever a throttle does; the clock
    starts with the second.
    """

    def __init__(self, facts: Facts, patience_s: FloatArray, patience_rounds: int, least_shrink: float) -> None:
        n = facts.present.shape[0]
        self._patience_s = patience_s
        self._patience_rounds = patience_rounds
        self._least_shrink = least_shrink
        self._best_start_bytes = facts.memory_bytes.copy()
        self._round = np.ones(n)
        self._since_round = np.ones(n)
        self._since_s = np.zeros(n)

    def observe(self, telemetry: Telemetry) -> BoolArray:
        """[N] where the migration is stuck."""
        rounds, time_s = telemetry.per_vm(VmField.ROUND), telemetry.per_vm(VmField.TIME_S)
        sent_in_round = telemetry.per_vm(VmField.SENT_BYTES) - telemetry.per_vm(VmField.SYNCED_SENT_BYTES)
        start_bytes = telemetry.per_vm(VmField.REMAINING_BYTES) + np.nan_to_num(sent_in_round)

        new_round = rounds > self._round
        shrunk = new_round & (start_bytes <= (1.0 - self._least_shrink) * self._best_start_bytes)
        self._best_start_bytes = np.where(shrunk, start_bytes, self._best_start_bytes)
        restart = shrunk | (rounds <= 1)
        self._since_s = np.where(restart, time_s, self._since_s)
        self._since_round = np.where(restart, rounds, self._since_round)
        self._round = rounds.copy()
        return (time_s - self._since_s >= self._patience_s) & (rounds - self._since_round >= self._patience_rounds)
