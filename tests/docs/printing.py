"""The log on its way from the process that ran the pages to the one that prints it, which may be another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import pytest

from tests.docs.log import log_line, summary
from tests.docs.runner import Entry, Outcome

PAGES = "pages"
"""The property of a test's report that has what it ran."""


def plain(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Entries as numbers and texts, which any process can be sent."""
    return [asdict(entry) | {"outcome": entry.outcome.value} for entry in entries]


def entries_of(reports: Iterable[Any]) -> list[Entry]:
    """What the tests of these reports ran, in their order."""
    logs = [log for report in reports for name, log in getattr(report, "user_properties", ()) if name == PAGES]
    return [Entry(**each | {"outcome": Outcome(each["outcome"])}) for log in logs for each in log]


def print_log(terminal: pytest.TerminalReporter) -> None:
    """A section with a line for each command and block, and how many there were."""
    reports = [report for listed in terminal.stats.values() for report in listed]
    if log := entries_of(report for report in reports if getattr(report, "when", None) == "teardown"):
        terminal.section("README and docs")
        for entry in log:
            terminal.write_line(log_line(entry))
        terminal.write_line(summary(log))
