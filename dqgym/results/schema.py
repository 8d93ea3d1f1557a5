"""The schema of results: its version, and the columns of every frame, from which reader and documentation are made.

Every JSON file and document that a command writes has ``schema_version``. Those that were written before there was one
have none, and are of version 1. ``results.csv`` is of the version of the ``summary.json`` beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dqgym.errors import BadInputError
from dqgym.results.columns import Column, columns_of
from dqgym.results.rows import Row, Summary, TakeoverCount

VERSION = 1
"""Goes up when a column goes, changes its meaning or its unit; a new column alone does not change it."""
KEY = "schema_version"
LATER: Mapping[str, bool | float] = {"forced": False, "forced_share": 0.0}
"""Columns that files of this version may lack, because they came later, and what such a file means by that."""


def stamped(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document with the version of its schema, in place of an older one."""
    return {KEY: VERSION} | {**document, KEY: VERSION}


def require_known(document: object, path: object) -> None:
    """Raise a BadInputError where a document is of a newer schema than this, or says what is no version."""
    found = document.get(KEY, VERSION) if isinstance(document, Mapping) else VERSION
    if type(found) is not int or found < 1:
        raise BadInputError(f"{path}: {KEY}={found!r} must be a whole number from 1 to {VERSION}")
    if found > VERSION:
        raise BadInputError(
            f"{path}: {KEY}={found} is newer than this dqgym, which reads up to {VERSION}: update dqgym to read it"
        )


@dataclass(frozen=True)
class FrameSchema:
    """What a frame has.

    Attributes:
        row: what a row of it is.
        columns: in order.
    """

    row: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)


_OF_ROW = {column.name: column for column in columns_of(Row)}
_SOURCE = Column("source", "string", "name of the folder or file that it was read from")
_IDENTITY = (
    _SOURCE,
    Column("backend", "string", "where it was migrated; absent where only results.csv is left"),
    replace(_OF_ROW["suite"], meaning="the suite of the scenario; absent in a report on single migrations"),
    _OF_ROW["scenario"],
    _OF_ROW["throttle"],
    _OF_ROW["training_seed"],
    replace(_OF_ROW["preference"], meaning=f"{_OF_ROW['preference'].meaning}; NaN where none was asked for"),
    replace(_OF_ROW["seed"], dtype="Int64", meaning=f"{_OF_ROW['seed'].meaning}; absent in a control report"),
    Column("repetition", "int64", "which of the migrations of a scenario that differ only in their seed, from 0"),
)
"""The columns that tell a migration, costed at a preference, from all others."""
IDENTITY = tuple(column.name for column in _IDENTITY)


def _with_interval(name: str, meaning: str) -> tuple[Column, ...]:
    return (
        Column(name, "float64", meaning),
        Column(f"{name}_low", "float64", "lower end of its 95 % interval"),
        Column(f"{name}_high", "float64", "upper end of its 95 % interval"),
    )


ESTIMATES = ("iqm", "mean_ratio", "ratio_of_means", "improvement", "closed_gap")
"""Of a standing: a value and its 95 % interval."""
_ANY_SUITE = Column("suite", "string", "or ``all``: each suite with the same weight")
_THROTTLE = _OF_ROW["throttle"]

FRAMES: Mapping[str, FrameSchema] = {
    "migrations": FrameSchema(
        "one migration, costed at one preference",
        (
            *_IDENTITY,
            Column("vcpus", "Int64", "how many the guest has; absent in a control report"),
            *(column for name, column in _OF_ROW.items() if name not in IDENTITY),
            Column("takeovers", "string", "why the guard's fallback took it over; absent where that is not said"),
        ),
    ),
    "vcpus": FrameSchema(
        "one vCPU of one migration",
        (
            *_IDENTITY,
            Column("vcpu", "int64", "its number, from 0"),
            Column("guest_runtime", "float64", "share of the time in which it could run; 0 to 1"),
        ),
    ),
    "means": FrameSchema("a throttle in a suite at a preference", (_SOURCE, *columns_of(Summary))),
    "standings": FrameSchema(
        "a throttle against an opponent, on the same migrations",
        (
            _SOURCE,
            _ANY_SUITE,
            Column("preference", "float64", "NaN: all of them"),
            _THROTTLE,
            Column("opponent", "string", "what it is compared with"),
            Column("training_seeds", "int64", "how many; 1 for a baseline"),
            Column("migrations", "int64", "how many, over all training seeds"),
            *_with_interval("iqm", "interquartile mean of the throttle's J"),
            *_with_interval("mean_ratio", "mean of J over the opponent's, migration by migration"),
            *_with_interval("ratio_of_means", "mean J over the opponent's mean J"),
            *_with_interval("improvement", "probability that J is below the opponent's; ties count half"),
            Column("median", "float64", "of the ratios"),
            Column("percentile_95", "float64", "of the ratios"),
            Column("dominated", "int64", "migrations that take longer than the opponent's and let the guest run less"),
            *_with_interval("closed_gap", "share of the gap between tuned-rule and oracle; NaN without these"),
        ),
    ),
    "fronts": FrameSchema(
        "a throttle in a suite at a preference: its point in time and guest runtime",
        (
            _SOURCE,
            _ANY_SUITE,
            _THROTTLE,
            _OF_ROW["preference"],
            Column("time_over_t0", "float64", "mean time over T0", "T0"),
            Column("guest_runtime", "float64", "mean guest runtime; 0 to 1"),
            Column("efficient", "bool", "no other of the throttle's points is as good in both"),
            Column("hypervolume", "float64", "area that all points of the throttle dominate", "T0"),
            Column("monotone", "bool", "neither of the two ever falls as the preference grows"),
        ),
    ),
    "takeovers": FrameSchema("a reason why the guard took migrations over", (_SOURCE, *columns_of(TakeoverCount))),
    "pairs": FrameSchema(
        "a migration with a large gain or loss, under both throttles of a comparison",
        (
            _SOURCE,
            Column("own", "string", "the first throttle"),
            Column("other", "string", "the one that it is compared with"),
            _OF_ROW["suite"],
            _OF_ROW["preference"],
            _OF_ROW["scenario"],
            _OF_ROW["seed"],
            Column("ratio", "float64", "J of the first over J of the other"),
            Column("own_cost", "float64", "J of the first, mean over its training seeds"),
            Column("other_cost", "float64", "J of the other"),
            Column("own_time_over_t0", "float64", "of the first", "T0"),
            Column("other_time_over_t0", "float64", "of the other", "T0"),
            Column("own_guest_runtime", "float64", "of the first; 0 to 1"),
            Column("other_guest_runtime", "float64", "of the other; 0 to 1"),
        ),
    ),
    "learning": FrameSchema(
        "an evaluation during a training",
        (
            _SOURCE,
            Column("frames", "int64", "environment steps trained on before it"),
            Column("cost", "float64", "mean J over the held-out suites and preferences"),
        ),
    ),
    "tuning": FrameSchema(
        "an option of a tuned throttle at a preference",
        (
            _SOURCE,
            _THROTTLE,
            Column("distribution", "string", "what it was tuned on"),
            _OF_ROW["preference"],
            Column("option", "string", "its name"),
            Column("value", "float64", "the best that was found; a switch is 0 or 1"),
            Column("cost", "float64", "mean J with all options of this preference"),
            Column("scenarios", "int64", "that it was tuned on"),
            Column("seed", "int64", "of their draw and of the search"),
            Column("trials", "int64", "sets of options that were tried"),
        ),
    ),
}
"""By name, as ``dqgym.results.loaded.Results`` has them."""
