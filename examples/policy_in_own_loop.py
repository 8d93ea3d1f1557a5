"""The shipped policy in a loop of one's own: telemetry of a hypervisor in, a dirty-rate limit for each vCPU out.

Run it with ``python examples/policy_in_own_loop.py``. ``ToyHypervisor`` stands for yours: two vCPUs write at random and
two only read. What it measures is all that a policy needs. Neither torch nor the command line is used.
"""

import numpy as np

from dqgym.controller.bundle import read_bundle
from dqgym.controller.guard import Guard
from dqgym.controller.shipped import SHIPPED_BUNDLE
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField, first_telemetry
from dqgym.throttles.registry import make_throttle

MEMORY, BANDWIDTH, DOWNTIME_S = 16e9, 1e9, 0.3
STORES = np.array([4e9, 0.5e9, 0.0, 0.0])  # bytes/s of pages that each vCPU stores to: clean ones become dirty


class ToyHypervisor:
    """One migration; between two decisions it lets the guest run under limits and measures."""

    def __init__(self) -> None:
        self.vm = dict.fromkeys(VmField, 0.0) | {VmField.REMAINING_BYTES: MEMORY, VmField.ROUND: 1, VmField.SYNCS: 1}
        self.dirty = 0.0

    def run(self, limits: np.ndarray, seconds: float) -> Telemetry:
        """Send, and dirty within the ``limits`` (bytes/s for each vCPU), for some ``seconds``."""
        vm = self.vm
        wanted = STORES * (1 - (vm[VmField.REMAINING_BYTES] + self.dirty) / MEMORY)
        running = np.minimum(limits / np.maximum(wanted, 1.0), 1.0) * seconds
        self.dirty += (wanted * running).sum()
        vm |= {VmField.INTERVAL_S: seconds, VmField.BANDWIDTH_BYTES_PER_S: BANDWIDTH}
        vm[VmField.TIME_S] += seconds
        vm[VmField.SENT_BYTES] += BANDWIDTH * seconds
        vm[VmField.REMAINING_BYTES] -= BANDWIDTH * seconds
        if vm[VmField.REMAINING_BYTES] <= 0:  # sync: what was dirtied in this round is sent in the next one
            vm |= {VmField.SYNC_TIME_S: vm[VmField.TIME_S], VmField.SYNCED_SENT_BYTES: vm[VmField.SENT_BYTES]}
            vm |= {VmField.ROUND: vm[VmField.ROUND] + 1, VmField.SYNCS: vm[VmField.SYNCS] + 1}
            vm[VmField.SYNCED_DIRTY_BYTES] += self.dirty
            vm[VmField.REMAINING_BYTES], self.dirty = self.dirty, 0.0
        ends = vm[VmField.REMAINING_BYTES] + self.dirty <= BANDWIDTH * DOWNTIME_S  # what is left fits into the downtime
        vcpu = np.full((1, len(VcpuField), 4), np.nan, dtype=np.float32)  # NaN: not measured
        vcpu[0, VcpuField.DIRTIED_BYTES], vcpu[0, VcpuField.RUN_S] = wanted * running, running
        return Telemetry(vcpu, np.array([[vm[field] for field in VmField]]), np.array([ends]))


facts = Facts(
    present=np.ones((1, 4), dtype=bool), ring_bytes=np.array([16 * 2.0**20]),
    memory_bytes=np.array([MEMORY]), bandwidth_bytes_per_s=np.array([BANDWIDTH]),
    downtime_limit_s=np.array([DOWNTIME_S]), deadline_s=np.array([20 * MEMORY / BANDWIDTH]),
)  # fmt: skip
policy = Guard(read_bundle(SHIPPED_BUNDLE).throttle(preference=0.2), fallback=make_throttle("dirty-quota"))
policy.reset(facts)
hypervisor, telemetry = ToyHypervisor(), first_telemetry(facts)
while not telemetry.done.all():
    limits = policy.act(telemetry).dirty_limit_bytes_per_s[0]
    telemetry = hypervisor.run(limits, policy.control_interval.seconds(facts)[0])
    time_s, at_round = telemetry.vm[0, [VmField.TIME_S, VmField.ROUND]]
    print(f"{time_s:5.2f} s, round {at_round:.0f}: MB/s", *(f"{limit / 1e6:.0f}" for limit in limits))
print(f"sent after {time_s / facts.pass_time_s[0]:.2f} T0; takeovers of the guard: {len(policy.takeovers)}")
