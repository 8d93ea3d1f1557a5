"""A throttle of one's own, compared with three that come with dqgym on the same migrations.

Run it with ``python examples/own_throttle.py``. A throttle is any class with these two attributes and two methods; it
decides for N migrations of V vCPU slots at a time.
"""

from dataclasses import replace

import numpy as np

from dqgym.backends.registry import make_backend
from dqgym.controller.run import run_all
from dqgym.scenario.suites.registry import get_suite
from dqgym.telemetry.command import Command, free_command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry, VmField
from dqgym.throttles.base import Throttle
from dqgym.throttles.registry import make_throttle


class FreeFirstPass:
    """No limit while all memory is sent for the first time; then the vCPUs share a part of the measured bandwidth."""

    def __init__(self, share: float) -> None:
        self.name = "free-first-pass"
        self.control_interval = ControlInterval.parse("0.04 T0")
        self._share = share

    def reset(self, facts: Facts) -> None:
        """Begin N new migrations."""
        self._facts = facts

    def act(self, telemetry: Telemetry) -> Command:
        """The limits for the next control interval, from what was measured in the last one."""
        limit = self._share * telemetry.per_vm(VmField.BANDWIDTH_BYTES_PER_S) / self._facts.vcpus
        limit = np.where(telemetry.per_vm(VmField.ROUND) > 1, limit, np.inf)
        return replace(
            free_command(self._facts),
            dirty_limit_bytes_per_s=np.repeat(limit[:, None], self._facts.present.shape[1], axis=1).astype(np.float32),
            share_unclaimed=np.ones(len(limit), dtype=bool),  # what readers leave over goes to the writers
        )


scenarios = get_suite("phases").scenarios(100, seed=1)
seeds = range(len(scenarios))
backend = make_backend("model")
throttles: list[Throttle] = [make_throttle(name) for name in ("none", "auto-converge", "dirty-quota")]
print(f"{'throttle':16} {'converged':>9}  {'T / T0':>6}  {'guest runtime':>13}")
for throttle in [*throttles, FreeFirstPass(share=0.3)]:
    outcomes = run_all(backend, scenarios, throttle, seeds).outcomes
    converged, runtime = outcomes.converged.mean(), outcomes.guest_runtime.mean()
    print(f"{throttle.name:16} {converged:9.0%}  {outcomes.time_over_t0.mean():6.2f}  {runtime:13.1%}")
backend.close()
