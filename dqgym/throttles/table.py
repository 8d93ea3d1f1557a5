"""All throttles: a row for each says its name, what it does, its options, how it is drawn and what it stands for.

Everything that lists, makes, draws or singles out throttles reads this table. A new throttle is a file and a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar

from dqgym.errors import BadInputError
from dqgym.names import unknown
from dqgym.references import on_first_call
from dqgym.throttles.auto_converge import AutoConverge, AutoConvergeOptions
from dqgym.throttles.base import Throttle
from dqgym.throttles.current import CurrentOptions, current
from dqgym.throttles.dirty_limit import DirtyLimit, DirtyLimitOptions
from dqgym.throttles.dirty_quota import DirtyQuota, DirtyQuotaOptions
from dqgym.throttles.none import NoThrottle
from dqgym.throttles.options import NoOptions, PreferenceOptions, ThrottleOptions
from dqgym.throttles.rules.contextual_weights import ContextualRuleOptions, contextual_rule, contextual_rule_of
from dqgym.throttles.rules.tuned_rule import TunedRule, TunedRuleOptions
from dqgym.throttles.stop_and_copy import StopAndCopy
from dqgym.throttles.styles import Style, spare_style

Options = TypeVar("Options", bound=ThrottleOptions)


class Role(Enum):
    """What a throttle stands for in evaluations and in front of users."""

    RULE = "statistics compare with it; between its cost and the bound's lies what a policy can gain on a rule"
    FALLBACK = "takes over from a policy that fails"
    MAINLINE = "QEMU has it, or was offered it: its maintainers ask how these compare"
    USUAL = "users have it today: a policy that is worse in time and guest runtime would be a step back for them"
    BOUND = "knows the future of the model's migrations: no throttle but a bound of all, run when it is named"


@dataclass(frozen=True)
class ThrottleRow(Generic[Options]):
    """One throttle.

    Attributes:
        name: by which it is asked for, and which its objects have.
        summary: one line on what it does.
        options: what can be chosen of it, with defaults and bounds.
        make: a fresh throttle with these options.
        style: how it is drawn; None: a spare style, always the same one.
        roles: what it stands for.
        tuned: without options it takes those that it was tuned to, which depend on the preference.
        read: makes it of a file that ``dqgym tune`` wrote for it alone, and a preference; None: its options stand in
            such a file, beside those of others.
        source: where its algorithm comes from.
    """

    name: str
    summary: str
    options: type[Options]
    make: Callable[[Options], Throttle]
    style: Style | None = None
    roles: tuple[Role, ...] = ()
    tuned: bool = False
    read: Callable[[Path, float], Throttle] | None = None
    source: str = "dqgym"

    @property
    def takes_preference(self) -> bool:
        """The preference is one of its options."""
        return "preference" in self.options.model_fields


THROTTLES: tuple[ThrottleRow[Any], ...] = (
    ThrottleRow("none", "every vCPU runs free", NoOptions, lambda _: NoThrottle(), Style("#777777", "X")),
    ThrottleRow(
        "auto-converge",
        "QEMU's time-based throttle: 20 %, then 10 % more at every second hit, all vCPUs alike",
        AutoConvergeOptions,
        AutoConverge,
        Style("#E69F00", "^"),
        roles=(Role.MAINLINE, Role.USUAL),
        source="QEMU 10.0: migration/ram.c, migration/cpu-throttle.c",
    ),
    ThrottleRow(
        "current",
        "the cover letter's baseline: auto-converge that about halves the run share each round",
        CurrentOptions,
        current,
        Style("#D55E00", "v"),
        source="cover letter of KVM's dirty-quota patches v10 (February 2024)",
    ),
    ThrottleRow(
        "dirty-limit",
        "QEMU's per-vCPU throttle: a vCPU sleeps at every full dirty ring; by default the limit is the least, 1 MiB/s",
        DirtyLimitOptions,
        DirtyLimit,
        Style("#5D3FD3", "<"),
        roles=(Role.MAINLINE,),
        source="QEMU 10.0: system/dirtylimit.c, migration/ram.c",
    ),
    ThrottleRow(
        "dirty-quota",
        "the reference scheme: the vCPUs together may dirty about half of the measured bandwidth",
        DirtyQuotaOptions,
        DirtyQuota,
        Style("#0072B2", "s"),
        roles=(Role.FALLBACK, Role.MAINLINE),
        source="RFC for QEMU (November 2022), repaired; cover letter v10",
    ),
    ThrottleRow(
        "tuned-rule",
        "free rounds, then a quota for the vCPUs with large working sets; tuned for each preference",
        TunedRuleOptions,
        TunedRule,
        Style("#A50F15", ">"),
        roles=(Role.RULE,),
        tuned=True,
    ),
    ThrottleRow(
        "contextual-rule",
        "the tuned rule with its numbers moved at each decision by a small network of telemetry",
        ContextualRuleOptions,
        contextual_rule,
        Style("#00CED1", (4, 1, 0)),
        read=contextual_rule_of,
    ),
    ThrottleRow(
        "stop-and-copy",
        "no vCPU runs until the memory is sent",
        NoOptions,
        lambda _: StopAndCopy(),
        Style("#CC79A7", "D"),
    ),
    ThrottleRow(
        "oracle",
        "the clairvoyant bound: the best schedule that a search finds when it may try the future",
        PreferenceOptions,
        on_first_call("dqgym.oracle.throttle:oracle"),  # loads the model, which compiles kernels
        Style("#9FB500", "p"),
        roles=(Role.BOUND,),
    ),
)


def rows(role: Role | None = None) -> list[ThrottleRow[Any]]:
    """All rows, or those of a role, in the table's order."""
    return [row for row in THROTTLES if role is None or role in row.roles]


def known_names() -> list[str]:
    """The names of all rows."""
    return [row.name for row in THROTTLES]


def without_options(name: str) -> str:
    """The throttle in a name that may go on after a colon: ``auto-converge`` in ``auto-converge:initial=50``."""
    return name.partition(":")[0]


def row_of(name: str) -> ThrottleRow[Any]:
    """The row of a throttle. BadInputError where there is none; the message names the nearest one."""
    for row in THROTTLES:
        if row.name == name:
            return row
    raise BadInputError(unknown("throttle:", name, known_names()))


def table_styles() -> dict[str, Style]:
    """How every throttle of the table is drawn."""
    found: dict[str, Style] = {}
    taken = {row.style for row in THROTTLES if row.style is not None}
    for row in THROTTLES:
        found[row.name] = row.style or spare_style(row.name, taken)
        taken.add(found[row.name])
    return found
