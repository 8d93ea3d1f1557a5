"""Commands of every kind, at random."""

from __future__ import annotations

import numpy as np

from dqgym.telemetry.command import Command
from dqgym.telemetry.telemetry import Facts


def random_command(rng: np.random.Generator, facts: Facts) -> Command:
    """Free, limited, capped, sleeping and stopped vCPUs, and now and then a guest that is stopped."""
    shape = facts.present.shape
    fair_share = facts.bandwidth_bytes_per_s[:, None] / facts.vcpus[:, None]
    limited, capped, asleep = (rng.random(shape) < chance for chance in (0.7, 0.2, 0.1))
    stopped = rng.random((shape[0], 1)) < 0.2
    limit = np.where(limited, fair_share * 10.0 ** rng.uniform(-3.0, 1.0, shape), np.inf)
    cap = np.where(stopped, 0.0, np.where(capped, rng.choice([0.0, 0.01, 0.5], shape), 1.0))
    return Command(
        dirty_limit_bytes_per_s=limit.astype(np.float32),
        run_share_cap=cap.astype(np.float32),
        ring_sleep_s=np.where(asleep & ~stopped, 0.2, 0.0).astype(np.float32),
        share_unclaimed=rng.random(shape[0]) < 0.5,
        sync=rng.random(shape[0]) < 0.1,
        kicks_wake=rng.random(shape[0]) < 0.2,
        read_rings=rng.random(shape[0]) < 0.1,
    )
