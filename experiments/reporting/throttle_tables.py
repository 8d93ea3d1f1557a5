"""Throttles and their options, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dqgym.throttles.option_texts import Option, options_of
from dqgym.throttles.options import OptionValue
from dqgym.throttles.qemu.versions import HISTORIES, Change
from dqgym.throttles.rows.row import ThrottleRow
from dqgym.throttles.rules.tuned import distributions
from experiments.reporting.tables import Table


def describe_throttle(row: ThrottleRow[Any]) -> dict[str, Any]:
    """A throttle as JSON."""
    return {
        "name": row.name,
        "summary": row.summary,
        "source": row.source,
        "tuned_for": distributions(row.name),
        "options": [asdict(option) for option in options_of(row.options)],
        "qemu": [asdict(change) for change in _changes(row)],
    }


def list_table(rows: Sequence[ThrottleRow[Any]]) -> Table:
    """The throttles, a line each."""
    return Table.of(
        title="Throttles",
        header=("throttle", "what it does", "source"),
        rows=[(row.name, row.summary, row.source) for row in rows],
        text_columns=3,
        expendable=("source",),
    )


def options_table(rows: Sequence[ThrottleRow[Any]]) -> Table:
    """The options of throttles, a line each."""
    return Table.of(
        title="Options, written THROTTLE:OPTION=VALUE,...",
        header=("throttle", "option", "default", "unit", "allowed", "QEMU's parameter", "meaning"),
        rows=[
            (row.name, option.short, _default(option), option.unit, option.allowed, option.qemu, option.meaning)
            for row in rows
            for option in options_of(row.options)
        ],
        notes=_notes(rows),
        text_columns=7,
        expendable=("allowed", "QEMU's parameter"),
    )


def versions_table(rows: Sequence[ThrottleRow[Any]]) -> Table:
    """What changed from version to version of QEMU, a line each; without lines where QEMU has none of the throttles."""
    return Table.of(
        title="By version of QEMU, written THROTTLE:qemu=VERSION",
        header=("throttle", "since QEMU", "option", "before", "now", "what", "source"),
        rows=[
            (row.name, change.since, change.option, _value(change.before), _value(change.now), change.what,
             change.source)
            for row in rows
            for change in _changes(row)
        ],
        notes=[f"{row.name} is in QEMU since {HISTORIES[row.name].first}." for row in rows if row.name in HISTORIES],
        text_columns=7,
        expendable=("source",),
    )  # fmt: skip


def _changes(row: ThrottleRow[Any]) -> Sequence[Change]:
    return HISTORIES[row.name].changes if row.name in HISTORIES else ()


def _notes(rows: Sequence[ThrottleRow[Any]]) -> list[str]:
    notes = [
        "A value has its unit (limit=10 MiB/s), but for % and T0, where a number is enough. A switch that is only named"
        " is on. QEMU's names take QEMU's units.",
        "What `dqgym tune` wrote: THROTTLE:FILE.",
    ]
    for row in rows:
        known = distributions(row.name)
        if known:
            notes.append(f"{row.name} is tuned for: {', '.join(f'{row.name}:{name}' for name in known)}.")
    return notes


def _default(option: Option) -> str:
    return _value(option.default)


def _value(value: OptionValue | None) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case int() | float():
            return f"{value:.10g}"
        case None:
            return "none"
    return str(value)
