"""Probabilities of the pages of a vCPU's region, for the patterns that are random."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dqgym.scenario import HotSet, VcpuGroup


class PageLaw(NamedTuple):
    """Probabilities of a region's pages, as Walker's alias table: every page shares its turn with one other.

    A turn comes for each page alike; in the share ``own_share`` [pages] of its turns a page is picked itself, else the
    page ``other`` [pages]. A search in the cumulative weights would pick from the same law, at three times the cost.
    """

    own_share: NDArray[np.float64]
    other: NDArray[np.intp]


def page_law(group: VcpuGroup, pages: int) -> PageLaw | None:
    """The law of a group's vCPUs, each with so many pages; None where they go one after the other."""
    if group.zipf_skew is not None:
        return _zipf_law(group.zipf_skew, pages)
    if group.hot_set is not None:
        return _hot_cold_law(group.hot_set, pages)
    return None


@lru_cache(maxsize=8)
def _zipf_law(skew: float, pages: int) -> PageLaw:
    """Page k (from 1) in proportion to k ** -skew."""
    return _alias_table(np.arange(1, pages + 1, dtype=np.float64) ** -skew)


@lru_cache(maxsize=8)
def _hot_cold_law(hot_set: HotSet, pages: int) -> PageLaw | None:
    """The first pages are the hot ones; where either part comes out empty, all pages are alike."""
    hot_pages = round(pages * hot_set.fraction)
    if hot_pages in (0, pages):
        return None
    weights = np.full(pages, (1.0 - hot_set.share) / (pages - hot_pages))
    weights[:hot_pages] = hot_set.share / hot_pages
    return _alias_table(weights)


def _alias_table(weights: NDArray[np.float64]) -> PageLaw:
    """The table of a law (Vose's construction): pages above the mean fill up the turns of those below it."""
    shares = (weights * (len(weights) / weights.sum())).tolist()
    other = np.arange(len(weights))
    below = [page for page, share in enumerate(shares) if share < 1.0]
    above = [page for page, share in enumerate(shares) if share >= 1.0]
    while below and above:
        low, high = below.pop(), above[-1]
        other[low] = high
        shares[high] -= 1.0 - shares[low]
        if shares[high] < 1.0:
            below.append(above.pop())
    own_share = np.array(shares)
    own_share[below + above] = 1.0  # but for rounding they are
    return PageLaw(own_share, other)
