"""Frames from records: typed as the schema says, with every column whether the records have it or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from dqgym.results.rows import Row
from dqgym.results.schema import ESTIMATES, FRAMES, IDENTITY, LATER

if TYPE_CHECKING:
    import pandas as pd

Values = Mapping[str, Any]
Frames = dict[str, "pd.DataFrame"]
_TYPES: Mapping[str, set[type]] = {
    "string": {str, type(None)}, "int64": {int}, "Int64": {int, type(None)}, "float64": {int, float, type(None)},
    "bool": {bool},
}  # fmt: skip
"""Of the values of a column, which pandas alone would convert without a word: ``bool("no")`` is True."""
ROW_COLUMNS = [name for name in FRAMES["migrations"].names if name in Row.__dataclass_fields__]


def make_frame(name: str, columns: Values, length: int, source: str) -> pd.DataFrame:
    """A frame of the schema.

    Args:
        name: of the frame.
        columns: values of each column, one for each row or a text for all of them; a column that is missing is absent
            in every row.
        length: number of rows.
        source: for the column of that name.

    Raises:
        TypeError: a value is not of its column's type, or a column that cannot be absent is missing.
    """
    import pandas as pd

    series = {}
    for column in FRAMES[name].columns:
        given = source if column.name == "source" else columns.get(column.name, LATER.get(column.name))
        values = [given] * length if given is None or isinstance(given, str | bool | float) else given
        for kind in set(map(type, values)) - _TYPES[column.dtype]:
            found = next(value for value in values if type(value) is kind)
            raise TypeError(f"{column.name}={found!r} is no {column.dtype}")
        series[column.name] = pd.Series(values, dtype="object").astype(column.dtype)
    return pd.DataFrame(series)


def records_frame(name: str, records: Sequence[Values], source: str) -> pd.DataFrame:
    """A frame of records, each with a value for every column but the source; a value of None is absent."""
    keys = [key for key in FRAMES[name].names if key != "source"]
    columns = {key: [{**LATER, **record}[key] for record in records] for key in keys}
    return make_frame(name, columns, len(records), source)


def row_frames(rows: Sequence[Row], backend: str | None, source: str) -> Frames:
    """Migrations and their vCPUs, of an evaluation's rows."""
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in ROW_COLUMNS}
    per_vcpu = [row.guest_runtime_per_vcpu for row in rows]
    columns |= {"backend": backend, "vcpus": list(map(len, per_vcpu)), "repetition": _repetitions(rows)}
    migrations = make_frame("migrations", columns, len(rows), source)
    return {"migrations": migrations, "vcpus": vcpu_frame(migrations, per_vcpu)}


def _repetitions(rows: Iterable[Row]) -> list[int]:
    """The number of each among the rows that differ from it in their seed alone, in order."""
    seen: dict[tuple[object, ...], int] = {}
    numbers = []
    for row in rows:
        key = (row.suite, row.scenario, row.throttle, row.preference, row.training_seed)
        seen[key] = seen.get(key, -1) + 1
        numbers.append(seen[key])
    return numbers


def vcpu_frame(migrations: pd.DataFrame, per_vcpu: Sequence[Sequence[float]]) -> pd.DataFrame:
    """A row for each value in ``per_vcpu``, which has those of each row of ``migrations``."""
    counts = list(map(len, per_vcpu))
    frame = migrations.loc[np.repeat(np.arange(len(counts)), counts), list(IDENTITY)].reset_index(drop=True)
    frame["vcpu"] = np.fromiter(chain.from_iterable(map(range, counts)), dtype=np.int64, count=len(frame))
    values = chain.from_iterable(per_vcpu)
    frame["guest_runtime"] = np.fromiter(values, dtype=np.float64, count=len(frame))
    return frame


def standings_frame(records: Iterable[Values], source: str) -> pd.DataFrame:
    """Standings, each once, with the ends of each interval in columns of their own."""
    frame = records_frame("standings", [_spread(record) for record in records], source)
    compared = ["source", "suite", "preference", "throttle", "opponent"]
    return frame.drop_duplicates(compared, ignore_index=True)


def _spread(standing: Values) -> dict[str, Any]:
    spread = dict(standing)
    for name in ESTIMATES:
        value, low, high = (None, None, None) if standing[name] is None else standing[name]
        spread |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return spread


def fronts_frame(records: Iterable[Values], source: str) -> pd.DataFrame:
    """Fronts, with a row for each of their points."""
    points = [
        {**front, "preference": preference, "time_over_t0": time, "guest_runtime": runtime, "efficient": efficient}
        for front in records
        for preference, time, runtime, efficient in zip(
            *(front[name] for name in ("preferences", "time_over_t0", "guest_runtime", "efficient")), strict=True
        )
    ]
    return records_frame("fronts", points, source)
