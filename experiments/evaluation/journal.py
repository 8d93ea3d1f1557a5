"""Finished runs of an evaluation, which an interrupted one goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dqgym.results.rows import Row, TakeoverCount
from experiments.resuming import Records


class RunKey(NamedTuple):
    """Which run it is: one throttle on one suite, at one preference, or a baseline's, costed at all of them.

    ``policy_digest`` tells policies of one name and training seed apart, such as one that was trained anew meanwhile.
    """

    suite: str
    throttle: str
    preferences: tuple[float, ...]
    training_seed: int | None = None
    policy_digest: str = ""


@dataclass(frozen=True)
class Finished:
    """What became of a run; the first three and the last two fields are those of its key."""

    suite: str
    throttle: str
    preferences: tuple[float, ...]
    rows: tuple[Row, ...]
    takeovers: tuple[TakeoverCount, ...]
    training_seed: int | None = None
    policy_digest: str = ""

    @property
    def key(self) -> RunKey:
        """Which run it was."""
        return RunKey(self.suite, self.throttle, self.preferences, self.training_seed, self.policy_digest)


Journal = Records[Finished]


def open_journal(path: Path, setting: Mapping[str, Any], resume: bool) -> Journal:
    """The journal of an evaluation. BadInputError: see ``Records``."""
    return Records(path, setting, resume, Finished, "evaluation")


def find(journal: Journal, key: RunKey) -> Finished | None:
    """The finished run, if it is one."""
    return next((one for one in journal.all if one.key == key), None)
