"""All throttles: a row for each says its name, what it does, its options, how it is drawn and what it stands for.

Everything that lists, makes, draws or singles out throttles reads this table. A new throttle is a file and a row.
"""

from __future__ import annotations

from typing import Any

from dqgym.references import on_first_call, split_reference
from dqgym.registered import Registry, by_name
from dqgym.throttles.auto_converge import AutoConverge, AutoConvergeOptions
from dqgym.throttles.current import CurrentOptions, current
from dqgym.throttles.dirty_limit import DirtyLimit, DirtyLimitOptions
from dqgym.throttles.dirty_quota import DirtyQuota, DirtyQuotaOptions
from dqgym.throttles.none import NoThrottle
from dqgym.throttles.options import NoOptions, PreferenceOptions
from dqgym.throttles.rows.adopted import adopted
from dqgym.throttles.rows.row import Role, ThrottleRow
from dqgym.throttles.rules.contextual_weights import ContextualRuleOptions, contextual_rule, contextual_rule_of
from dqgym.throttles.rules.tuned_rule import TunedRule, TunedRuleOptions
from dqgym.throttles.stop_and_copy import StopAndCopy
from dqgym.throttles.styles import Style, spare_style

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


TABLE: Registry[ThrottleRow[Any]] = Registry("throttle", "throttles", "dqgym.throttles", by_name(THROTTLES), adopted)
"""All throttles by name: those above and those of others."""


def rows(role: Role | None = None) -> list[ThrottleRow[Any]]:
    """The rows that ship, or those of a role, in the table's order."""
    return [row for row in THROTTLES if role is None or role in row.roles]


def all_rows() -> list[ThrottleRow[Any]]:
    """The rows that ship, and those that were registered or are installed."""
    return list(TABLE.rows().values())


def known_names() -> list[str]:
    """The names of all of them."""
    return TABLE.names()


def split_name(name: str) -> tuple[str, str]:
    """A throttle, and what its name says after a colon: ``auto-converge`` and ``initial=50``, ``module:Class`` and
    ``share=0.5``. Empty where it says nothing more."""
    first, colon, rest = name.partition(":")
    reference = split_reference(name)
    if not colon or reference is None or TABLE.knows(first):
        return first, rest
    return reference


def without_options(name: str) -> str:
    """The throttle in a name that may go on after a colon: ``auto-converge`` in ``auto-converge:initial=50``."""
    return split_name(name)[0]


def row_of(name: str) -> ThrottleRow[Any]:
    """The row of a throttle, by its name or ``module:name``. BadInputError for another; it names the nearest one."""
    return TABLE.row(name)


def table_styles() -> dict[str, Style]:
    """How every throttle is drawn that ships, was registered, or has been named."""
    found: dict[str, Style] = {}
    known = TABLE.present().values()
    taken = {row.style for row in known if row.style is not None}
    for row in known:
        found[row.name] = row.style or spare_style(row.name, taken)
        taken.add(found[row.name])
    return found
