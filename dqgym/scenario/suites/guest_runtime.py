"""Table B of the cover letter: guest runtime of three mixes of writers and readers.

The letter says that some threads write sequentially while the others read, and nothing else. The virtual machine below
is a choice and no measurement: among those searched, with the model's parameters, it is near the best and has round
numbers. Seven vCPUs, of which 5, 3 and 2 write, each in its own fifth of the memory and at five times the bandwidth.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from dqgym.scenario.link import ConstantLink
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.suites.cover_letter import LETTER_DIRTY_LOG
from dqgym.scenario.suites.suite import FixedSuite
from dqgym.scenario.vm import VirtualMachine, whole_pages
from dqgym.scenario.workload import VcpuGroup

MEMORY_BYTES = 32 * 10**9
BANDWIDTH_BYTES_PER_S = 128 * 2**20
VCPUS = 7
WRITE_RATE_BYTES_PER_S = 5.0 * BANDWIDTH_BYTES_PER_S
"""Of each writer, in every mix."""
WRITERS = {"write-intensive": 5, "read-write-balanced": 3, "read-intensive": 2}
"""Number of vCPUs that write in each mix."""
PART_BYTES = whole_pages(MEMORY_BYTES // 5)
"""Rate of one writer: the same in every mix, so that five of them write all of the memory."""


@dataclass(frozen=True)
class RecordedRuntime:
    """Guest runtime that the letter reports for one mix, in percent."""

    current_percent: float
    dirty_quota_percent: float


@cache
def recorded_runtimes() -> dict[str, RecordedRuntime]:
    """The letter's numbers by scenario name."""
    text = files("dqgym.scenario").joinpath("data/table_b.csv").read_text(encoding="utf-8")
    return {
        cells["mix"]: RecordedRuntime(
            current_percent=float(cells["guest_runtime_current_percent"]),
            dirty_quota_percent=float(cells["guest_runtime_dirty_quota_percent"]),
        )
        for cells in csv.DictReader(text.splitlines())
    }


def mix_scenario(mix: str) -> Scenario:
    """The migration of one mix."""
    writers = VcpuGroup(
        vcpus=WRITERS[mix],
        pattern="sequential",
        working_set_bytes=PART_BYTES,
        write_rate_bytes_per_s=WRITE_RATE_BYTES_PER_S,
    )
    readers = VcpuGroup(vcpus=VCPUS - WRITERS[mix], pattern="read-only")
    return Scenario(
        name=mix,
        vm=VirtualMachine(memory_bytes=MEMORY_BYTES),
        workload=(writers, readers),
        link=ConstantLink(bandwidth_bytes_per_s=BANDWIDTH_BYTES_PER_S),
        dirty_log=LETTER_DIRTY_LOG,
    )


def _build() -> tuple[Scenario, ...]:
    return tuple(mix_scenario(mix) for mix in WRITERS)


GUEST_RUNTIME = FixedSuite(
    name="guest-runtime",
    description="The three mixes of the cover letter's guest-runtime comparison (Table B): 5, 3 and 2 of 7 vCPUs write"
    " sequentially, the others read.",
    build=_build,
)
