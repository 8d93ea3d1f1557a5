"""All suites. A new list of scenarios is a file and a row here; a new sampler is a row in ``samplers``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dqgym.errors import BadInputError
from dqgym.registered import Registry, by_name
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.suites.cover_letter import COVER_LETTER
from dqgym.scenario.suites.guest_runtime import GUEST_RUNTIME
from dqgym.scenario.suites.kvm_lab import KVM_LAB
from dqgym.scenario.suites.own.files import is_own, own_name, read_own
from dqgym.scenario.suites.samplers import SAMPLERS
from dqgym.scenario.suites.suite import FixedSuite, Suite

_ROWS: tuple[Suite, ...] = (
    COVER_LETTER,
    GUEST_RUNTIME,
    KVM_LAB,
    *SAMPLERS,
)


def own_suite(name: str, found: object, description: str = "") -> Suite:
    """A suite of what others bring: one, its scenarios, or a function that gives either.

    Raises:
        BadInputError: it is none of them, or the function fails.
    """
    if callable(found) and not isinstance(found, Suite):
        try:
            found = found()
        except Exception as error:  # whatever the code of others raises
            raise BadInputError(f"suite {name!r} cannot be made: {type(error).__name__}: {error}") from error
    if isinstance(found, Suite):
        return replace(found, name=name)
    members = tuple(found) if isinstance(found, Iterable) else ()
    if not members or not all(isinstance(one, Scenario) for one in members):
        raise BadInputError(f"suite {name!r} must be a suite, or scenarios, not a {type(found).__name__}")
    return FixedSuite(name, description or f"Scenarios of {name}.", lambda: members)


SUITES: Registry[Suite] = Registry(
    "suite", "suites", "dqgym.suites", by_name(_ROWS), own_suite, beside="; or a file or folder of scenarios"
)
"""All suites by name: those above and those of others."""


def suite_names() -> list[str]:
    """The names that ``get_suite`` knows, fixed suites first, then those of others."""
    return SUITES.names()


def get_suite(name: str) -> Suite:
    """The suite of that name, of ``module:name``, or in a file or folder of the user's (``suites.own``).

    Raises:
        BadInputError: there is none, with the nearest name and all of them; or the file is not valid.
    """
    if is_own(name) and not SUITES.knows(name):
        return read_own(name, reserved=SUITES.names())
    return SUITES.row(name)


def name_of(text: str) -> str:
    """What the suite that a text stands for is called in results; whether there is one is not looked at."""
    return own_name(text) if is_own(text) and not SUITES.knows(text) else text


def describe(name: str) -> str:
    """One line about a suite: its kind and size, and its description."""
    suite = get_suite(name)
    size = f"fixed, {len(suite.members)} scenarios" if isinstance(suite, FixedSuite) else "sampler"
    return f"{suite.name} ({size}): {suite.description}"
