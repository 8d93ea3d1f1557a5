"""KubeVirt's log of the source's virt-launcher: a line ``Migration info for UID: ...`` every two seconds.

The fields are those of libvirt's job, as ``logMigrationInfo`` writes them (KubeVirt from 0.54 on,
pkg/virt-launcher/virtwrap/live-migration-source.go). The log may be plain or one JSON object a line. Sizes are whole
MiB; pages are exact. Of several migrations in one log the last is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dqgym.scenario.recordings.formats.log_lines import LogLine, log_lines, number_in
from dqgym.scenario.recordings.migration_log import MigrationLog, Reading, ordered
from dqgym.scenario.recordings.qemu_runs import RecordingError
from dqgym.scenario.vm import BASE_PAGE_BYTES
from dqgym.units import MIB

_INFO = re.compile(r"Migration info for ([\w-]{1,64}): (TimeElapsed:[^\"\\]+)")
_FIELD = re.compile(r"(\w+):(-?\d{1,18})")
_COMPLETED = re.compile(r"Migration has been completed|Live migration succeeded")
_FAILED = re.compile(
    r"Migration job failed|Migration was canceled|Live migration (?:is not progressing|aborted|failed)"
)


def read_kubevirt(path: Path) -> MigrationLog:
    """Read the last migration of a log.

    Raises:
        RecordingError: it has none, or a line lacks a field; the message has its number.
    """
    lines = list(log_lines(path))
    infos = list(_infos(path, lines))
    if not infos:
        raise RecordingError(f"{path}: no line 'Migration info for ...: TimeElapsed:...', which KubeVirt's source logs")
    uid = infos[-1][0]
    fields = [one for name, one in infos if name == uid]
    last = fields[-1]
    text = "\n".join(line.text for line in lines)
    converged = True if _COMPLETED.search(text) or "Downtime" in last else False if _FAILED.search(text) else None
    return MigrationLog(
        name=f"kubevirt-{path.stem}",
        total_bytes=last["MemoryTotal"] * MIB,
        readings=ordered([_reading(one) for one in fields], str(path)),
        converged=converged,
        total_time_s=last["TimeElapsed"] / 1000,
        downtime_s=last["Downtime"] / 1000 if "Downtime" in last else None,
        remarks=("KubeVirt does not log the throttle: a guest that was slowed down writes more than this says",),
    )


NEEDED = ("TimeElapsed", "MemoryRemaining", "MemoryTotal", "Iteration", "ConstantPages", "NormalPages")


def _infos(path: Path, lines: list[LogLine]) -> Iterator[tuple[str, dict[str, float]]]:
    for line in lines:
        found = _INFO.search(line.text)
        if found is None:
            continue
        place = f"{path}, line {line.number}"
        fields = {name: number_in(value, place, name) for name, value in _FIELD.findall(found[2])}
        missing = [name for name in NEEDED if name not in fields]
        if missing:
            raise RecordingError(f"{place}: missing: {', '.join(missing)}")
        yield found[1], fields


def _reading(fields: dict[str, float]) -> Reading:
    return Reading(
        time_s=fields["TimeElapsed"] / 1000,
        sent_bytes=fields["NormalPages"] * BASE_PAGE_BYTES,
        zero_bytes=fields["ConstantPages"] * BASE_PAGE_BYTES,
        remaining_bytes=fields["MemoryRemaining"] * MIB,
        syncs=int(fields["Iteration"]),
    )
