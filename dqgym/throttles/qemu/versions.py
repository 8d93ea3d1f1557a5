"""What QEMU's throttles do by version: one table of what changed, and the options that a version stands for.

A version is written as QEMU writes it, ``8.1`` or ``10.0.2``. One that is newer than the last change does as that does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from dqgym.errors import BadInputError
from dqgym.throttles.options import Described, TunedValue

NEWEST = "10.0"
"""Whose sources the throttles follow, unless another version is asked for."""
Version = Annotated[str, Described("what this version of QEMU does; other options that are given count before it")]
_VERSION = re.compile(r"\d{1,3}(\.\d{1,3}){1,3}", re.ASCII)


@dataclass(frozen=True)
class Change:
    """One difference between versions.

    Attributes:
        since: the first version that has it.
        option: of the throttle, which says it.
        before: the option's value up to then.
        now: from then on.
        what: one line.
        source: where QEMU has it.
    """

    since: str
    option: str
    before: TunedValue
    now: TunedValue
    what: str
    source: str


@dataclass(frozen=True)
class History:
    """The versions of one throttle.

    Attributes:
        first: that has it.
        changes: since then, oldest first.
    """

    first: str
    changes: tuple[Change, ...]


HISTORIES: Mapping[str, History] = {
    "auto-converge": History(
        first="2.5",  # 2.4 and older stop the vCPUs for 30 ms now and then, without steps
        changes=(
            Change(
                "2.10", "hits_per_step", 3, 2, "a step takes two hits, not three",
                "migration/ram.c: `dirty_rate_high_cnt++ >= 2` became `++rs->dirty_rate_high_cnt >= 2`",
            ),
            Change(
                "9.2", "periodic_sync", False, True,
                "a long round is synced, and so evaluated, in its midst; QEMU cannot switch it off",
                "migration/cpu-throttle.c: CPU_THROTTLE_DIRTY_SYNC_TIMESLICE_MS",
            ),
        ),
    ),
    "dirty-limit": History(
        first="7.1",  # by QMP; as a capability of migrations in 8.1
        changes=(
            Change(
                "8.2", "kicks_wake", True, False, "a sleep lasts to its end: no kick of a sync cuts it short",
                "softmmu/dirtylimit.c: `usleep`, which a signal ends, became `g_usleep`",
            ),
            Change(
                "8.2", "whole_mib", True, False, "rates are rounded to MiB/s, not to MiB in the period",
                "migration/dirtyrate.c: 'Fix precision losses and g_usleep overshoot' (August 2023)",
            ),
        ),
    ),
}  # fmt: skip
"""By throttle."""


def with_version(throttle: str, options: Any) -> Any:
    """The options that are given, and those that their ``qemu`` stands for.

    Raises:
        BadInputError: no version, or one that does not have the throttle.
    """
    if not isinstance(options, Mapping):
        return options
    history, version = HISTORIES[throttle], options.get("qemu", NEWEST)
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise BadInputError(f"qemu={version!r}: must be a version of QEMU, such as '{NEWEST}'")
    if _numbers(version) < _numbers(history.first):
        raise BadInputError(f"qemu={version!r}: QEMU has {throttle} since {history.first}")
    preset = {
        change.option: change.now if _numbers(version) >= _numbers(change.since) else change.before
        for change in history.changes
    }
    return {**preset, **options}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
