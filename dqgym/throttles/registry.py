"""Throttles by name: which there are, and how one is made. ``dqgym.throttles.table`` describes them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from dqgym.cost import FAST
from dqgym.errors import BadInputError
from dqgym.names import did_you_mean
from dqgym.throttles.base import Throttle
from dqgym.throttles.rules.tuned import TRAINING, tuned_options
from dqgym.throttles.table import Role, row_of, rows


def throttle_names() -> list[str]:
    """The names of all but bounds: what an evaluation runs as baselines. ``make_throttle`` knows all of the table."""
    return [row.name for row in rows() if Role.BOUND not in row.roles]


def describe_throttle(name: str) -> str:
    """One line on what a throttle does."""
    return row_of(name).summary


def option_names(name: str) -> list[str]:
    """The options that a throttle takes."""
    return list(row_of(name).options.model_fields)


def default_options(name: str) -> dict[str, Any]:
    """The options of a throttle that was not tuned."""
    return dict(row_of(name).options())


def heeds_preference(name: str) -> bool:
    """Whether what a throttle does depends on what guest runtime is worth: where it was tuned for each preference."""
    throttle, colon, _ = name.partition(":")
    row = row_of(throttle)
    return bool(colon) or row.tuned or row.takes_preference


def make_throttle(name: str, preference: float | None = None, **options: Any) -> Throttle:
    """A baseline by its name, for example ``make_throttle("auto-converge", tail_slow=True)``.

    ``THROTTLE:DISTRIBUTION``, as in ``dirty-limit:training``, takes the options that ``dqgym tune`` found for that
    throttle on that distribution, at the preference (``dqgym.cost.definition.FAST`` where none is given).

    Raises:
        BadInputError: the name or an option is unknown (the message names the nearest one), or a value is not allowed.
    """
    throttle, colon, distribution = name.partition(":")
    row = row_of(throttle)
    wanted = FAST if preference is None else preference
    if colon and options:
        raise BadInputError(f"{name!r} has the options that were tuned; leave out {', '.join(options)}")
    if colon or (row.tuned and not options):
        tuned = make_throttle(throttle, **tuned_options(throttle, distribution if colon else TRAINING, wanted))
        tuned.name = name
        return tuned
    if row.takes_preference:
        options = {"preference": wanted, **options}
    for option in options:
        if option not in row.options.model_fields:
            known = option_names(name)
            raise BadInputError(
                f"unknown option of throttle {name!r}: {option!r}{did_you_mean(option, known)};"
                f" known: {', '.join(known) or 'none'}"
            )
    try:
        checked = row.options(**options)
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors())
        raise BadInputError(f"throttle {name!r}: {problems}") from error
    return row.make(checked)


def _problem(detail: Any) -> str:
    """One pydantic error as ``option=value: what is allowed``; errors of the whole model name their options."""
    where = f"{detail['loc'][0]}={detail['input']!r}: " if detail["loc"] else ""
    return f"{where}{detail['msg'].removeprefix('Value error, ')}"
