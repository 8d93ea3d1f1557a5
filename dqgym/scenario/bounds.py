"""The limits of a scenario: what the model, its 32-bit rows and its clock are good for, and then some.

Within them every migration ends, with finite numbers, after a bounded amount of work: a baseline decides at most
``DEADLINE_PASS_TIMES.most`` / 0.001 times, a round takes at least a send window (0.1 s), and the link changes at most
``MOST_LINK_CHANGES`` times. Beyond them a scenario is an error that names the field, the value and the limit. All of
them are far from anything that is migrated: the least and most are there for typing errors and damaged files.
"""

from __future__ import annotations

from dataclasses import dataclass

from dqgym.errors import BadInputError


@dataclass(frozen=True)
class Bounds:
    """The least and the most of a quantity, both included.

    Attributes:
        least: in base units.
        most: in base units.
        allowed: the same as text with units, for messages.
        or_zero: 0 is allowed as well.
    """

    least: float
    most: float
    allowed: str
    or_zero: bool = False

    def check(self, value: float) -> float:
        """The value; BadInputError where it is not within the bounds."""
        if not (self.least <= value <= self.most or (self.or_zero and value == 0)):
            raise BadInputError(f"must be {self.allowed}")
        return value


MEMORY_BYTES = Bounds(4096, 2**50, "from 4 KiB to 1 PiB")
"""Memory with contents; at least a page of the scenario's size."""
SIZE_BYTES = Bounds(0, 2**50, "from 0 B to 1 PiB")
"""Any other size."""
CLEAR_CHUNK_BYTES = Bounds(4096, 2**50, "from 4 KiB to 1 PiB")
"""Memory whose dirty log is cleared at once."""
BANDWIDTH_BYTES_PER_S = Bounds(1.0, 1e15, "from 1 B/s to 1 PB/s")
"""Every level of a link, and its line speed."""
WRITE_RATE_BYTES_PER_S = Bounds(1e-3, 1e15, "0 B/s, or from 0.001 B/s to 1 PB/s", or_zero=True)
"""Of a vCPU, at the highest factor of its schedule, and of the devices."""
DURATION_S = Bounds(1e-9, 1e9, "from 1 ns to 1e9 s")
"""Downtime, periods, hold and correlation times, and what lies between two times of a table."""
INSTANT_S = Bounds(0.0, 1e9, "from 0 s to 1e9 s")
"""Times of a table."""
PASS_TIME_S = Bounds(1e-6, 1e7, "from 1 us to 1e7 s")
"""T0 = memory / nominal bandwidth."""
DEADLINE_PASS_TIMES = Bounds(1.0, 1000.0, "above 1 and at most 1000")
"""The deadline in T0."""
LEAST_DEADLINE_PASS_S = 0.1
"""A pass counts as so much for the deadline: a sender that works in windows of 0.1 s cannot be faster."""
DEADLINE_S = Bounds(1e-3, 1e7, "from 1 ms to 1e7 s")
"""The deadline in seconds, or in seconds for each GiB."""
MOST_DEADLINE_S = 1e7
"""The deadline in seconds: 116 days."""
DEADLINE_ALWAYS_ALLOWED_S = 86400.0
"""A deadline in seconds, or per GiB, may be longer than ``DEADLINE_PASS_TIMES.most`` T0 up to here: a baseline decides
ten times a second at most."""
MOST_GROWTH_STEPS = 1000
"""Of a downtime limit."""
MOST_ROUNDS = 10**9
"""The largest ``max_rounds``."""
MOST_ENTRIES = 100_000
"""Times of one table (a link's or a schedule's)."""
MOST_LINK_CHANGES = 10_000_000
"""Changes of the bandwidth until the deadline, on average where it is random."""
HOT_FRACTION = Bounds(1e-6, 1.0 - 1e-6, "from 0.000001 to 0.999999")
"""Of a working set."""
ZIPF_SKEW = Bounds(0.01, 3.0, "from 0.01 to 3")
MOST_NAME_CHARACTERS = 100
