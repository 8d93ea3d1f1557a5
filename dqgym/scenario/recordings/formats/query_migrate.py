"""Answers of QEMU's ``query-migrate``, one JSON object a line, as ``dqgym record`` and many scripts write them.

A line is an answer, or QMP's message around it (``{"return": {...}}``). Lines of other commands may stand between them,
with the command's name beside ``return``: ``{"command": "query-migrate-parameters", "return": {...}}``; of those the
parameters, the capabilities and the list of vCPUs are used. Fields as in QEMU's qapi/migration.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dqgym.documents import parse_json
from dqgym.files import read_text
from dqgym.scenario.bounds import DURATION_S, MOST_ENTRIES
from dqgym.scenario.recordings.formats.json_fields import Fields
from dqgym.scenario.recordings.migration_log import MigrationLog, Reading, dirty_limit_named, ordered
from dqgym.scenario.recordings.qemu_runs import RecordingError
from dqgym.scenario.vm import BASE_PAGE_BYTES

COUNTING = ("active", "device", "completed", "pre-switchover", "postcopy-active")
"""States in which an answer has counters."""
ENDED = ("completed", "failed", "cancelled", "cancelling")


def read_query_migrate(path: Path) -> MigrationLog:
    """Read the lines of one migration.

    Raises:
        RecordingError: a line is not JSON or lacks a field; the message has the number of the line.
    """
    answers, said = _lines(path)
    if len(answers) > MOST_ENTRIES:
        raise RecordingError(f"{path}: {len(answers):,} answers, at most {MOST_ENTRIES:,} are read")
    counted = [answer for answer in answers if answer.text("status", "none") in COUNTING and "ram" in answer]
    if len(counted) < 2:
        raise RecordingError(f"{path}: {len(counted)} answers of a migration that is active; at least 2 are needed")
    last, ended = counted[-1], answers[-1].text("status", "none")
    ram = counted[0].part("ram")
    parameters = said.get("query-migrate-parameters")
    limit_ms = None if parameters is None else parameters.number("downtime-limit", if_missing=300)
    return MigrationLog(
        name=path.stem,
        total_bytes=ram.number("total"),
        readings=ordered([_reading(answer) for answer in counted], str(path)),
        converged=ended == "completed" if ended in ENDED else None,
        total_time_s=_time_s(last),
        downtime_s=last.number("downtime", most=DURATION_S.most) / 1000 if "downtime" in last else None,
        downtime_limit_s=None if limit_ms is None else limit_ms / 1000,
        vcpus=_vcpus(said),
        throttle=_throttle(said),
    )


def _reading(answer: Fields) -> Reading:
    ram = answer.part("ram")
    page_bytes = ram.number("page-size", if_missing=BASE_PAGE_BYTES, least=1)
    return Reading(
        time_s=_time_s(answer),
        sent_bytes=ram.number("normal") * page_bytes,
        zero_bytes=ram.number("duplicate", if_missing=0) * page_bytes,
        remaining_bytes=ram.number("remaining"),
        syncs=int(ram.number("dirty-sync-count")),
        throttle_percent=answer.number("cpu-throttle-percentage", if_missing=0, most=99),
    )


def _time_s(answer: Fields) -> float:
    return answer.number("total-time", most=DURATION_S.most) / 1000


def _lines(path: Path) -> tuple[list[Fields], dict[str, Fields]]:
    """The answers of ``query-migrate``, and of every other command the last one."""
    answers, said = [], {}
    for number, line in enumerate(read_text(path, "the log", error=RecordingError).splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        content = parse_json(line, place, RecordingError)
        command = "query-migrate"
        if isinstance(content, Mapping) and "return" in content:
            command = str(content.get("command", command))
            content = content["return"]
        fields = Fields(place, "", {"list": content} if isinstance(content, list) else content)
        if command == "query-migrate":
            answers.append(fields)
        else:
            said[command] = fields
    return answers, said


def _vcpus(said: Mapping[str, Fields]) -> int | None:
    cpus = said.get("query-cpus-fast")
    return None if cpus is None else len(cpus.items("list"))


def _throttle(said: Mapping[str, Fields]) -> str | None:
    """What was on, as it is named here; None where the lines do not have the capabilities."""
    capabilities, parameters = said.get("query-migrate-capabilities"), said.get("query-migrate-parameters")
    if capabilities is None:
        return None
    on = {one.text("capability") for one in capabilities.items("list") if one.yes("state")}
    told: Any = parameters if parameters is not None else Fields("", "", {})
    if "dirty-limit" in on:
        limit, period = told.number("vcpu-dirty-limit", 1), told.number("x-vcpu-dirty-limit-period", 1000)
        return dirty_limit_named(limit, period)
    if "auto-converge" in on:
        initial, step = told.number("cpu-throttle-initial", 20), told.number("cpu-throttle-increment", 10)
        return f"auto-converge:initial={initial:g},increment={step:g},max={told.number('max-cpu-throttle', 99):g}"
    return "none"
