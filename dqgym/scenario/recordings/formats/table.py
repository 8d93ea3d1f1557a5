"""All formats of logs: a row for each says its name, what writes it, and how it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dqgym.errors import BadInputError
from dqgym.names import unknown
from dqgym.scenario.recordings.formats.cloud_hypervisor import read_cloud_hypervisor
from dqgym.scenario.recordings.formats.guestperf import read_guestperf
from dqgym.scenario.recordings.formats.kubevirt import read_kubevirt
from dqgym.scenario.recordings.formats.proxmox import read_proxmox
from dqgym.scenario.recordings.formats.query_migrate import read_query_migrate
from dqgym.scenario.recordings.migration_log import MigrationLog


@dataclass(frozen=True)
class LogFormat:
    """One format.

    Attributes:
        name: by which it is asked for.
        summary: what writes it.
        read: the log in a file. RecordingError where it cannot be used.
    """

    name: str
    summary: str
    read: Callable[[Path], MigrationLog]


FORMATS = (
    LogFormat("guestperf", "a report of QEMU's guestperf (JSON), from 2016 to today", read_guestperf),
    LogFormat(
        "query-migrate", "answers of QEMU's query-migrate, one a line; `dqgym record` writes it", read_query_migrate
    ),
    LogFormat("proxmox", "Proxmox VE's task log of a migration", read_proxmox),
    LogFormat("cloud-hypervisor", "Cloud Hypervisor's log, a line a round", read_cloud_hypervisor),
    LogFormat("kubevirt", "KubeVirt's virt-launcher log, 'Migration info for ...'", read_kubevirt),
)
"""In the order of the help. The project's own recordings (CSV) tell more than a log: see ``replay``."""


def read_log(name: str, path: Path) -> MigrationLog:
    """The log in a file of that format.

    Raises:
        BadInputError: there is no such format; the message has the nearest.
        RecordingError: the file cannot be used.
    """
    for one in FORMATS:
        if one.name == name:
            return one.read(path)
    raise BadInputError(unknown("format", name, [one.name for one in FORMATS], "formats"))
