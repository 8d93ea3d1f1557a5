"""Reports of QEMU's guestperf.

guestperf (``tests/migration-stress/guestperf`` in QEMU, from 2016 on) migrates a guest in which a program writes all
memory in a loop, and writes one JSON file a run. This reader was written from its sources (``report.py``,
``engine.py``, ``progress.py``, ``scenario.py``, ``hardware.py`` of QEMU 2.7 and 10.0). Fields that are needed must be
there; all others may be missing, because QEMU's releases differ in them.

A report has one entry of progress for each round, so what it becomes is as coarse as that.
"""

from __future__ import annotations

from pathlib import Path

from dqgym.documents import read_json
from dqgym.scenario.bounds import DURATION_S, MEMORY_BYTES, MOST_ENTRIES
from dqgym.scenario.dirty_log import LARGEST_RING_ENTRIES
from dqgym.scenario.recordings.formats.json_fields import Fields
from dqgym.scenario.recordings.migration_log import MigrationLog, Reading, dirty_limit_named, ordered
from dqgym.scenario.recordings.qemu_runs import RecordingError
from dqgym.scenario.vm import BASE_PAGE_BYTES
from dqgym.scenario.workload import MAX_VCPUS
from dqgym.units import GIB

STEP_PERCENT = 10.0
"""Where a report does not say its ``auto_converge_step``; the first throttle is QEMU's default of 20 %."""


def read_guestperf(path: Path) -> MigrationLog:
    """Read a report.

    Raises:
        RecordingError: the file is missing, is not JSON, or lacks a field that is needed; the message names it.
    """
    report = Fields(str(path), "", read_json(path, "the report", RecordingError))
    hardware, scenario = report.part("hardware"), report.part("scenario")
    vcpus = int(hardware.number("cpus", least=1, most=MAX_VCPUS))
    written_bytes = hardware.number("mem", most=MEMORY_BYTES.most / GIB) * GIB
    entries = report.items("progress_history")
    if len(entries) < 2:
        raise RecordingError(f"{path}: progress_history: {len(entries)} entries, at least 2 are needed")
    if len(entries) > MOST_ENTRIES:
        raise RecordingError(f"{path}: progress_history: {len(entries):,} entries, at most {MOST_ENTRIES:,} are read")
    last = entries[-1]
    # A cancelled migration has no counters any more in its last entry, and `ordered` drops it.
    readings = ordered([_reading(entry) for entry in entries], f"{path}: progress_history")
    converged = last.text("status") == "completed"
    return MigrationLog(
        name=f"guestperf-{scenario.text('name')}",
        total_bytes=max(entry.part("ram").number("total_bytes") for entry in entries),
        readings=readings,
        converged=converged,
        total_time_s=_time_s(last),
        downtime_s=last.number("downtime", if_missing=0, most=DURATION_S.most) / 1000 if converged else None,
        downtime_limit_s=scenario.number("downtime", most=DURATION_S.most) / 1000,
        most_time_s=scenario.number("max_time", most=DURATION_S.most),
        vcpus=vcpus,
        written_bytes=written_bytes,
        in_a_loop=True,
        ring_entries=int(hardware.number("dirty_ring_size", if_missing=0, most=LARGEST_RING_ENTRIES)),
        throttle=_throttle(scenario),
    )


def _reading(entry: Fields) -> Reading:
    ram = entry.part("ram")
    return Reading(
        time_s=_time_s(entry),
        sent_bytes=ram.number("normal_bytes"),
        zero_bytes=ram.number("duplicate_pages") * BASE_PAGE_BYTES,
        remaining_bytes=ram.number("remaining_bytes"),
        syncs=int(ram.number("iterations")),
        throttle_percent=entry.number("throttle_pcent", if_missing=0, most=99),
    )


def _time_s(entry: Fields) -> float:
    return entry.number("duration", most=DURATION_S.most) / 1000


def _throttle(scenario: Fields) -> str:
    """What was on, as it is named here; ``none`` where the report's scenario turns nothing on."""
    if scenario.yes("dirty_limit"):
        limit = scenario.number("vcpu_dirty_limit", if_missing=1)
        period = scenario.number("x_vcpu_dirty_limit_period", if_missing=1000)
        return dirty_limit_named(limit, period)
    if scenario.yes("auto_converge"):
        return f"auto-converge:increment={scenario.number('auto_converge_step', if_missing=STEP_PERCENT):g}"
    return "none"
