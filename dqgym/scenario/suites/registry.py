"""All suites. A new list of scenarios is a file and a row here; a new sampler is a row in ``samplers``."""

from __future__ import annotations

from dqgym.errors import BadInputError
from dqgym.names import unknown
from dqgym.scenario.suites.cover_letter import COVER_LETTER
from dqgym.scenario.suites.guest_runtime import GUEST_RUNTIME
from dqgym.scenario.suites.kvm_lab import KVM_LAB
from dqgym.scenario.suites.samplers import SAMPLERS
from dqgym.scenario.suites.suite import FixedSuite, Suite

_ROWS: tuple[Suite, ...] = (
    COVER_LETTER,
    GUEST_RUNTIME,
    KVM_LAB,
    *SAMPLERS,
)
_SUITES = {suite.name: suite for suite in _ROWS}


def suite_names() -> list[str]:
    """The names that ``get_suite`` knows, fixed suites first."""
    return list(_SUITES)


def get_suite(name: str) -> Suite:
    """The suite of that name.

    Raises:
        BadInputError: there is none; the message has the nearest name and all of them.
    """
    if name not in _SUITES:
        raise BadInputError(unknown("suite", name, _SUITES, "suites"))
    return _SUITES[name]


def describe(name: str) -> str:
    """One line about a suite: its kind and size, and its description."""
    suite = get_suite(name)
    size = f"fixed, {len(suite.members)} scenarios" if isinstance(suite, FixedSuite) else "sampler"
    return f"{suite.name} ({size}): {suite.description}"
