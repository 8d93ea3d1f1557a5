"""Help with misspelt names: every error about a name says which valid one is nearest."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` with the nearest valid name, or an empty string when none is near."""
    by_folded = {option.casefold(): option for option in reversed(list(valid))}
    nearest = difflib.get_close_matches(name.casefold(), list(by_folded), n=1, cutoff=0.5)
    return f" (did you mean {by_folded[nearest[0]]!r}?)" if nearest else ""
