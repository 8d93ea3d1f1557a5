"""The proof that a migration lost nothing: identical memory, and every store exactly once.

* *Identical*: the destination keeps the image that it received apart from what its guest does with it; its hash must be
  that of the source's memory, which has stood still since the guest stopped.
* *Exactly once*: each page begins with the guest's own count of the stores to it. When the guest has run on at the
  destination for a while, the count of every single page must be the number of stores that source and destination
  together have given it. A store that was lost, or played twice across the move, shows.

A migration that fails either is an error, not a result.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import ByteArray
from dqgym.backends.kvm.machine.machine import Machine
from dqgym.errors import RunFailedError


class ProofFailedError(RunFailedError):
    """Something was lost or done twice; the message says what, and how much of it."""


@dataclass(frozen=True)
class Proof:
    """The numbers of a proof.

    Attributes:
        memory_hash: BLAKE2b of the guest's memory when it stopped, equal on both sides.
        stores: that the guest and its devices made in all, each exactly once.
        stores_at_destination: those of them that were made after the move.
    """

    memory_hash: str
    stores: int
    stores_at_destination: int


def memory_hash(memory: ByteArray) -> str:
    """BLAKE2b-128 of the memory, in hexadecimal."""
    return hashlib.blake2b(memory.data, digest_size=16).hexdigest()


def evidence(image: ByteArray, machine: Machine) -> tuple[dict[str, Any], bytes]:
    """The destination's proof: the hash of the image that it received, then per page the count and what it gave."""
    document = {"memory_hash": memory_hash(image)}
    return document, machine.counters.astype("<i8").tobytes() + machine.issued.astype("<i8").tobytes()


def prove(source: Machine, document: dict[str, Any], raw: memoryview) -> Proof:
    """Check a destination's evidence against the source, whose guest has stopped.

    Raises:
        ProofFailedError: they do not agree.
    """
    expected_hash, given_hash = memory_hash(source.memory), document.get("memory_hash")
    if given_hash != expected_hash:
        raise ProofFailedError(f"the destination's memory has the hash {given_hash!r}, the source's {expected_hash!r}")
    pages = len(source.issued)
    if len(raw) != 16 * pages:
        raise ProofFailedError(f"the destination's counters have {len(raw)} bytes, must have {16 * pages}")
    counters, issued = np.frombuffer(raw, dtype="<i8").reshape(2, pages)
    require_exactly_once(counters, source.issued + issued)
    return Proof(expected_hash, int(counters.sum()), int(issued.sum()))


def require_exactly_once(counters: NDArray[np.int64], issued: NDArray[np.int64]) -> None:
    """Raise a ProofFailedError unless every page was stored to as often as it should."""
    wrong = np.flatnonzero(counters != issued)
    if len(wrong):
        lost = int(np.maximum(issued - counters, 0).sum())
        doubled = int(np.maximum(counters - issued, 0).sum())
        raise ProofFailedError(
            f"{len(wrong)} of {len(issued)} pages were not stored to exactly once (first: page {wrong[0]}):"
            f" {lost} stores were lost, {doubled} were too many"
        )
