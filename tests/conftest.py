"""Settings for all tests, made before any library reads them."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

from tests.groups import group_of, place_of

# More threads than one make small tests slower, and results depend on their number.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Help and error messages are compared as text: no colours, no line breaks that depend on the terminal.
os.environ.update(NO_COLOR="1", COLUMNS="200", TERMINAL_WIDTH="200")
os.environ.pop("FORCE_COLOR", None)
# The same examples in every run: CI does not pass by luck. `--hypothesis-profile=search` looks for new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", derandomize=False, deadline=None, print_blob=True)
hypothesis.settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kvm-repeats", type=int, default=2, metavar="N", help="How often each fault of a real migration is tried."
    )
    parser.addoption(
        "--interrupts", type=int, default=2, metavar="N", help="How often each command is stopped at a random moment."
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``attempt`` is one of ``--kvm-repeats``; the number also serves as a seed."""
    if "attempt" in metafunc.fixturenames:
        metafunc.parametrize("attempt", range(metafunc.config.getoption("--kvm-repeats")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes run the tests (``make test``): those of a group or of a file stay in one of them."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.partition("::")[0])

    return ByGroup(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # of several processes; their tests are given out in this order
        items.sort(key=lambda item: place_of(item.nodeid.partition("::")[0]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    from tests.docs.printing import print_log  # not before the variables above are set

    print_log(terminalreporter)


@pytest.fixture
def heeded_signals() -> Iterator[None]:
    """Signals as in a terminal, wherever the tests run: a background job ignores Ctrl-C, one under nohup SIGHUP."""
    as_usual = {
        signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL
    }  # fmt: skip
    before = {number: signal.signal(number, handler) for number, handler in as_usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
