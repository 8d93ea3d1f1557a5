"""``current``: the throttle that the cover letter of the dirty-quota patches (v10, 2024) measures as "current logic".

The letter does not print its parameters. Auto-converge with these reproduces its table of migration times, the four
that never finish included, where QEMU's stock parameters are 2.6 to 4 times too slow: an evaluation after every round
(not every second), a step at every hit, the first to 30 percent, then QEMU's tail-slow rule with an increment of 35.
In effect the run share halves with each round. Nothing
is synced between rounds: the letter is older than QEMU's periodic sync.
"""

from __future__ import annotations

from dqgym.throttles.auto_converge import (
    AutoConverge,
    IncrementPercent,
    InitialPercent,
    LadderOptions,
    PeriodicSync,
    TailSlow,
)
from dqgym.throttles.qemu.trigger import HitsPerStep, LeastPeriod


class CurrentOptions(LadderOptions):
    """The ladder with the letter's values as defaults."""

    initial_percent: InitialPercent = 30
    increment_percent: IncrementPercent = 35
    hits_per_step: HitsPerStep = 1
    least_period_s: LeastPeriod = 0.0
    tail_slow: TailSlow = True
    periodic_sync: PeriodicSync = False


def current(options: CurrentOptions | None = None) -> AutoConverge:
    """The letter's baseline."""
    return AutoConverge(options or CurrentOptions(), name="current")
