"""Proxmox VE's task log of a migration: a line a second, as qemu-server's QemuMigrate.pm writes it.

Newer ones (from 6.3 on) say ``migration active, transferred 1.1 GiB of 4.0 GiB VM-state, 399.1 MiB/s``: neither the
rounds nor what remains, so all that shows of the demand is what was sent beyond the memory. Older ones say
``migration status: active (transferred N, remaining N), total N)`` in bytes. Proxmox turns auto-converge on in all
migrations, and does not log what it does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from dqgym.scenario.recordings.formats.log_lines import NUMBER, SIZE, LogLine, log_lines, size_bytes
from dqgym.scenario.recordings.migration_log import MigrationLog, Reading, ordered
from dqgym.scenario.recordings.qemu_runs import RecordingError
from dqgym.scenario.recordings.qemu_scenario import PAGE_HEADER_BYTES
from dqgym.scenario.vm import BASE_PAGE_BYTES

PERIOD_S = 1.0
"""Between two lines."""
_BEGUN = re.compile(r"start migrate command to ")
_ACTIVE = re.compile(rf"migration active, transferred {SIZE} of {SIZE} VM-state(?:, {SIZE}/s)?")
_OLD = re.compile(r"migration status: active \(transferred (\d{1,18}), remaining (\d{1,18})\), total (\d{1,18})\)")
_LIMIT = re.compile(rf"migration downtime limit: ({NUMBER}) ms")
_GROWN = re.compile(rf"auto-increased downtime to continue migration: ({NUMBER}) ms")
_DOWNTIME = re.compile(rf"(?:average )?migration speed: .*downtime ({NUMBER}) ms")
_ENDED = re.compile(r"migration status(?: error)?: (completed|failed|cancelled)|online migrate failure")


@dataclass
class _Seen:
    """What the lines have said so far."""

    lines: list[tuple[float | None, re.Match[str]]] = field(default_factory=list)
    began_s: float | None = None
    ended_s: float | None = None
    converged: bool | None = None
    downtime_s: float | None = None
    limit_s: float | None = None
    grown_s: float | None = None
    old: bool = False


def read_proxmox(path: Path) -> MigrationLog:
    """Read the last migration of a task log.

    Raises:
        RecordingError: it has none.
    """
    seen = _Seen()
    for line in log_lines(path):
        if _BEGUN.search(line.text):
            seen = _Seen(limit_s=seen.limit_s, began_s=line.clock_s())
        _look(seen, line)
    if len(seen.lines) < 2:
        raise RecordingError(
            f"{path}: {len(seen.lines)} lines 'migration active, transferred ... of ... VM-state';"
            " at least 2 are needed"
        )
    times_s = _times_s(seen)
    readings = _told(times_s, seen) if seen.old else _guessed(times_s, seen)
    return MigrationLog(
        name=f"proxmox-{path.stem}",
        total_bytes=float(seen.lines[0][1][3]) if seen.old else _size(seen.lines[0][1], 3),
        readings=ordered(readings, str(path)),
        converged=seen.converged,
        total_time_s=times_s[-1] if seen.ended_s is None else max(times_s[-1], seen.ended_s - (seen.began_s or 0.0)),
        downtime_s=seen.downtime_s,
        downtime_limit_s=seen.grown_s or seen.limit_s,
        rounds_told=seen.old,
        throttle="auto-converge",
        remarks=_remarks(seen),
    )


def _look(seen: _Seen, line: LogLine) -> None:
    """Take what a line says."""
    text = line.text
    old = _OLD.search(text)
    active = old or _ACTIVE.search(text)
    if active is not None:
        seen.old = old is not None
        seen.lines.append((line.clock_s(), active))
    elif found := _LIMIT.search(text):
        seen.limit_s = float(found[1]) / 1000
    elif found := _GROWN.search(text):
        seen.grown_s = float(found[1]) / 1000
    elif found := _DOWNTIME.search(text):
        seen.downtime_s = float(found[1]) / 1000
    elif (found := _ENDED.search(text)) and seen.lines:
        seen.converged, seen.ended_s = found[1] == "completed", line.clock_s()


def _times_s(seen: _Seen) -> list[float]:
    """Since the start; a line a second where the log has no clock, or one that does not go on."""
    clocks = [clock for clock, _ in seen.lines if clock is not None]
    count = len(seen.lines)
    if len(clocks) < count or any(later <= one for one, later in pairwise(clocks)):
        return [PERIOD_S * (1 + number) for number in range(count)]
    began_s = clocks[0] - PERIOD_S if seen.began_s is None else min(seen.began_s, clocks[0] - PERIOD_S)
    return [clock - began_s for clock in clocks]


def _told(times_s: Sequence[float], seen: _Seen) -> list[Reading]:
    """Of an old log, which says what remains."""
    share = BASE_PAGE_BYTES / (BASE_PAGE_BYTES + PAGE_HEADER_BYTES)
    readings = []
    zero_bytes, before = 0.0, (0.0, float(seen.lines[0][1][3]))
    first = True
    for time_s, (_, line) in zip(times_s, seen.lines, strict=True):
        sent, remaining = float(line[1]) * share, float(line[2])
        # In the first pass what no longer remains, and was not sent, is zero pages.
        first = first and remaining <= before[1]
        if first:
            zero_bytes = max(zero_bytes, float(line[3]) - remaining - sent)
        before = (sent, remaining)
        readings.append(Reading(time_s, sent, zero_bytes, remaining))
    return readings


def _guessed(times_s: Sequence[float], seen: _Seen) -> list[Reading]:
    """Of a new log: the speed counts zero pages, too, so what it says beyond the bytes sent are those."""
    readings, zero_bytes, before_s, sent_before = [], 0.0, 0.0, 0.0
    total = _size(seen.lines[0][1], 3)
    for time_s, (_, line) in zip(times_s, seen.lines, strict=True):
        sent = _size(line, 1)
        if line[5] is not None and sent_before + zero_bytes < total:
            dealt_with = _size(line, 5) * (time_s - before_s)
            zero_bytes = min(zero_bytes + max(0.0, dealt_with - (sent - sent_before)), total - sent)
        readings.append(Reading(time_s, sent, max(zero_bytes, 0.0)))
        before_s, sent_before = time_s, sent
    return readings


def _size(line: re.Match[str], group: int) -> float:
    return size_bytes(line[group], line[group + 1])


def _remarks(seen: _Seen) -> tuple[str, ...]:
    throttled = "Proxmox turns auto-converge on and does not log it: the guest may write more than this says"
    if seen.old:
        return (throttled,)
    return (throttled, "the log tells neither rounds nor what remains: the demand is what was sent more than once")
