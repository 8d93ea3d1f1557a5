"""How a vCPU uses its memory: the one table of patterns. A new one that is made of what the model knows is a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Pattern = Literal["sequential", "uniform", "hot-cold", "read-only", "idle"]
"""The names of the table below, for type checkers."""


class HotSet(NamedTuple):
    """The hot part of a working set, written uniformly; the rest is written uniformly, too.

    Attributes:
        fraction: of the working set that is hot.
        share: of the writes that go there.
    """

    fraction: float
    share: float


@dataclass(frozen=True)
class PatternRow:
    """One pattern.

    Attributes:
        what: a few words.
        does: what its vCPUs do to their memory.
        sequential: they write in a loop, page after page; otherwise at random.
        hot: of those at random: every working set has this hot part, or the group says which (``given``), or it has
            none.
    """

    what: str
    does: Literal["writes", "reads", "nothing"] = "writes"
    sequential: bool = False
    hot: HotSet | Literal["given"] | None = None


PATTERNS: Mapping[Pattern, PatternRow] = {
    "sequential": PatternRow("a loop over the working set", sequential=True),
    "uniform": PatternRow("random"),
    "hot-cold": PatternRow("random, with a hot part", hot="given"),
    "read-only": PatternRow("runs, never writes", does="reads"),
    "idle": PatternRow("does not touch memory", does="nothing"),
}
