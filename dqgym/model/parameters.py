"""The model's global parameters: one set for every migration, each with its source."""

from __future__ import annotations

from typing import NamedTuple


class ModelParameters(NamedTuple):
    """Constants of the host and of the mechanism; a named tuple so that kernels take it as it is.

    The defaults reproduce the cover letter's Table A ("[v10,0/3] Per-vCPU dirty quota-based throttling", 21 Feb 2024);
    ``dqgym evaluate --suite cover-letter`` prints how well.
    """

    write_bytes_per_s: float = 2.8e9
    """Fastest that one vCPU writes pages that are dirty already. Fitted to Table A."""
    fault_s: float = 0.2e-6
    """Cost of the write fault on a clean page. Fitted to Table A; above 1.5 us its row 13 would converge."""
    exit_bytes_per_s: float = 130e6
    """What one throttled vCPU dirties at most, for the exits of its quota. Fitted to Table A."""
    contention: float = 0.02
    """Growth of the exits' cost with n vCPUs throttled at a time: 1 + contention * n * (n - 1). Fitted to Table A."""
    quota_interval_s: float = 0.01
    """Quotas are refilled this often (the public RFC of the reference scheme)."""
    overshoot_bytes: float = 512 * 4096
    """A vCPU may dirty this much beyond its quota before anyone looks (hardware page-modification log: 512 pages)."""
    least_round_s: float = 0.1
    """No round is shorter: QEMU's rate limit works in windows of 100 ms (BUFFER_DELAY)."""


DEFAULT_PARAMETERS = ModelParameters()
