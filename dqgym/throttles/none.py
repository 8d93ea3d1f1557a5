"""No throttle: the migration converges only if the workload is slower than the link."""

from __future__ import annotations

from dqgym.telemetry.command import Command, free_command
from dqgym.telemetry.interval import BASELINE_INTERVAL, ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry


class NoThrottle:
    """Lets every vCPU run free."""

    def __init__(self) -> None:
        self.name = "none"
        self.control_interval: ControlInterval = BASELINE_INTERVAL

    def reset(self, facts: Facts) -> None:
        """Start N new migrations."""
        self._command = free_command(facts)

    def act(self, telemetry: Telemetry) -> Command:
        """Always the free command."""
        return self._command
