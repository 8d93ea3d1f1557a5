"""Rows of throttles that others bring: a class, a function or an object, checked when it is made."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from inspect import Parameter, getdoc, isclass, signature
from typing import Any, get_args, get_type_hints

from dqgym.errors import BadInputError
from dqgym.telemetry.interval import ControlInterval
from dqgym.throttles.base import Throttle
from dqgym.throttles.options import NoOptions, ThrottleOptions
from dqgym.throttles.rows.row import ThrottleRow
from dqgym.throttles.styles import Style

ELSEWHERE = "of one's own"
"""Source of a throttle that names none."""


def adopted(name: str, found: object) -> ThrottleRow[Any]:
    """A row of what a plug-in gives: a row, a class, a function that makes a throttle, or a throttle.

    Raises:
        BadInputError: it is none of them.
    """
    if isinstance(found, ThrottleRow):
        return own_row(replace(found, name=name))
    if isinstance(found, Throttle) and not isclass(found):
        return throttle_row(name, lambda: deepcopy(found), summary=_summary(type(found)))
    if not callable(found):
        raise BadInputError(f"throttle {name!r} must be a class, a function or a throttle, not {found!r}")
    if isclass(found) and not (hasattr(found, "reset") and hasattr(found, "act")):
        raise BadInputError(f"throttle {name!r}: a class without the methods reset and act is none")
    return throttle_row(name, found)


def throttle_row(
    name: str,
    make: Callable[..., Throttle],
    *,
    options: type[ThrottleOptions] | None = None,
    summary: str = "",
    style: Style | None = None,
    source: str = ELSEWHERE,
) -> ThrottleRow[Any]:
    """A row of what makes a throttle.

    Args:
        name: by which it is asked for.
        make: a fresh throttle of its options, or of nothing: a class or a function.
        options: the class of its options; None: the type of the argument that ``make`` takes, where it is one.
        summary: one line; else the first one of the docstring.
        style: how it is drawn; None: a spare one.
        source: where its algorithm comes from.

    Raises:
        BadInputError: ``make`` needs arguments that are no options.
    """
    own = options or _options_of(make)
    if own is None:
        _require_no_arguments(name, make)
    return own_row(
        ThrottleRow[Any](
            name,
            summary or _summary(make),
            own or NoOptions,
            make if own else lambda _: make(),
            style,
            source=source,
        )
    )


def own_row(row: ThrottleRow[Any]) -> ThrottleRow[Any]:
    """A row that checks what it makes.

    Raises:
        BadInputError: it stands for something, or is shipped with options that were tuned, as only rows of dqgym do.
    """
    if row.roles or row.tuned:
        raise BadInputError(f"throttle {row.name!r}: roles and tuned are for throttles that ship with dqgym")

    def make(options: Any) -> Throttle:
        try:
            made = row.make(options)
        except BadInputError:
            raise
        except Exception as error:  # whatever the code of others raises
            raise BadInputError(f"throttle {row.name!r} cannot be made: {type(error).__name__}: {error}") from error
        missing = [part for part in ("control_interval", "reset", "act") if not hasattr(made, part)]
        if missing:
            raise BadInputError(
                f"throttle {row.name!r}: a {type(made).__name__} is none: it has no {', '.join(missing)}"
            )
        if not isinstance(made.control_interval, ControlInterval):
            raise BadInputError(
                f"throttle {row.name!r}: control_interval={made.control_interval!r} must be a ControlInterval,"
                " for example ControlInterval.parse('0.04 T0')"
            )
        try:
            made.name = row.name
        except AttributeError as error:
            raise BadInputError(f"throttle {row.name!r}: its attribute name cannot be set: {error}") from error
        return made

    return replace(row, make=make)


def _options_of(make: Callable[..., Any]) -> type[ThrottleOptions] | None:
    """The class of options among the types of the arguments; None where there is none."""
    try:
        hints = get_type_hints(make.__init__ if isclass(make) else make)
    except Exception:  # a name that only type checkers know
        hints = {}
    hints.pop("return", None)
    for hint in hints.values():
        for one in (hint, *get_args(hint)):
            if isclass(one) and issubclass(one, ThrottleOptions):
                return one
    return None


def _require_no_arguments(name: str, make: Callable[..., Any]) -> None:
    needed = [
        one.name
        for one in signature(make).parameters.values()
        if one.default is Parameter.empty and one.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    ]
    if needed:
        raise BadInputError(
            f"throttle {name!r} needs {', '.join(needed)}: what can be chosen is one argument, whose type is a class of"
            " ThrottleOptions (dqgym.plugins)"
        )


def _summary(make: Callable[..., Any]) -> str:
    return (getdoc(make) or "no description").partition("\n")[0]
