"""Help with misspelt names: every error about a name says which valid one is nearest."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MEANT = {
    "random": ("uniform",),
    "rand": ("uniform",),
    "seq": ("sequential",),
    "linear": ("sequential",),
    "loop": ("sequential",),
    "stream": ("sequential", "streaming"),
    "zipf": ("hot-cold",),
    "zipfian": ("hot-cold",),
    "skewed": ("hot-cold",),
    "read": ("read-only",),
    "ro": ("read-only",),
    "sleep": ("idle",),
    "const": ("constant",),
    "fixed": ("constant",),
    "ou": ("ornstein-uhlenbeck",),
    "two-level": ("markov",),
    "replay": ("trace", "recorded"),
    "recording": ("trace", "recorded"),
    "periodic": ("phased",),
    "burst": ("bursty",),
    "autoconverge": ("auto-converge",),
    "tcg": ("software",),
}
"""Names that are used elsewhere, and those here."""
_NEVER = frozenset({"rw", "write", "writes", "write-only", "read-write", "readwrite"})
"""Names with a meaning for which there is no name here: one that only looks like it would mislead."""


_LONGEST = 100
"""Characters of a name that are compared; matching takes the square of it."""


def unknown(what: str, name: str, known: Iterable[str], listed_as: str = "known") -> str:
    """``"unknown WHAT 'x' (did you mean 'y'?); known: y, z"``: the message about a name that is none of those known."""
    known = list(known)
    return f"unknown {what} {name!r}{did_you_mean(str(name), known)}; {listed_as}: {', '.join(known)}"


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` with the nearest valid name, or an empty string when none is near.

    A word that others use for the same thing leads to the name here; one that means something else leads to none.
    """
    by_folded = {option.casefold(): option for option in reversed(list(valid))}
    folded = name[:_LONGEST].casefold()
    word = folded.replace("_", "-").replace(" ", "-")
    if word in _NEVER:
        nearest = []
    elif word in _MEANT:
        longer = [option for option in by_folded if option.startswith(folded)]
        nearest = [option for option in _MEANT[word] if option in by_folded] or longer
    else:
        nearest = difflib.get_close_matches(folded, list(by_folded), n=1, cutoff=0.5)
    return f" (did you mean {by_folded[nearest[0]]!r}?)" if nearest else ""
