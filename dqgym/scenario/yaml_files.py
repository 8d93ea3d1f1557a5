"""Scenarios on disk: YAML in which every dimensional value is text with a unit.

``scenario_from_yaml(scenario_to_yaml(s)) == s`` for every scenario. Recordings may lie in CSV files, whose names are
relative to the YAML file and whose first line names their columns, ``time_s`` and others:

* A link of kind ``trace`` may have ``file: trace.csv`` in place of ``times`` and ``bandwidths``; they are in the column
  ``bandwidth_bytes_per_s``.
* A schedule of kind ``recorded`` may have ``file: trace.csv`` and ``column: vcpu0_bytes_per_s`` in place of ``times``
  and ``rate_factors``. The column holds what a vCPU demands, so its group has no ``write_rate``: that is the highest
  value.

Either is written back as lists, so that a scenario never depends on a second file once it is read. Likewise ``host``
may be a name or a file in place of a host's fields (``dqgym.scenario.hosts.host_files``).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from dqgym.documents import MOST_YAML_BYTES, parse_yaml
from dqgym.errors import BadInputError
from dqgym.files import read_text, write_text
from dqgym.scenario.bounds import MOST_ENTRIES
from dqgym.scenario.faults import described
from dqgym.scenario.hosts.host import Host
from dqgym.scenario.hosts.host_files import find_host
from dqgym.scenario.record import FROM_FILE
from dqgym.scenario.scenario import Scenario

TIME_COLUMN = "time_s"
BANDWIDTH_COLUMN = "bandwidth_bytes_per_s"
SUITE_KEYS = ("scenarios", "sampler")
"""Of a file with several scenarios (``dqgym.scenario.suites.own``)."""
_SHOWN_CHARACTERS = 200


class ScenarioError(BadInputError):
    """A scenario file cannot be used; one line for each fault, with the field, the value and what is allowed."""


def load_scenario(path: str | Path) -> Scenario:
    """Read a scenario.

    Raises:
        ScenarioError: the file is missing, is not YAML, or does not describe a valid scenario.
    """
    text = read_text(path, "scenario", MOST_YAML_BYTES, ScenarioError)
    return scenario_from_yaml(text, source=str(path), folder=Path(path).parent)


def save_scenario(scenario: Scenario, path: str | Path) -> None:
    """Write a scenario; the file is complete or, where writing fails, as it was before."""
    write_text(Path(path), scenario_to_yaml(scenario))


def scenario_to_yaml(scenario: Scenario) -> str:
    """The scenario as YAML text, with units."""
    return yaml.safe_dump(scenario_to_content(scenario), sort_keys=False, allow_unicode=True)


def scenario_to_content(scenario: Scenario) -> dict[str, Any]:
    """The content of a scenario's YAML file."""
    return scenario.model_dump(mode="json", by_alias=True, exclude_none=True)


def host_to_content(host: Host) -> dict[str, Any]:
    """The content of a host's YAML file."""
    return host.model_dump(mode="json", by_alias=True, exclude_none=True)


def scenario_from_yaml(text: str, source: str = "scenario", folder: Path | None = None) -> Scenario:
    """The scenario that a YAML text describes.

    Args:
        text: the YAML.
        source: how errors call it.
        folder: where the CSV files of recordings lie; the current folder where None.

    Raises:
        ScenarioError: as ``load_scenario``.
    """
    return scenario_from_content(parse_yaml(text, source, ScenarioError), source, folder)


def scenario_from_content(content: object, source: str = "scenario", folder: Path | None = None) -> Scenario:
    """The scenario that the content of a YAML file describes; see ``scenario_from_yaml``."""
    if not isinstance(content, dict):
        raise ScenarioError(f"{source}: must be a mapping with the keys {', '.join(Scenario.model_fields)}")
    for key in SUITE_KEYS:
        if key in content:
            raise ScenarioError(f"{source}: a suite, not a scenario: it has {key!r}")
    content = _with_recordings_read(content, source, folder or Path())
    try:
        return Scenario.model_validate(content, context=FROM_FILE)
    except ValidationError as error:
        raise ScenarioError("\n".join(f"{source}: {line}" for line in described(error))) from error


def _with_recordings_read(content: dict[str, Any], source: str, folder: Path) -> dict[str, Any]:
    """The content with every ``file`` of a recording replaced by the lists that it holds."""
    read = dict(content)
    if isinstance(content.get("host"), str):
        read["host"] = host_to_content(find_host(content["host"], folder))
    if _names_a_file(content.get("link"), "trace"):
        read["link"] = _link_read(content["link"], f"{source}: link", folder)
    if isinstance(content.get("workload"), list):
        read["workload"] = [
            _group_read(group, f"{source}: workload[{index}]", folder)
            if isinstance(group, Mapping) and _names_a_file(group.get("schedule"), "recorded")
            else group
            for index, group in enumerate(content["workload"])
        ]
    return read


def _names_a_file(part: object, kind: str) -> bool:
    return isinstance(part, Mapping) and part.get("kind") == kind and "file" in part


def _link_read(link: Mapping[str, Any], place: str, folder: Path) -> dict[str, Any]:
    _forbid(link, ("times", "bandwidths"), place)
    _, times, bandwidths = _read_recording(link, place, folder, BANDWIDTH_COLUMN)
    others = {key: value for key, value in link.items() if key != "file"}
    return {**others, "times": [f"{time} s" for time in times], "bandwidths": [f"{value} B/s" for value in bandwidths]}


def _group_read(group: Mapping[str, Any], place: str, folder: Path) -> dict[str, Any]:
    """A group of vCPUs with its schedule read; the write rate is the highest of the recording."""
    schedule = group["schedule"]
    _forbid(schedule, ("times", "rate_factors"), f"{place}.schedule")
    if "write_rate" in group:
        raise ScenarioError(f"{place}.write_rate: {group['write_rate']!r}: leave it out, the schedule's file says it")
    column = schedule.get("column")
    if not isinstance(column, str):
        raise ScenarioError(f"{place}.schedule.column: {column!r} is not the name of a column of {schedule['file']!r}")
    path, times, rates = _read_recording(schedule, f"{place}.schedule", folder, column)
    rates_bytes_per_s = [_rate(rate, path, column) for rate in rates]
    highest = max(rates_bytes_per_s, default=0.0)
    if highest == 0:
        raise ScenarioError(f"{path}, column {column!r}: nothing above 0; a vCPU that does not write is 'read-only'")
    others = {key: value for key, value in schedule.items() if key not in ("file", "column")}
    factors = [rate / highest for rate in rates_bytes_per_s]  # 1 at most
    read = {**others, "times": [f"{time} s" for time in times], "rate_factors": factors}
    return {**group, "write_rate": f"{highest!r} B/s", "schedule": read}


def _forbid(part: Mapping[str, Any], keys: tuple[str, str], place: str) -> None:
    if any(key in part for key in keys):
        raise ScenarioError(f"{place}: give either 'file' or {keys[0]!r} and {keys[1]!r}, not both")


def _rate(text: str, path: Path, column: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not (math.isfinite(rate) and rate >= 0):
        shown = repr(text[:_SHOWN_CHARACTERS])
        raise ScenarioError(f"{path}, column {column!r}: {shown} is not a number of bytes per second from 0")
    return rate


def _read_recording(
    part: Mapping[str, Any], place: str, folder: Path, column: str
) -> tuple[Path, list[str], list[str]]:
    """The file that a part of the scenario names, its times, and the values of one of its columns, all as text."""
    if not isinstance(part["file"], str):
        raise ScenarioError(f"{place}.file: {part['file']!r} is not a file name")
    path = folder / part["file"]
    lines = read_text(path, "the recording", error=ScenarioError).splitlines()
    try:
        header, *rows = csv.reader(lines) if lines else [[]]
    except csv.Error as error:
        raise ScenarioError(f"cannot read the recording {path}: not CSV: {error}") from error
    if len(rows) > MOST_ENTRIES:
        raise ScenarioError(f"{path}: {len(rows):,} rows, at most {MOST_ENTRIES:,} are read")
    if TIME_COLUMN not in header or column not in header:
        raise ScenarioError(
            f"{path}: the first line must have the columns {TIME_COLUMN!r} and {column!r}, not"
            f" {','.join(header)[:_SHOWN_CHARACTERS]!r}"
        )
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ScenarioError(f"{path}, line {number}: {len(row)} values, not {len(header)}")
    time, value = header.index(TIME_COLUMN), header.index(column)
    return path, [row[time] for row in rows], [row[value] for row in rows]
