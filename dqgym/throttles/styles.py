"""How throttles are drawn: the table has styles, policies have some of their own, all others get a spare one.

The colours are Okabe and Ito's, which colour-blind readers can tell apart, and more that are unlike them.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from math import lcm
from typing import Literal
from zlib import crc32

Marker = str | tuple[int, Literal[1], int]
"""As matplotlib spells it: a letter, or a star of (points, 1, angle)."""


@dataclass(frozen=True)
class Style:
    """How a throttle is drawn."""

    colour: str
    marker: Marker


POLICY_STYLES = (
    Style("#009E73", "o"),
    Style("#000000", "P"),
    Style("#56B4E9", "*"),
    Style("#7F4F24", "h"),
    Style("#F0A3FF", "d"),
    Style("#94FFB5", "8"),
    Style("#3B5B12", "H"),
)
"""Of learned policies, in turn."""

_SPARE_COLOURS = ("#FFD700", "#1B1464", "#FFB6A3", "#4B5B6B", "#B8B8FF")
_SPARE_MARKERS: tuple[Marker, ...] = ((3, 1, 0), (5, 1, 180), (6, 1, 0), (9, 1, 0))
SPARE_STYLES = tuple(
    Style(_SPARE_COLOURS[k % len(_SPARE_COLOURS)], _SPARE_MARKERS[k % len(_SPARE_MARKERS)])
    for k in range(lcm(len(_SPARE_COLOURS), len(_SPARE_MARKERS)))
)
"""Of throttles that have none of their own; no two of them are alike."""


def spare_style(name: str, taken: Container[Style] = ()) -> Style:
    """The style of a throttle that has none of its own: by its name, or the next one that is not taken."""
    first = crc32(name.encode()) % len(SPARE_STYLES)
    in_turn = (*SPARE_STYLES[first:], *SPARE_STYLES[:first])
    return next((style for style in in_turn if style not in taken), in_turn[0])
