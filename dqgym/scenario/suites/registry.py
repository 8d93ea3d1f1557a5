"""All suites. A new list of scenarios is a file and a row here; a new sampler is a row in ``samplers``."""

from __future__ import annotations

from dqgym.errors import BadInputError
from dqgym.names import unknown
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
_SUITES = {suite.name: suite for suite in _ROWS}


def suite_names() -> list[str]:
    """The names that ``get_suite`` knows, fixed suites first."""
    return list(_SUITES)


def get_suite(name: str) -> Suite:
    """The suite of that name, or the one in a file or folder of the user's (``dqgym.scenario.suites.own``).

    Raises:
        BadInputError: there is none, with the nearest name and all of them; or the file is not valid.
    """
    if name in _SUITES:
        return _SUITES[name]
    if is_own(name):
        return read_own(name, reserved=_SUITES)
    raise BadInputError(f"{unknown('suite', name, _SUITES, 'suites')}; or a file or folder of scenarios")


def name_of(text: str) -> str:
    """What the suite that a text stands for is called in results; whether there is one is not looked at."""
    return own_name(text) if text not in _SUITES and is_own(text) else text


def describe(name: str) -> str:
    """One line about a suite: its kind and size, and its description."""
    suite = get_suite(name)
    size = f"fixed, {len(suite.members)} scenarios" if isinstance(suite, FixedSuite) else "sampler"
    return f"{suite.name} ({size}): {suite.description}"
