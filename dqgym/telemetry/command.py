"""What a throttle asks of a virtual machine monitor, batched over N migrations of V vCPU slots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dqgym.arrays import BoolArray, Float32Array
from dqgym.telemetry.telemetry import Facts

UNLIMITED = np.float32(np.inf)
"""A dirty-rate limit that does not limit."""


@dataclass(frozen=True)
class Command:
    """Per-vCPU limits for the next control interval.

    Attributes:
        dirty_limit_bytes_per_s: float32 [N, V] what each vCPU may dirty; ``UNLIMITED`` for no limit. A backend refills
            the quota every quota interval (10 ms in the reference scheme).
        run_share_cap: float32 [N, V] the share of time in which each vCPU may run, 0 .. 1; 1 is free.
        ring_sleep_s: float32 [N, V] how long a vCPU sleeps whenever its dirty ring is full (QEMU's dirty limit); 0: not
            at all.
        share_unclaimed: [N] quota that a vCPU leaves unclaimed goes to a common pool for the others
            (the reference scheme of dirty quota); otherwise every vCPU keeps strictly to its own limit.
        sync: [N] make one extra dirty-log sync at the start of the interval.
    """

    dirty_limit_bytes_per_s: Float32Array
    run_share_cap: Float32Array
    ring_sleep_s: Float32Array
    share_unclaimed: BoolArray
    sync: BoolArray


def free_command(facts: Facts) -> Command:
    """The command that throttles nothing."""
    shape, n = facts.present.shape, facts.present.shape[0]
    return Command(
        dirty_limit_bytes_per_s=np.full(shape, UNLIMITED, dtype=np.float32),
        run_share_cap=np.ones(shape, dtype=np.float32),
        ring_sleep_s=np.zeros(shape, dtype=np.float32),
        share_unclaimed=np.zeros(n, dtype=bool),
        sync=np.zeros(n, dtype=bool),
    )
