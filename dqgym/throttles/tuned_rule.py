"""``tuned-rule``: the opponent that a learned policy has to beat, a rule of a few numbers tuned on the same migrations.

Where writers saturate their working sets, throttling them from the start saves nothing: they should run free at first
and be held down for the last rounds, and those with small working sets not at all. So the rule lets every vCPU run free
for some rounds; after these, the vCPUs whose working sets are large share a quota that is a fraction of the measured
bandwidth. Equal shares are the optimum for equal preferences: the stall cost -ln r of vCPU i at rate r * l_i makes the
best rates under a common bound all alike (``dqgym.cost``).

``dqgym tune tuned-rule`` finds the numbers for a distribution of migrations, one set for each preference.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from dqgym.telemetry.command import UNLIMITED, Command, free_command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import BoolArray, Facts, Float32Array, FloatArray, Telemetry, VcpuField, VmField
from dqgym.throttles.options import ThrottleOptions


class TunedRuleOptions(ThrottleOptions):
    """The numbers that are tuned.

    Attributes:
        free_rounds: rounds in which every vCPU runs free; a fraction is that share of one more round's bytes.
        quota_fraction: of the measured bandwidth, what the throttled vCPUs may dirty together.
        working_set_threshold: of this round's bytes; the vCPUs with the smallest working sets, by the most that each
            has dirtied in any round so far, run free as long as they do not exceed it together.
        floor: least run share that the limits of a throttled vCPU aim at, by its largest demand so far.
        interval_pass_times: its control interval in units of T0. What policies take is the default: the cost averages
            run shares over control intervals (``dqgym.cost``), so that a longer one forgives more.
    """

    free_rounds: Annotated[float, Field(ge=0, le=20)] = 1.0
    quota_fraction: Annotated[float, Field(gt=0, le=10)] = 0.5
    working_set_threshold: Annotated[float, Field(ge=0, le=1)] = 0.05
    floor: Annotated[float, Field(ge=0, le=1)] = 0.0
    interval_pass_times: Annotated[float, Field(gt=0, le=1)] = 0.04


class TunedRule:
    """The rule for N migrations at a time."""

    def __init__(self, options: TunedRuleOptions | None = None) -> None:
        self.name = "tuned-rule"
        self.options = options or TunedRuleOptions()
        self.control_interval = ControlInterval(least_s=0.0, pass_times=self.options.interval_pass_times)

    def reset(self, facts: Facts) -> None:
        """Start N new migrations."""
        self._facts = facts
        self._free = free_command(facts)
        self._rounds = WorkingSets(facts)

    def act(self, telemetry: Telemetry) -> Command:
        """Free rounds first, then equal shares of the quota for the vCPUs with large working sets."""
        options, rounds = self.options, self._rounds
        rounds.observe(telemetry)
        spared = smallest_within(rounds.largest_round_bytes, options.working_set_threshold * round_bytes(telemetry))
        throttled = self._facts.present & ~spared & (rounds_done(telemetry) >= options.free_rounds)[:, None]
        quota = options.quota_fraction * telemetry.per_vm(VmField.BANDWIDTH_BYTES_PER_S)
        share = quota / np.maximum(throttled.sum(axis=1), 1)
        limit = np.maximum(share[:, None], options.floor * rounds.peak_demand_bytes_per_s)
        limits = np.where(throttled, limit, UNLIMITED).astype(np.float32)
        return replace(self._free, dirty_limit_bytes_per_s=limits)


def smallest_within(sizes: Float32Array, bound: FloatArray) -> BoolArray:
    """[N, V] the smallest of ``sizes`` [N, V], as many as together do not exceed ``bound`` [N]."""
    order = np.argsort(sizes, axis=1, kind="stable")
    together = np.cumsum(np.take_along_axis(sizes, order, axis=1), axis=1)
    within = np.empty(sizes.shape, dtype=bool)
    np.put_along_axis(within, order, together <= bound[:, None], axis=1)
    return within


def round_bytes(telemetry: Telemetry) -> FloatArray:
    """[N] what this round sends in all."""
    sent = telemetry.per_vm(VmField.SENT_BYTES) - telemetry.per_vm(VmField.SYNCED_SENT_BYTES)
    return sent + telemetry.per_vm(VmField.REMAINING_BYTES)


def rounds_done(telemetry: Telemetry) -> FloatArray:
    """[N] rounds since the start, the share of this one's bytes that has been sent included."""
    left = telemetry.per_vm(VmField.REMAINING_BYTES) / np.maximum(round_bytes(telemetry), 1.0)
    return telemetry.per_vm(VmField.ROUND) - left


class WorkingSets:
    """What telemetry has told so far of each vCPU's working set and speed.

    Attributes:
        largest_round_bytes: [N, V] most bytes dirtied between two syncs: what is known of the working set.
        peak_demand_bytes_per_s: [N, V] fastest dirtying in any interval, by run time.
    """

    def __init__(self, facts: Facts) -> None:
        shape = facts.present.shape
        self.largest_round_bytes: Float32Array = np.zeros(shape, dtype=np.float32)
        self.peak_demand_bytes_per_s: Float32Array = np.zeros(shape, dtype=np.float32)
        self._round_bytes: Float32Array = np.zeros(shape, dtype=np.float32)
        self._syncs = np.ones(shape[0])

    def observe(self, telemetry: Telemetry) -> None:
        """Take in one interval; what was dirtied in an interval with a sync counts to the round that ended in it."""
        dirtied = np.nan_to_num(telemetry.per_vcpu(VcpuField.DIRTIED_BYTES))
        run_s = telemetry.per_vcpu(VcpuField.RUN_S)
        self._round_bytes += dirtied
        np.maximum(self.largest_round_bytes, self._round_bytes, out=self.largest_round_bytes)
        demand = np.divide(dirtied, run_s, out=np.zeros_like(dirtied), where=run_s > 0)
        np.maximum(self.peak_demand_bytes_per_s, demand, out=self.peak_demand_bytes_per_s)
        synced: BoolArray = telemetry.per_vm(VmField.SYNCS) > self._syncs
        self._round_bytes[synced] = 0.0
        self._syncs = telemetry.per_vm(VmField.SYNCS).copy()
