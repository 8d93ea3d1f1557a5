"""The part of the dirty log that is cleared in a round where that happens in chunks, of numbers and of lanes.

Places are shares of the memory. The sender goes through all of it once a round, from ADDRESS on and around the end, and
clears a chunk's log when it comes to the first page of it. The pages to send are spread evenly over the memory, so that
a share of the round is a share of the way. Chunks are followed one by one where a few make up the memory. More of them
would part a round into many pieces, and need not be: where they begin does not matter then, and a whole chunk is taken
to be cleared that is not sent, in front of the sender and behind where it began.
"""

from __future__ import annotations

from dqgym.jit.compile import exact_part
from dqgym.jit.lanes import alike, floor, larger, smaller, where

COARSE = 0.2
"""Chunks of at least this share of the memory are followed one by one."""
NO_MORE = 1e300
_SAME_PLACE = 1e-6
"""Share of a chunk that rounding may take from a place."""


@exact_part
def chunk_began(place, chunk):  # type: ignore[no-untyped-def]
    """Where the chunk begins in which the place is, 0 <= place < 1."""
    return floor(place / chunk + _SAME_PLACE) * chunk


@exact_part
def chunk_ends(place, chunk):  # type: ignore[no-untyped-def]
    """Where that chunk ends, 0 <= place <= 2: chunks begin anew with the memory, and its last one is what is left."""
    around = where(place < 1.0 - _SAME_PLACE, alike(place, 0.0), alike(place, 1.0))
    return around + smaller((floor((place - around) / chunk + _SAME_PLACE) + 1.0) * chunk, 1.0)


@exact_part
def uncleared(chunk, began, sent, last_chunk_at):  # type: ignore[no-untyped-def]
    """The share of the memory whose log is not cleared when the share ``sent`` of the round is sent.

    ``chunk``: share of the memory, 0 where pages are cleared one by one. ``began``: where the round began. The chunk
    that was begun last is that which the sender had come to at the share ``last_chunk_at``.
    """
    fine = larger(1.0 - chunk - sent, 0.0)
    coarse = larger(1.0 - (chunk_ends(began + last_chunk_at, chunk) - chunk_began(began, chunk)), 0.0)
    return where(chunk < COARSE, fine, coarse)


@exact_part
def next_clearing(chunk, began, sent):  # type: ignore[no-untyped-def]
    """The share of the round at which the log of a chunk is cleared next; NO_MORE where that was the last one."""
    last = 1.0 - chunk  # of fine chunks, the only moment that counts: after it no more becomes clean
    ends = chunk_ends(began + sent, chunk)
    is_last = ends - chunk_began(began, chunk) >= 1.0 - _SAME_PLACE
    return where(chunk < COARSE, last, where(is_last, alike(last, NO_MORE), ends - began))
