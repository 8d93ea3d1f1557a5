"""What a command raises and how it is shown: one clear message for what a user can mend, an exit code that says which.

Anything else is a bug of the project and keeps its traceback.
"""

from __future__ import annotations

import re
from enum import IntEnum

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    """The input was good, the run failed."""
    BAD_INPUT = 2
    """Wrong usage, a bad config or scenario, an unknown name, a missing file."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C (128 + SIGINT)."""


class BadInputError(ValueError):
    """The user gave something that cannot be used; the message says what and what would do."""


class RunFailedError(RuntimeError):
    """A run with good input could not be completed; the message says why."""


class RunInterruptedError(Exception):
    """A run was stopped by the user; the message says how to go on."""


RUN_FAILURES = (
    "dqgym.backends.kvm.backend.MigrationFailedError",
    "dqgym.backends.kvm.machine.MachineFailedError",
    "dqgym.backends.kvm.probe.KvmUnavailableError",
    "dqgym.backends.kvm.proof.ProofFailedError",
)
"""Errors of the package that mean the same as ``RunFailedError``; names, as ``dqgym --help`` imports none of it."""


def exit_code(error: BaseException) -> ExitCode | None:
    """The exit code for an error that is shown as a message; None for one that is not expected."""
    if is_interruption(error):
        return ExitCode.INTERRUPTED
    match error:
        case BrokenPipeError():
            return None
        case ValueError() | OSError():
            return ExitCode.BAD_INPUT
        case RunFailedError():
            return ExitCode.FAILED
        case RuntimeError() if any(_full_name(kind) in RUN_FAILURES for kind in type(error).__mro__):
            return ExitCode.FAILED
        case _:
            return None


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def is_interruption(error: BaseException) -> bool:
    """Whether the user stopped the run; libraries that are interrupted may raise something else as they wind up."""
    if isinstance(error, KeyboardInterrupt | RunInterruptedError):
        return True
    earlier = error.__cause__ or error.__context__
    return earlier is not None and is_interruption(earlier)


def message(error: BaseException) -> str:
    """What to tell the user about an expected error."""
    match error:
        case RunInterruptedError():
            return str(error)
        case _ if is_interruption(error):
            return "interrupted"
        case ValidationError():
            return "\n".join(f"{error.title}: {line}" for line in describe_validation_error(error))
        case OSError() if error.filename is not None:
            return f"{error.filename}: {error.strerror}"
        case _:
            return str(error) or type(error).__name__


def describe_validation_error(error: ValidationError, content: object = None) -> list[str]:
    """One line for each mistake: the dotted path of the field, the value, and what is wrong.

    Args:
        error: what pydantic raised.
        content: what was validated; with it, paths are those of the file (pydantic's own also name union members).
    """
    return [_describe(detail, content) for detail in error.errors(include_url=False)]


def _describe(detail: ErrorDetails, content: object) -> str:
    path = ".".join(_written_path(detail["loc"], content))
    if detail["type"] == "missing":
        return f"{path}: missing"
    if detail["type"] == "union_tag_invalid":
        from dqgym.names import did_you_mean  # `dqgym --help` needs this module, but nothing of the package

        tag, known = str(detail["ctx"]["tag"]), re.findall(r"'([^']+)'", detail["ctx"]["expected_tags"])
        return f"{path}.kind: {tag!r} is unknown{did_you_mean(tag, known)}; allowed: {', '.join(known)}"
    said = detail["msg"]
    text = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else said[:1].lower() + said[1:]
    value = detail["input"]
    shown = "" if isinstance(value, dict | BaseModel) else f"{value!r}: "
    return f"{path}: {shown}{text}" if path else text


def _written_path(location: tuple[int | str, ...], content: object) -> list[str]:
    """The location without the parts that no key or index of the content stands for."""
    path = []
    for part in location:
        if content is not None and part != location[-1]:
            try:
                content = content[part]  # type: ignore[index]
            except (KeyError, IndexError, TypeError):
                continue
        path.append(str(part))
    return path
