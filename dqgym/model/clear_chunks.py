"""The part of the dirty log that is cleared in a round where that happens in chunks, as ``numba`` code.

Places are shares of the memory. The sender goes through all of it once a round, from ADDRESS on and around the end, and
clears a chunk's log when it comes to the first page of it. The pages to send are spread evenly over the memory, so that
a share of the round is a share of the way. Chunks are followed one by one where a few make up the memory. More of them
would part a round into many pieces, and need not be: where they begin does not matter then, and a whole chunk is taken
to be cleared that is not sent, in front of the sender and behind where it began.
"""

from __future__ import annotations

import numpy as np

from dqgym.jit.compile import part
from dqgym.model.layout import Vm

COARSE = 0.2
"""Chunks of at least this share of the memory are followed one by one."""
_SAME_PLACE = 1e-6
"""Share of a chunk that rounding may take from a place."""


@part
def chunk_began(place, chunk):  # type: ignore[no-untyped-def]
    """Where the chunk begins in which the place is, 0 <= place < 1."""
    return np.floor(place / chunk + _SAME_PLACE) * chunk


@part
def chunk_ends(place, chunk):  # type: ignore[no-untyped-def]
    """Where that chunk ends, 0 <= place <= 2: chunks begin anew with the memory, and its last one is what is left."""
    around = 0.0 if place < 1.0 - _SAME_PLACE else 1.0
    return around + min((np.floor((place - around) / chunk + _SAME_PLACE) + 1.0) * chunk, 1.0)


@part
def uncleared(state, sent, last_chunk_at):  # type: ignore[no-untyped-def]
    """The share of the memory whose log is not cleared when the share ``sent`` of the round is sent.

    The chunk that was begun last is that which the sender had come to at the share ``last_chunk_at``.
    """
    chunk, began = state[Vm.CLEARED_AHEAD], state[Vm.ADDRESS]
    if chunk < COARSE:
        return max(1.0 - chunk - sent, 0.0)
    return max(1.0 - (chunk_ends(began + last_chunk_at, chunk) - chunk_began(began, chunk)), 0.0)


@part
def next_clearing(state, sent):  # type: ignore[no-untyped-def]
    """The share of the round at which the log of a chunk is cleared next; infinity where that was the last one."""
    chunk, began = state[Vm.CLEARED_AHEAD], state[Vm.ADDRESS]
    if chunk < COARSE:  # The only moment that counts: after it no more becomes clean.
        return 1.0 - chunk
    ends = chunk_ends(began + sent, chunk)
    return ends - began if ends - chunk_began(began, chunk) < 1.0 - _SAME_PLACE else np.inf
