"""Reports of QEMU's guestperf, as far as a replay needs them.

guestperf (``tests/migration-stress/guestperf`` in QEMU) migrates a guest in which a program writes all memory, and
writes one JSON file a run. This reader was written from its sources (``report.py``, ``engine.py``, ``progress.py``,
``scenario.py``, ``hardware.py`` of QEMU 10.0), and no report of a real run has been read with it yet. Fields that a
replay needs must be there; all others may be missing, because QEMU's releases differ in them.

A report has one entry of progress for each round, so a replay is as coarse as that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dqgym.documents import read_json
from dqgym.scenario.bounds import DURATION_S, MEMORY_BYTES, MOST_ENTRIES, MOST_NAME_CHARACTERS
from dqgym.scenario.dirty_log import LARGEST_RING_ENTRIES, DirtyLog
from dqgym.scenario.faults import telling
from dqgym.scenario.recordings.qemu_runs import RecordingError
from dqgym.scenario.recordings.qemu_scenario import limits
from dqgym.scenario.recordings.replay import Replay, held, mean_bandwidth_bytes_per_s, scenario_of
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.vm import BASE_PAGE_BYTES, VirtualMachine
from dqgym.scenario.workload import MAX_VCPUS

GIB = 2**30
MOST_COUNT = 2.0**53
"""Of bytes, pages and the like."""
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class GuestperfProgress:
    """The numbers of ``query-migrate`` at the end of a round.

    Attributes:
        status: of the migration.
        time_s: since it began.
        iterations: dirty-log syncs so far.
        sent_bytes: pages sent so far, without zero pages and headers.
        zero_pages: zero pages sent so far.
        total_bytes: the guest's memory.
        dirty_bytes_per_s: found dirty at the last evaluated sync.
        throttle_percent: auto-converge's, 0 where it is off.
        downtime_s: of a migration that completed.
    """

    status: str
    time_s: float
    iterations: int
    sent_bytes: float
    zero_pages: int
    total_bytes: int
    dirty_bytes_per_s: float
    throttle_percent: float
    downtime_s: float


@dataclass(frozen=True)
class GuestperfReport:
    """One migration by guestperf.

    Attributes:
        name: of its scenario.
        cpus: vCPUs; each writes an equal part of the memory.
        written_bytes: what all of them write together (guestperf's ``mem``).
        dirty_ring_entries: 0 for a dirty bitmap.
        downtime_limit_s: QEMU's ``downtime-limit``.
        most_time_s: the run was cancelled when it took longer.
        progress: by round, the last one at the end.
    """

    name: str
    cpus: int
    written_bytes: int
    dirty_ring_entries: int
    downtime_limit_s: float
    most_time_s: float
    progress: tuple[GuestperfProgress, ...]

    @property
    def converged(self) -> bool:
        """It completed."""
        return self.progress[-1].status == "completed"


def read_guestperf(path: Path) -> GuestperfReport:
    """Read a report.

    Raises:
        RecordingError: the file is missing, is not JSON, or lacks a field that a replay needs; the message names it.
    """
    report = _Fields(str(path), "", read_json(path, "the report", RecordingError))
    hardware, scenario = report.part("hardware"), report.part("scenario")
    entries = report.items("progress_history")
    if len(entries) < 2:
        raise RecordingError(f"{path}: progress_history: {len(entries)} entries, at least 2 are needed")
    if len(entries) > MOST_ENTRIES:
        raise RecordingError(f"{path}: progress_history: {len(entries):,} entries, at most {MOST_ENTRIES:,} are read")
    return GuestperfReport(
        name=scenario.text("name"),
        cpus=int(hardware.number("cpus", least=1, most=MAX_VCPUS)),
        written_bytes=round(hardware.number("mem", most=MEMORY_BYTES.most / GIB) * GIB),
        dirty_ring_entries=int(hardware.number("dirty_ring_size", if_missing=0, most=LARGEST_RING_ENTRIES)),
        downtime_limit_s=scenario.number("downtime", most=DURATION_S.most) / 1000,
        most_time_s=scenario.number("max_time", most=DURATION_S.most),
        progress=tuple(_progress(entry) for entry in entries),
    )


def replay_of_report(report: GuestperfReport) -> Replay:
    """The replay of a report: what the vCPUs dirtied and the link carried, round by round; all vCPUs alike.

    A round's dirty pages were found at its end, under the throttle that held since its beginning. They are fewer than
    the stores, because a page that is written twice in a round counts once: the demand is a lower bound.

    Raises:
        RecordingError: nothing was sent.
    """
    rounds = _in_time(report.progress)
    time_s = np.array([0.0, *(entry.time_s for entry in rounds)])
    sent_bytes = np.array([0.0, *(entry.sent_bytes for entry in rounds)])
    throttle = np.array([0.0, *(entry.throttle_percent for entry in rounds[:-1])])
    dirty = np.array([entry.dirty_bytes_per_s for entry in rounds])
    bandwidth = np.diff(sent_bytes) / np.diff(time_s)
    demand = dirty / (1.0 - throttle / 100.0) / report.cpus
    return Replay(
        time_s=time_s[:-1],
        bandwidth_bytes_per_s=held(bandwidth, bandwidth > 0),
        demand_bytes_per_s=np.repeat(held(demand, dirty > 0)[:, None], report.cpus, axis=1),
    )


def replay_report_scenario(report: GuestperfReport) -> Scenario:
    """A report as a scenario: every vCPU writes its part of the memory in a loop, as guestperf's program does.

    Raises:
        RecordingError: nothing was sent, or the scenario is beyond the limits of ``dqgym.scenario.bounds``.
    """
    with telling(f"the report of {report.name[:_SHOWN_CHARACTERS]!r} makes no scenario", RecordingError):
        return _scenario_of_report(report)


def _scenario_of_report(report: GuestperfReport) -> Scenario:
    replay = replay_of_report(report)
    first_rounds = [entry for entry in report.progress if 0 < entry.iterations <= 2] or report.progress[:1]
    # A cancelled migration has no counters any more in its last entry.
    not_zero = max(entry.total_bytes for entry in report.progress) - first_rounds[-1].zero_pages * BASE_PAGE_BYTES
    each_bytes = report.written_bytes // report.cpus // BASE_PAGE_BYTES * BASE_PAGE_BYTES
    memory_bytes = max(not_zero, each_bytes * report.cpus)
    entries = report.dirty_ring_entries
    return scenario_of(
        replay,
        re.sub(r"[^A-Za-z0-9._-]", "-", f"guestperf-{report.name}")[:MOST_NAME_CHARACTERS],
        VirtualMachine(memory_bytes=memory_bytes),
        [each_bytes] * report.cpus,
        others=(),
        limits=limits(report.downtime_limit_s, report.most_time_s * mean_bandwidth_bytes_per_s(replay) / memory_bytes),
        dirty_log=DirtyLog(kind="ring", ring_entries=entries) if entries else DirtyLog(),
        line_speed_bytes_per_s=None,
    )


def _progress(entry: _Fields) -> GuestperfProgress:
    ram = entry.part("ram")
    return GuestperfProgress(
        status=entry.text("status"),
        time_s=entry.number("duration", most=DURATION_S.most) / 1000,
        iterations=int(ram.number("iterations")),
        sent_bytes=ram.number("normal_bytes"),
        zero_pages=int(ram.number("duplicate_pages")),
        total_bytes=int(ram.number("total_bytes")),
        dirty_bytes_per_s=ram.number("dirty_rate_pps") * BASE_PAGE_BYTES,
        throttle_percent=entry.number("throttle_pcent", if_missing=0, most=99),
        downtime_s=entry.number("downtime", if_missing=0, most=DURATION_S.most) / 1000,
    )


def _in_time(progress: tuple[GuestperfProgress, ...]) -> list[GuestperfProgress]:
    """Entries after the start at which time went on; the first one is often at 0."""
    kept: list[GuestperfProgress] = []
    for entry in progress:
        if entry.time_s > (kept[-1].time_s if kept else 0.0):
            kept.append(entry)
    if not kept:
        raise RecordingError("the report's migration has no duration: there is nothing to replay")
    return kept


class _Fields:
    """One mapping of a report; what is read is checked, and an error names the file and the field."""

    def __init__(self, path: str, place: str, content: object) -> None:
        if not isinstance(content, Mapping):
            raise RecordingError(f"{path}: {place or 'the report'} must be a JSON object")
        self._path, self._place, self._content = path, place, content

    def part(self, key: str) -> _Fields:
        return _Fields(self._path, self._at(key), self._get(key))

    def items(self, key: str) -> list[_Fields]:
        values = self._get(key)
        if not isinstance(values, list):
            raise RecordingError(f"{self._path}: {self._at(key)} must be a list")
        return [_Fields(self._path, f"{self._at(key)}[{index}]", value) for index, value in enumerate(values)]

    def text(self, key: str) -> str:
        value = self._get(key)
        if not isinstance(value, str):
            raise RecordingError(f"{self._path}: {self._at(key)}: {repr(value)[:_SHOWN_CHARACTERS]} is not text")
        return value

    def number(self, key: str, if_missing: float | None = None, least: float = 0.0, most: float = MOST_COUNT) -> float:
        if if_missing is not None and self._content.get(key) is None:
            return if_missing
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            shown = repr(value)[:_SHOWN_CHARACTERS]
            raise RecordingError(f"{self._path}: {self._at(key)}: {shown} is not a number from {least:g} to {most:g}")
        return float(value)

    def _get(self, key: str) -> Any:
        if key not in self._content:
            raise RecordingError(f"{self._path}: {self._at(key)}: missing")
        return self._content[key]

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key
