"""What ``dqgym.load`` gives: one frozen object with a pandas frame for each kind of row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """What a command left, as pandas frames; a frame for which nothing was left has its columns and no rows.

    ``docs/python.md`` has the columns of each, with units (they are made from ``dqgym.results.schema.FRAMES``).

    Attributes:
        kind: what it is: ``evaluation``, ``training run``, ``comparison``, ``control report``, ``migration``, ``tuned
            options``, or ``several`` of them.
        path: what was loaded.
        about: where it comes from, as the files say it: command, backend and date of an evaluation, name, seed and
            packages of a training. Of ``several``: that of each, by its name.
        migrations: a row for each migration and preference.
        vcpus: a row for each vCPU of each of them; the columns that tell migrations apart are the same.
        means: mean cost and outcomes of a throttle in a suite at a preference, with the cost's 95 % interval.
        standings: each throttle against opponents on the same migrations, with 95 % intervals.
        fronts: the points in time and guest runtime that a throttle reaches over the preferences.
        takeovers: how many migrations the guard took over from a policy, and why.
        pairs: the migrations with the largest gains and losses of a comparison.
        learning: the cost of a policy on held-out migrations as it was trained.
        tuning: the best options that a search found.
    """

    kind: str
    path: Path
    about: Mapping[str, Any] = field(hash=False)
    migrations: pd.DataFrame
    vcpus: pd.DataFrame
    means: pd.DataFrame
    standings: pd.DataFrame
    fronts: pd.DataFrame
    takeovers: pd.DataFrame
    pairs: pd.DataFrame
    learning: pd.DataFrame
    tuning: pd.DataFrame

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The frames that have rows, by name."""
        return {name: frame for name in _FRAMES if len(frame := getattr(self, name))}

    def __repr__(self) -> str:
        """What it is, and the size of each frame that has rows."""
        width = max(map(len, self.frames), default=0)
        lines = [f"{self.kind}: {self.path}"]
        lines += [
            f"  .{name:{width}}  {len(frame):,} rows x {len(frame.columns)} columns"
            for name, frame in self.frames.items()
        ]
        return "\n".join(lines)


_FRAMES = tuple(one.name for one in fields(Results) if one.name not in ("kind", "path", "about"))
