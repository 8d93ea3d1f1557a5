"""The baselines by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from dqgym.cost import FAST
from dqgym.errors import BadInputError
from dqgym.names import did_you_mean
from dqgym.throttles.auto_converge import AutoConverge, AutoConvergeOptions
from dqgym.throttles.base import Throttle
from dqgym.throttles.current import CurrentOptions, current
from dqgym.throttles.dirty_limit import DirtyLimit, DirtyLimitOptions
from dqgym.throttles.dirty_quota import DirtyQuota, DirtyQuotaOptions
from dqgym.throttles.none import NoThrottle
from dqgym.throttles.options import NoOptions, ThrottleOptions
from dqgym.throttles.rules.contextual_weights import ContextualRuleOptions, contextual_rule
from dqgym.throttles.rules.tuned import TRAINING, tuned_options
from dqgym.throttles.rules.tuned_rule import TunedRule, TunedRuleOptions
from dqgym.throttles.stop_and_copy import StopAndCopy

Options = TypeVar("Options", bound=ThrottleOptions)


@dataclass(frozen=True)
class _Entry(Generic[Options]):
    description: str
    options: type[Options]
    make: Callable[[Options], Throttle]
    tuned: bool = False
    """Without options it takes those that it was tuned to, which depend on the preference."""

    @property
    def takes_preference(self) -> bool:
        """The preference is one of its options."""
        return "preference" in self.options.model_fields


_ENTRIES: dict[str, _Entry[Any]] = {
    "none": _Entry("every vCPU runs free", NoOptions, lambda _: NoThrottle()),
    "auto-converge": _Entry(
        "QEMU's time-based throttle: 20 %, then 10 % more at every second hit, all vCPUs alike",
        AutoConvergeOptions,
        AutoConverge,
    ),
    "current": _Entry(
        "the cover letter's baseline: auto-converge that about halves the run share each round",
        CurrentOptions,
        current,
    ),
    "dirty-limit": _Entry(
        "QEMU's per-vCPU throttle: a vCPU sleeps at every full dirty ring; by default the limit is the least, 1 MiB/s",
        DirtyLimitOptions,
        DirtyLimit,
    ),
    "dirty-quota": _Entry(
        "the reference scheme: the vCPUs together may dirty about half of the measured bandwidth",
        DirtyQuotaOptions,
        DirtyQuota,
    ),
    "tuned-rule": _Entry(
        "free rounds, then a quota for the vCPUs with large working sets; tuned for each preference",
        TunedRuleOptions,
        TunedRule,
        tuned=True,
    ),
    "contextual-rule": _Entry(
        "the tuned rule with its numbers moved at each decision by a small network of telemetry",
        ContextualRuleOptions,
        contextual_rule,
    ),
    "stop-and-copy": _Entry("no vCPU runs until the memory is sent", NoOptions, lambda _: StopAndCopy()),
}


def throttle_names() -> list[str]:
    """The names that ``make_throttle`` knows."""
    return list(_ENTRIES)


def describe_throttle(name: str) -> str:
    """One line on what a throttle does."""
    return _entry(name).description


def option_names(name: str) -> list[str]:
    """The options that a throttle takes."""
    return list(_entry(name).options.model_fields)


def default_options(name: str) -> dict[str, Any]:
    """The options of a throttle that was not tuned."""
    return dict(_entry(name).options())


def heeds_preference(name: str) -> bool:
    """Whether what a throttle does depends on what guest runtime is worth: where it was tuned for each preference."""
    throttle, colon, _ = name.partition(":")
    entry = _entry(throttle)
    return bool(colon) or entry.tuned or entry.takes_preference


def make_throttle(name: str, preference: float | None = None, **options: Any) -> Throttle:
    """A baseline by its name, for example ``make_throttle("auto-converge", tail_slow=True)``.

    ``THROTTLE:DISTRIBUTION``, as in ``dirty-limit:training``, takes the options that ``dqgym tune`` found for that
    throttle on that distribution, at the preference (``dqgym.cost.definition.FAST`` where none is given).

    Raises:
        BadInputError: the name or an option is unknown (the message names the nearest one), or a value is not allowed.
    """
    throttle, colon, distribution = name.partition(":")
    entry = _entry(throttle)
    wanted = FAST if preference is None else preference
    if colon and options:
        raise BadInputError(f"{name!r} has the options that were tuned; leave out {', '.join(options)}")
    if colon or (entry.tuned and not options):
        tuned = make_throttle(throttle, **tuned_options(throttle, distribution if colon else TRAINING, wanted))
        tuned.name = name
        return tuned
    if entry.takes_preference:
        options = {"preference": wanted, **options}
    for option in options:
        if option not in entry.options.model_fields:
            raise BadInputError(_unknown(f"option of throttle {name!r}", option, option_names(name)))
    try:
        checked = entry.options(**options)
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors())
        raise BadInputError(f"throttle {name!r}: {problems}") from error
    return entry.make(checked)


def _entry(name: str) -> _Entry[Any]:
    if name not in _ENTRIES:
        raise BadInputError(_unknown("throttle", name, throttle_names()))
    return _ENTRIES[name]


def _unknown(noun: str, value: str, known: list[str]) -> str:
    return f"unknown {noun}: {value!r}{did_you_mean(value, known)}; known: {', '.join(known) or 'none'}"


def _problem(detail: Any) -> str:
    """One pydantic error as ``option=value: what is allowed``; errors of the whole model name their options."""
    where = f"{detail['loc'][0]}={detail['input']!r}: " if detail["loc"] else ""
    return f"{where}{detail['msg'].removeprefix('Value error, ')}"
