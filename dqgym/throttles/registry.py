"""Throttles by name: which there are, and how one is made. ``dqgym.throttles.table`` describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dqgym.cost import FAST
from dqgym.errors import BadInputError
from dqgym.names import did_you_mean, unknown
from dqgym.throttles.base import Throttle
from dqgym.throttles.option_texts import names_option, options_of, parse_options
from dqgym.throttles.options import OptionValue
from dqgym.throttles.rows.row import Role, ThrottleRow
from dqgym.throttles.rules.tuned import TRAINING, distributions, entries_of, interpolated, tuned_options
from dqgym.throttles.table import row_of, rows, split_name


def throttle_names() -> list[str]:
    """The names of all that ship, but bounds: what an evaluation runs as baselines. ``make_throttle`` knows more."""
    return [row.name for row in rows() if Role.BOUND not in row.roles]


def option_names(name: str) -> list[str]:
    """The options that a throttle takes."""
    return list(row_of(name).options.model_fields)


def default_options(name: str) -> dict[str, Any]:
    """The options of a throttle that was not tuned."""
    return dict(row_of(name).options())


@dataclass(frozen=True)
class _Named:
    """What a name asks for: a throttle, and of it options, what it was tuned to, or what a file says.

    Attributes:
        row: of the throttle.
        options: those that the name gives.
        distribution: the migrations that it was tuned on; None: the name says nothing of tuning.
        file: holds what it was tuned to; None: the file that is shipped.
    """

    row: ThrottleRow[Any]
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    distribution: str | None = None
    file: Path | None = None

    @property
    def says_more(self) -> bool:
        """The name goes on after the throttle's."""
        return bool(self.options) or self.distribution is not None or self.file is not None

    @property
    def tuned(self) -> bool:
        """It takes options that were tuned."""
        return self.distribution is not None or self.file is not None or (self.row.tuned and not self.options)


def heeds_preference(name: str) -> bool:
    """Whether what a throttle does depends on what guest runtime is worth: where it was tuned for each preference."""
    named = _read(name)
    return named.tuned or (named.row.takes_preference and "preference" not in named.options)


def options_file(name: str) -> Path | None:
    """The file that a name takes options from, as in ``tuned-rule:mine.yaml``; None where it names none."""
    return _read(name).file


def make_throttle(name: str, preference: float | None = None, **options: Any) -> Throttle:
    """A baseline by its name, for example ``make_throttle("auto-converge", tail_slow=True)``.

    A name may go on after a colon, as on the command line:

    * ``THROTTLE:OPTION=VALUE,...``: options as text (``dqgym.throttles.option_texts``).
    * ``THROTTLE:FILE`` or ``THROTTLE:FILE:DISTRIBUTION``: what ``dqgym tune`` wrote to a file.
    * ``MODULE:CLASS``, and then the same after another colon: a throttle of one's own (``dqgym.plugins``).
    * ``THROTTLE:DISTRIBUTION``, as in ``dirty-limit:training``: what it is shipped with for these migrations.

    What was tuned is taken at the preference (``dqgym.cost.FAST`` where none is given).

    Raises:
        BadInputError: the name or an option is unknown (the message names the nearest one), or a value is not allowed.
    """
    named = _read(name)
    if options and named.says_more:
        raise BadInputError(f"{name!r} says its options already; leave out {', '.join(options)}")
    wanted = FAST if preference is None else preference
    if named.tuned and not options:
        throttle = _tuned(named, wanted)
    else:
        throttle = _with_options(named.row, wanted, {**named.options, **options})
    if ":" in name:
        throttle.name = name
    return throttle


def _read(name: str) -> _Named:
    """Take a name apart. BadInputError where it cannot be read; what a file holds is not looked at."""
    throttle, rest = split_name(name)
    row = row_of(throttle)
    if throttle == name:
        return _Named(row)
    path, _, distribution = rest.rpartition(":")
    if Path(rest).is_file():
        return _Named(row, file=Path(rest))
    if path and Path(path).is_file():
        return _Named(row, distribution=distribution, file=Path(path))
    if rest in distributions(throttle):
        return _Named(row, distribution=rest)
    if names_option(row.options, rest):
        return _Named(row, options=parse_options(throttle, row.options, rest))
    if rest.endswith((".yaml", ".yml")):
        raise BadInputError(f"throttle {name!r}: there is no file {rest}")
    known = distributions(throttle)
    shorts = [option.short for option in options_of(row.options)]
    raise BadInputError(
        f"throttle {throttle!r} is not tuned for {rest!r}{did_you_mean(rest, [*known, *shorts])};"
        f" it is for: {', '.join(known) or 'nothing'}; options, as NAME=VALUE: {', '.join(shorts) or 'none'}"
    )


def _tuned(named: _Named, preference: float) -> Throttle:
    """A throttle with the options that were tuned for a preference."""
    row, file = named.row, named.file
    if file is not None and row.read is not None:
        if named.distribution is not None:
            raise BadInputError(f"{file}: of {row.name!r} a file holds one result, not one for {named.distribution!r}")
        return row.read(file, preference)
    if file is None:
        found = tuned_options(row.name, named.distribution or TRAINING, preference)
    else:
        found = interpolated(entries_of(file, row.name, named.distribution), preference)
    return _with_options(row, preference, found)


def _with_options(row: ThrottleRow[Any], preference: float, options: Mapping[str, Any]) -> Throttle:
    """A throttle with some options, the others as its class has them."""
    if row.takes_preference:
        options = {"preference": preference, **options}
    for option in options:
        if option not in row.options.model_fields:
            raise BadInputError(
                unknown(f"option of throttle {row.name!r}:", option, option_names(row.name) or ["none"])
            )
    try:
        checked = row.options(**options)
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors())
        raise BadInputError(f"throttle {row.name!r}: {problems}") from error
    return row.make(checked)


def _problem(detail: Any) -> str:
    """One pydantic error as ``option=value: what is allowed``; errors of the whole model name their options."""
    where = f"{detail['loc'][0]}={detail['input']!r}: " if detail["loc"] else ""
    return f"{where}{detail['msg'].removeprefix('Value error, ')}"
