"""The errors of commands and how they are shown: one message for what a user can mend, and an exit code.

Anything else is a bug of the project and keeps its traceback.
"""

from __future__ import annotations

import re
import sys
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
    TERMINATED = 143
    """Stopped by SIGTERM, as batch systems do (128 + SIGTERM)."""
    HUNG_UP = 129
    """Stopped by SIGHUP: the terminal is gone (128 + SIGHUP)."""


def exit_code(error: BaseException) -> ExitCode | None:
    """The exit code for an error that is shown as a message; None for one that is not expected."""
    if is_interruption(error):
        return ExitCode.INTERRUPTED
    if _is(error, "BadInputError") or _missing_module(error) is not None:
        return ExitCode.BAD_INPUT
    if _is(error, "RunFailedError"):
        return ExitCode.FAILED
    return None


def _is(error: BaseException, name: str) -> bool:
    """Whether an error is of that class of ``dqgym.errors``, which is not imported for this: ``--help`` needs none."""
    known = sys.modules.get("dqgym.errors")
    return known is not None and isinstance(error, getattr(known, name))


def is_interruption(error: BaseException) -> bool:
    """Whether the user stopped the run; libraries that are interrupted may raise something else as they wind up."""
    if isinstance(error, KeyboardInterrupt) or _is(error, "RunInterruptedError"):
        return True
    earlier = error.__cause__ or error.__context__
    return earlier is not None and is_interruption(earlier)


def message(error: BaseException) -> str:
    """The message about an expected error; empty where the command was stopped, and that is all."""
    if is_interruption(error) and not _is(error, "RunInterruptedError"):
        return ""
    return _missing_module(error) or str(error) or type(error).__name__


def _missing_module(error: BaseException) -> str | None:
    """What to say where an extra of the package is not installed; None for every other error."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    from experiments.extras import missing_module  # `--help` needs none of it

    return missing_module(error)


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
