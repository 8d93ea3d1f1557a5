"""Cloud Hypervisor's log of a migration: a line ``Precopy: iter=... curr=... elapsed=...`` for each round.

As vmm/src/lib.rs writes it at debug level (from 2026 on). A round's line comes at its end, and says how much was sent
in it: what the round before had found. The guest is stopped for the last round, whose line says ``Downtime`` or
``Migration completed``.
"""

from __future__ import annotations

import re
from pathlib import Path

from dqgym.scenario.recordings.formats.log_lines import log_lines, number_in
from dqgym.scenario.recordings.migration_log import MigrationLog, Reading, ordered
from dqgym.scenario.recordings.qemu_runs import RecordingError
from dqgym.units import MIB

_ROUND = re.compile(r"Precopy: (iter=\d{1,9} .*)")
_FIELD = re.compile(r"(\w+)=([\d.]{1,20})(MiB/s|MiB|ms|s)?(?=\s|$)")
_NEEDED = {"iter": "", "total": "MiB", "curr": "MiB", "elapsed": "s"}
_ENDED = re.compile(
    r"Migration completed after ([\d.]{1,12})s with a downtime of (\d{1,9})ms(?: \(goal was (\d{1,9})ms)?"
)


def read_cloud_hypervisor(path: Path) -> MigrationLog:
    """Read the last migration of a log.

    Raises:
        RecordingError: it has none, or a line lacks a field; the message has its number.
    """
    rounds: list[dict[str, float]] = []
    end: re.Match[str] | None = None
    for line in log_lines(path):
        found = _ROUND.search(line.text)
        if found is not None:
            fields = _fields(found[1], f"{path}, line {line.number}")
            if fields["iter"] == 0:
                rounds, end = [], None
            rounds.append(fields)
        end = _ENDED.search(line.text) or end
    if len(rounds) < 2:
        raise RecordingError(f"{path}: {len(rounds)} lines 'Precopy: iter=...'; at least 2 rounds are needed")
    return MigrationLog(
        name=f"cloud-hypervisor-{path.stem}",
        total_bytes=rounds[0]["curr"] * MIB,
        readings=ordered(_readings(rounds), str(path)),
        converged=None if end is None else True,
        total_time_s=rounds[-1]["elapsed"] if end is None else float(end[1]),
        downtime_s=None if end is None else float(end[2]) / 1000,
        downtime_limit_s=None if end is None or end[3] is None else float(end[3]) / 1000,
        throttle="none",
        remarks=("Cloud Hypervisor counts no zero pages: all of the memory was sent",),
    )


def _readings(rounds: list[dict[str, float]]) -> list[Reading]:
    """One at the start of each round, when its sync has said what it has to send, and one at the end of the last."""
    starts_s = [0.0, *(one["elapsed"] for one in rounds)]
    sent_mib = [0.0, *(one["total"] for one in rounds)]
    found_mib = [*(one["curr"] for one in rounds), None]
    return [
        Reading(start_s, sent * MIB, remaining_bytes=None if found is None else found * MIB, syncs=number)
        for number, (start_s, sent, found) in enumerate(zip(starts_s, sent_mib, found_mib, strict=True), start=1)
    ]


def _fields(text: str, place: str) -> dict[str, float]:
    found = {name: (value, unit) for name, value, unit in _FIELD.findall(text)}
    for name, unit in _NEEDED.items():
        if name not in found:
            raise RecordingError(f"{place}: {name}=: missing")
        if found[name][1] != unit:
            raise RecordingError(f"{place}: {name}={''.join(found[name])}: must be a number of {unit or 'the round'}")
    return {name: number_in(found[name][0], place, name) for name in _NEEDED}
