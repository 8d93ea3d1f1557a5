"""Stop and copy: no vCPU runs until the memory is sent. The shortest migration, and the least guest runtime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dqgym.telemetry.command import Command, free_command
from dqgym.telemetry.interval import BASELINE_INTERVAL, ControlInterval
from dqgym.telemetry.telemetry import Facts, Telemetry


class StopAndCopy:
    """Keeps every vCPU from running at all."""

    def __init__(self) -> None:
        self.name = "stop-and-copy"
        self.control_interval: ControlInterval = BASELINE_INTERVAL

    def reset(self, facts: Facts) -> None:
        """Start N new migrations."""
        self._command = replace(free_command(facts), run_share_cap=np.zeros(facts.present.shape, dtype=np.float32))

    def act(self, telemetry: Telemetry) -> Command:
        """A run-share cap of 0 for every vCPU."""
        return self._command
