"""How a vCPU uses its memory: the one table of patterns. A new one that is made of what the model knows is a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dqgym.errors import BadInputError
from dqgym.registered import Registry


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


_ROWS: Mapping[str, PatternRow] = {
    "sequential": PatternRow("a loop over the working set", sequential=True),
    "uniform": PatternRow("random"),
    "hot-cold": PatternRow("random, with a hot part", hot="given"),
    "read-only": PatternRow("runs, never writes", does="reads"),
    "idle": PatternRow("does not touch memory", does="nothing"),
}


def _adopted(name: str, found: object) -> PatternRow:
    """A row of what a plug-in gives."""
    if not isinstance(found, PatternRow):
        raise BadInputError(f"pattern {name!r} must be a PatternRow (dqgym.plugins), not a {type(found).__name__}")
    return found


PATTERNS = Registry("pattern", "patterns", "dqgym.patterns", _ROWS, _adopted)
"""All patterns by name: those above and those of others."""
