"""The shipped policy in a loop of one's own: telemetry of a hypervisor in, a dirty-rate limit for each vCPU out.

Run it with ``python examples/policy_in_own_loop.py``. ``ToyHypervisor`` stands for yours: two vCPUs write at random and
two only read. What it counts is all that a policy needs. Neither torch nor the command line is used.
"""

import numpy as np

import dqgym
from dqgym import Facts, Telemetry, VcpuField, VmField

MEMORY, BANDWIDTH, DOWNTIME_S = 16e9, 1e9, 0.3
STORES = np.array([4e9, 0.5e9, 0.0, 0.0])  # bytes/s of pages that each vCPU stores to: clean ones become dirty


class ToyHypervisor:
    """One migration, and what is counted of it."""

    time_s = sent_bytes = sync_time_s = synced_dirty_bytes = synced_sent_bytes = dirty = 0.0
    remaining_bytes, bandwidth, round = MEMORY, BANDWIDTH, 1

    def run(self, limits: np.ndarray, seconds: float) -> None:
        """Send for so many ``seconds``, while each vCPU dirties within its limit in bytes/s."""
        wanted = STORES * (1 - (self.remaining_bytes + self.dirty) / MEMORY)
        self.run_s = np.minimum(limits / np.maximum(wanted, 1.0), 1.0) * seconds
        self.dirtied_bytes = wanted * self.run_s
        self.dirty += self.dirtied_bytes.sum()
        self.interval_s, self.time_s = seconds, self.time_s + seconds
        self.sent_bytes, self.remaining_bytes = BANDWIDTH * self.time_s, self.remaining_bytes - BANDWIDTH * seconds
        if self.remaining_bytes <= 0:  # sync: what was dirtied in this round is sent in the next one
            self.sync_time_s, self.synced_sent_bytes, self.round = self.time_s, self.sent_bytes, self.round + 1
            self.synced_dirty_bytes, self.remaining_bytes = self.synced_dirty_bytes + self.dirty, self.dirty
            self.dirty = 0.0
        self.ended = self.remaining_bytes + self.dirty <= BANDWIDTH * DOWNTIME_S  # that much fits into the downtime


vmm = ToyHypervisor()
facts = Facts(
    present=np.ones((1, 4), dtype=bool), ring_bytes=np.array([16 * 2.0**20]),
    memory_bytes=np.array([MEMORY]), bandwidth_bytes_per_s=np.array([BANDWIDTH]),
    downtime_limit_s=np.array([DOWNTIME_S]), deadline_s=np.array([20 * MEMORY / BANDWIDTH]),
)  # fmt: skip
bundle = dqgym.read_bundle(dqgym.SHIPPED_BUNDLE)
policy = dqgym.Guard(bundle.throttle(preference=0.2), fallback=dqgym.make_throttle("dirty-quota"))
policy.reset(facts)
telemetry = dqgym.first_telemetry(facts)
while not telemetry.done[0]:
    limits = policy.act(telemetry).dirty_limit_bytes_per_s[0]
    vmm.run(limits, policy.control_interval.seconds(facts)[0])
    vm = {
        VmField.INTERVAL_S: vmm.interval_s, VmField.TIME_S: vmm.time_s, VmField.BANDWIDTH_BYTES_PER_S: vmm.bandwidth,
        VmField.SENT_BYTES: vmm.sent_bytes, VmField.REMAINING_BYTES: vmm.remaining_bytes,
        VmField.ROUND: vmm.round, VmField.SYNCS: vmm.round, VmField.SYNC_TIME_S: vmm.sync_time_s,
        VmField.SYNCED_DIRTY_BYTES: vmm.synced_dirty_bytes, VmField.SYNCED_SENT_BYTES: vmm.synced_sent_bytes,
    }  # fmt: skip
    vcpu = np.full((1, len(VcpuField), 4), np.nan, dtype=np.float32)  # NaN: not measured
    vcpu[0, VcpuField.DIRTIED_BYTES], vcpu[0, VcpuField.RUN_S] = vmm.dirtied_bytes, vmm.run_s
    telemetry = Telemetry(vcpu, vm=np.array([[vm.get(field, 0) for field in VmField]]), done=np.array([vmm.ended]))
    print(f"{vmm.time_s:5.2f} s, round {vmm.round}: MB/s", *(f"{limit / 1e6:.0f}" for limit in limits))
print(f"sent after {vmm.time_s / facts.pass_time_s[0]:.2f} T0; takeovers of the guard: {len(policy.takeovers)}")
