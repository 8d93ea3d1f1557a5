"""Pages are run once a session; the log of what was run is printed after the tests (``tests.conftest``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.docs.log import PageRuns
from tests.docs.printing import PAGES, plain

_RUNS = pytest.StashKey[PageRuns]()


@pytest.fixture
def page_runs(
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> Iterator[PageRuns]:
    """The pages of the session; what one test ran is a property of its report, which reaches whoever prints it."""
    if _RUNS not in pytestconfig.stash:
        pytestconfig.stash[_RUNS] = PageRuns(tmp_path_factory.mktemp("pages"))
    runs = pytestconfig.stash[_RUNS]
    yield runs
    record_property(PAGES, plain(runs.take_log()))
