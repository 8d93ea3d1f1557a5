"""Pages are run once a session; the log of what was run is printed after the tests."""

from __future__ import annotations

import pytest

from tests.docs.log import PageRuns, log_line, summary
from tests.docs.runner import Entry

_LOG = pytest.StashKey[list[Entry]]()


@pytest.fixture(scope="session")
def page_runs(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> PageRuns:
    log = pytestconfig.stash.setdefault(_LOG, [])
    return PageRuns(tmp_path_factory.mktemp("pages"), log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if log := config.stash.get(_LOG, []):
        terminalreporter.section("README and docs")
        for entry in log:
            terminalreporter.write_line(log_line(entry))
        terminalreporter.write_line(summary(log))
