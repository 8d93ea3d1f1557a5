"""The rule of ``tuned-rule`` and ``contextual-rule``: free rounds, then a quota for the vCPUs that dirty much.

Every vCPU runs free for some rounds. After these, the vCPUs whose working sets are large share equally a quota that is
a fraction of the measured bandwidth; those with small working sets go on running free. Equal shares are the optimum for
equal preferences: the stall cost -ln r of vCPU i at rate r * l_i makes the best rates under a common bound all alike
(``dqgym.cost.definition``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import BoolArray, Float32Array, FloatArray
from dqgym.telemetry.command import UNLIMITED, Command, free_command
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField


@dataclass(frozen=True)
class RuleParameters:
    """The rule's numbers: one each for all migrations, or [K], one each for every migration that goes on.

    Attributes:
        free_rounds: rounds in which every vCPU runs free; a fraction is that share of one more round's bytes.
        quota_fraction: of the measured bandwidth, what the throttled vCPUs may dirty together.
        working_set_threshold: of this round's bytes; the vCPUs with the smallest working sets, by the most that each
            has dirtied in any round so far, run free as long as they do not exceed it together.
        floor: least run share that the limits of a throttled vCPU aim at, by its largest demand so far.
    """

    free_rounds: float | FloatArray
    quota_fraction: float | FloatArray
    working_set_threshold: float | FloatArray
    floor: float | FloatArray


@dataclass(frozen=True)
class Running:
    """The K migrations, of N, that still run. Long runs have few of them, and nothing is computed for the others.

    Attributes:
        rows: [K] which of the N they are.
        telemetry: of these alone.
    """

    rows: NDArray[np.int64]
    telemetry: Telemetry

    @classmethod
    def of(cls, telemetry: Telemetry) -> Running:
        """Those that have not ended."""
        rows = np.flatnonzero(~telemetry.done)
        return cls(rows, Telemetry(telemetry.vcpu[rows], telemetry.vm[rows], telemetry.done[rows]))


class QuotaRule:
    """The rule for N migrations at a time: what telemetry tells, and the command that follows from it.

    Attributes:
        facts: of the migrations.
        sets: what is known of each vCPU.
    """

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.sets = WorkingSets(facts)
        self._free = free_command(facts)

    def observe(self, telemetry: Telemetry) -> Running:
        """Take in one interval; the migrations that go on."""
        running = Running.of(telemetry)
        self.sets.observe(running)
        return running

    def command(self, running: Running, parameters: RuleParameters) -> Command:
        """The rule's limits for the migrations that go on; the others are free, as all are in their free rounds."""
        limits = self._free.dirty_limit_bytes_per_s.copy()
        ripe = np.flatnonzero(rounds_done(running.telemetry) >= parameters.free_rounds)
        if len(ripe) > 0:
            limits[running.rows[ripe]] = self._limits(running, parameters, ripe)
        return replace(self._free, dirty_limit_bytes_per_s=limits)

    def _limits(self, running: Running, parameters: RuleParameters, ripe: NDArray[np.int64]) -> FloatArray:
        """[len(ripe), V] bytes/s of those of the K migrations that are beyond their free rounds."""

        def of_ripe(values: float | FloatArray) -> FloatArray:
            return values[ripe] if isinstance(values, np.ndarray) and values.ndim > 0 else np.asarray(values)

        rows = running.rows[ripe]
        bound = of_ripe(parameters.working_set_threshold) * round_bytes(running.telemetry)[ripe]
        spared = smallest_within(self.sets.largest_round_bytes[rows], bound)
        throttled = self.facts.present[rows] & ~spared
        quota = of_ripe(parameters.quota_fraction) * self.bandwidth(running)[ripe]
        share = quota / np.maximum(throttled.sum(axis=1), 1)
        floor = of_ripe(parameters.floor)[..., None] * self.sets.peak_demand_bytes_per_s[rows]
        return np.where(throttled, np.maximum(share[:, None], floor), UNLIMITED)

    def bandwidth(self, running: Running) -> FloatArray:
        """[K] measured bytes/s; the configured bandwidth where nothing was measured."""
        measured = running.telemetry.per_vm(VmField.BANDWIDTH_BYTES_PER_S)
        return np.where(np.isfinite(measured), measured, self.facts.bandwidth_bytes_per_s[running.rows])


class WorkingSets:
    """Working set and speed of each vCPU, as far as telemetry has told.

    Attributes:
        round_bytes: [N, V] bytes dirtied since the last interval that had a sync.
        largest_round_bytes: [N, V] most bytes dirtied between two syncs: what is known of the working set.
        demand_bytes_per_s: [N, V] dirtying in the last interval, by run time.
        peak_demand_bytes_per_s: [N, V] fastest dirtying in any interval.
    """

    def __init__(self, facts: Facts) -> None:
        n, slots = facts.present.shape
        # Side by side, so that those of the migrations that go on are taken out and put back at once.
        self._known: Float32Array = np.zeros((n, 4, slots), dtype=np.float32)
        self.round_bytes, self.largest_round_bytes = self._known[:, 0], self._known[:, 1]
        self.demand_bytes_per_s, self.peak_demand_bytes_per_s = self._known[:, 2], self._known[:, 3]
        self._syncs = np.ones(n)  # the one that setup makes

    def observe(self, running: Running) -> None:
        """Take in one interval; what was dirtied in an interval with a sync counts to the round that ended in it."""
        rows, telemetry = running.rows, running.telemetry
        dirtied = telemetry.per_vcpu(VcpuField.DIRTIED_BYTES)
        dirtied = np.where(np.isnan(dirtied), np.float32(0), dirtied)
        demand = np.divide(dirtied, _run_s(telemetry), out=np.zeros_like(dirtied), where=dirtied > 0)
        known = self._known[rows]
        so_far = known[:, 0] + dirtied
        syncs = telemetry.per_vm(VmField.SYNCS)
        known[:, 0] = np.where((syncs > self._syncs[rows])[:, None], np.float32(0), so_far)
        known[:, 1] = np.maximum(known[:, 1], so_far)
        known[:, 2] = demand
        known[:, 3] = np.maximum(known[:, 3], demand)
        self._known[rows] = known
        self._syncs[rows] = syncs


def _run_s(telemetry: Telemetry) -> Float32Array:
    """[K, V] above 0; the whole interval where a backend cannot measure it."""
    run_s, interval_s = telemetry.per_vcpu(VcpuField.RUN_S), telemetry.per_vm(VmField.INTERVAL_S)[:, None]
    whole = np.where(np.isnan(run_s), interval_s.astype(np.float32), run_s)
    return np.maximum(whole, np.float32(1e-9))


def smallest_within(sizes: Float32Array, bound: FloatArray) -> BoolArray:
    """[N, V] the smallest of ``sizes`` [N, V], as many as together do not exceed ``bound`` [N]; the first of equals."""
    ordered = np.sort(sizes, axis=1)
    together = np.cumsum(ordered, axis=1)
    fitting = (together <= bound[:, None]).sum(axis=1)
    last = sizes.shape[1] - 1
    # The smallest that does not fit any more: all below it do, and of its equals as many as are left.
    too_large = ordered[np.arange(len(sizes)), np.minimum(fitting, last)][:, None]
    below, equal = sizes < too_large, sizes == too_large
    left = fitting - below.sum(axis=1)
    return below | (equal & (np.cumsum(equal, axis=1) <= left[:, None]))


def round_bytes(telemetry: Telemetry) -> FloatArray:
    """[N] what this round sends in all."""
    sent = telemetry.per_vm(VmField.SENT_BYTES) - telemetry.per_vm(VmField.SYNCED_SENT_BYTES)
    return sent + telemetry.per_vm(VmField.REMAINING_BYTES)


def rounds_done(telemetry: Telemetry) -> FloatArray:
    """[N] rounds since the start, the share of this one's bytes that has been sent included."""
    left = telemetry.per_vm(VmField.REMAINING_BYTES) / np.maximum(round_bytes(telemetry), 1.0)
    return telemetry.per_vm(VmField.ROUND) - left
