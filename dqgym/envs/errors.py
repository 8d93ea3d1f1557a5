"""The errors of an environment: the project's, which are Gymnasium's own where it has one."""

from __future__ import annotations

from collections.abc import Iterable

from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded

from dqgym.errors import BadInputError, DqgymError
from dqgym.names import unknown


class UnknownArgumentError(BadInputError, TypeError):
    """An environment was made with an argument that it does not have; the message has the nearest one."""


class BadActionError(BadInputError, InvalidAction):
    """An action that cannot be carried out; the message says whose it is."""


class ResetNeededError(DqgymError, ResetNeeded, RuntimeError):
    """A call that needs a running migration, and there is none: ``reset`` begins one."""


class EnvironmentClosedError(DqgymError, ClosedEnvironmentError, RuntimeError):
    """A call on an environment that was closed."""


def refuse_unknown(
    what: str, names: Iterable[str], known: Iterable[str], error: type[BadInputError] = BadInputError
) -> None:
    """Raise an error where a name is not a known one; ``what`` is how messages call it."""
    known = list(known)
    for name in names:
        if name not in known:
            raise error(unknown(what, name, known))
