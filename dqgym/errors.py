"""The errors that are expected: whoever called can mend them, and the message says how.

Every error that dqgym raises on purpose is one of these, or of a subclass that says more. The command line shows them
as one message and an exit code (``experiments/errors.py``). Whatever else is raised is a bug of the project, and keeps
its traceback.
"""

from __future__ import annotations


class DqgymError(Exception):
    """An expected error; the message says what is wrong and what would do."""


class BadInputError(DqgymError, ValueError):
    """Something that was given cannot be used; the message names it, its value and what is allowed."""


class RunFailedError(DqgymError, RuntimeError):
    """The input was good, and the run could not be completed; the message says why."""


class RunInterruptedError(DqgymError):
    """The user stopped a run; the message says how to go on."""
