"""How a vCPU uses its memory: the one table of patterns. A new one that is made of what the model knows is a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from dqgym.errors import BadInputError
from dqgym.registered import Registry
from dqgym.scenario.bounds import HOT_FRACTION

Does = Literal["writes", "reads", "nothing"]


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
    does: Does = "writes"
    sequential: bool = False
    hot: HotSet | Literal["given"] | None = None


_ROWS: Mapping[str, PatternRow] = {
    "sequential": PatternRow("a loop over the working set", sequential=True),
    "uniform": PatternRow("random"),
    "hot-cold": PatternRow("random, with a hot part", hot="given"),
    "read-only": PatternRow("runs, never writes", does="reads"),
    "idle": PatternRow("does not touch memory", does="nothing"),
}


def own_pattern(name: str, found: object) -> PatternRow:
    """The row of a pattern that others bring.

    Raises:
        BadInputError: it is none, or its parts do not go together: a loop, or what does not write, has no hot part.
    """
    if not isinstance(found, PatternRow):
        raise BadInputError(f"pattern {name!r} must be a PatternRow (dqgym.plugins), not a {type(found).__name__}")
    if found.does not in get_args(Does):
        raise BadInputError(f"pattern {name!r}: does={found.does!r} must be one of {', '.join(get_args(Does))}")
    if found.hot is not None and (found.sequential or found.does != "writes"):
        raise BadInputError(f"pattern {name!r}: only random writes have a hot part")
    if isinstance(found.hot, HotSet):
        HOT_FRACTION.check(found.hot.fraction)
        if not found.hot.fraction <= found.hot.share <= 1:
            raise BadInputError(f"pattern {name!r}: hot share {found.hot.share!r} must be from its fraction to 1")
    elif found.hot not in (None, "given"):
        raise BadInputError(f"pattern {name!r}: hot={found.hot!r} must be a HotSet, 'given' or None")
    return found


PATTERNS = Registry("pattern", "patterns", "dqgym.patterns", _ROWS, own_pattern)
"""All patterns by name: those above and those of others."""
