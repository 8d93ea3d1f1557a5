"""The recorder, with a monitor that plays a migration."""

import json

import pytest

from dqgym.qemu.qmp import QmpClosedError, QmpError
from experiments.importing.recorder import Recording, watch


class PlayedMonitor:
    """Answers ``query-migrate`` from a list, and knows the parameters."""

    def __init__(self, *statuses: str | None) -> None:
        self.statuses = list(statuses)
        self.asked: list[str] = []

    def execute(self, command: str):
        self.asked.append(command)
        if command == "query-cpus-fast":
            raise QmpError("query-cpus-fast: CommandNotFound")
        if command != "query-migrate":
            return {"command": command}
        if not self.statuses:
            raise QmpClosedError("gone")
        status = self.statuses.pop(0)
        return {} if status is None else {"status": status, "ram": {}}


def recorded(*statuses: str | None) -> tuple[Recording, PlayedMonitor]:
    recording, monitor = Recording(), PlayedMonitor(*statuses)
    watch(monitor, recording, lambda _: None, 0.1)  # type: ignore[arg-type]
    return recording, monitor


def test_a_migration_is_recorded_from_its_start_to_its_end() -> None:
    recording, monitor = recorded(None, None, "setup", "active", "active", "completed", "completed")
    lines = [json.loads(line) for line in recording.text().splitlines()]
    kept = [line["return"]["status"] for line in lines if line["command"] == "query-migrate"]
    assert kept == ["active", "active", "completed"]
    assert recording.status == "completed"
    assert monitor.statuses == ["completed"]


def test_settings_are_asked_once_and_an_unknown_command_is_passed_over() -> None:
    recording, monitor = recorded(None, "active", "active", "completed")
    commands = [json.loads(line)["command"] for line in recording.lines]
    assert commands.count("query-migrate-parameters") == 1
    assert "query-cpus-fast" not in commands
    assert monitor.asked.count("query-cpus-fast") == 1


def test_a_migration_that_ended_before_is_not_taken_for_the_next() -> None:
    recording, _ = recorded("completed", "completed", "completed", "setup", "active", "failed")
    assert recording.status == "failed"
    assert sum(json.loads(line)["command"] == "query-migrate" for line in recording.lines) == 2


def test_what_was_seen_is_kept_where_qemu_exits() -> None:
    recording, _ = recorded(None, "active", "active")
    assert recording.status == "active"
    assert recording.lines


def test_nothing_but_queries_is_ever_sent() -> None:
    _, monitor = recorded(None, "active", "completed")
    assert all(command.startswith("query-") for command in monitor.asked)


@pytest.mark.parametrize("status", ["none", "setup"])
def test_waiting_writes_nothing(status: str) -> None:
    recording, _ = recorded(None, status, status)
    assert recording.text() == ""
