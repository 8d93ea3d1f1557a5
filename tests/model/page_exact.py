"""A page-exact pre-copy migration, event by event, to check the model against: plain Python, one byte per page.

The pages of all vCPUs lie scattered over the address space. The sender walks it round and round, one page every page /
bandwidth seconds, and goes on where it is after a sync, as QEMU does; between two pages every vCPU makes the stores
that it is due. The dirty log is cleared only when a page is sent, so a store to a page that still waits costs nothing.
A dirty-rate limit is a bucket that fills all the time and holds one quota interval: a first write that finds less than
a page in it waits, and what the vCPU misses meanwhile is lost (closed-loop demand).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

PAGE_BYTES = 4096
QUOTA_INTERVAL_S = 0.1
"""Ten pages at a tenth of a thousand pages per second: the model knows no pages."""


@dataclass(frozen=True)
class Writer:
    """One vCPU; sizes in pages, rates in pages/s.

    Attributes:
        pages: of its working set.
        stores_per_s: page stores at full run share.
        sequential: in order, in a loop; otherwise at random.
        hot_fraction: share of the pages that are hot, with ``hot_share`` of the (random) stores.
        limit_pages_per_s: dirty-rate limit.
        run_share_cap: share of the time in which it may run.
    """

    pages: int
    stores_per_s: float
    sequential: bool = False
    hot_fraction: float = 0.0
    hot_share: float = 0.0
    limit_pages_per_s: float = math.inf
    run_share_cap: float = 1.0


@dataclass(frozen=True)
class Migration:
    """What is migrated, in pages; the last pages belong to no writer."""

    pages: int
    writers: tuple[Writer, ...]
    pages_per_s: float
    downtime_limit_s: float
    least_round_s: float
    deadline_s: float


@dataclass(frozen=True)
class Result:
    """What became of it; ``dirtied_pages`` and ``run_s`` per writer."""

    converged: bool
    total_time_s: float
    sent_pages: int
    rounds: int
    dirtied_pages: tuple[int, ...]
    run_s: tuple[float, ...]


class _Vcpu:
    """A writer at work on the pages ``addresses``."""

    def __init__(self, writer: Writer, addresses: list[int], rng: np.random.Generator) -> None:
        self.stores_per_s = writer.stores_per_s * writer.run_share_cap
        self.limit = writer.limit_pages_per_s
        self.bucket_pages = max(self.limit * QUOTA_INTERVAL_S, 1.0)
        self.addresses = addresses
        self.order = _store_order(writer, rng)
        self.due = rng.random()
        self.quota = 0.0
        self.waits_at = -1
        self.dirtied = 0
        self.stores = 0

    def run(self, duration_s: float, pending: bytearray, dirty: bytearray) -> None:
        """Make the stores of ``duration_s``; stop at the first that the quota does not cover."""
        self.due += self.stores_per_s * duration_s
        self.quota = min(self.quota + self.limit * duration_s, self.bucket_pages) if self.limit < math.inf else math.inf
        while self.due >= 1.0:
            page = self.waits_at if self.waits_at >= 0 else self.addresses[next(self.order)]
            if not pending[page] and not dirty[page]:
                if self.quota < 1.0:
                    self.waits_at = page
                    self.due = 1.0  # what it misses while it waits is lost
                    return
                self.quota -= 1.0
                dirty[page] = 1
                self.dirtied += 1
            self.waits_at = -1
            self.due -= 1.0
            self.stores += 1


def _store_order(writer: Writer, rng: np.random.Generator) -> Iterator[int]:
    if writer.sequential:
        while True:
            yield from range(writer.pages)
    hot = round(writer.pages * writer.hot_fraction)
    while True:
        chunk = rng.integers(hot, writer.pages, size=4096)
        if hot:
            chunk = np.where(rng.random(4096) < writer.hot_share, rng.integers(0, hot, size=4096), chunk)
        yield from chunk.tolist()


def migrate(migration: Migration, seed: int) -> Result:
    """Run it to its end."""
    rng = np.random.default_rng(seed)
    scattered = rng.permutation(migration.pages).tolist()
    vcpus, first = [], 0
    for writer in migration.writers:
        vcpus.append(_Vcpu(writer, scattered[first : first + writer.pages], rng))
        first += writer.pages
    pending, dirty = bytearray(b"\x01" * migration.pages), bytearray(migration.pages)
    page_s = 1.0 / migration.pages_per_s
    threshold = migration.pages_per_s * migration.downtime_limit_s
    remaining, sent, rounds, time_s, round_began_s, address = migration.pages, 0, 1, 0.0, 0.0, 0
    converged = False
    while time_s < migration.deadline_s:
        if remaining > 0:
            address = pending.find(1, address)
            address = address if address >= 0 else pending.index(1)
            pending[address] = 0
            sent += 1
            remaining -= 1
        for vcpu in vcpus:
            vcpu.run(page_s, pending, dirty)
        time_s += page_s
        if remaining <= threshold and time_s - round_began_s >= migration.least_round_s:
            # Sync. Dirty pages never still wait, so the two sets have no page in common.
            pending = bytearray((int.from_bytes(pending) | int.from_bytes(dirty)).to_bytes(migration.pages))
            dirty = bytearray(migration.pages)
            remaining = pending.count(1)
            if remaining <= threshold:
                time_s += remaining * page_s
                sent += remaining
                converged = True
                break
            rounds += 1
            round_began_s = time_s
    return Result(
        converged=converged,
        total_time_s=time_s,
        sent_pages=sent,
        rounds=rounds,
        dirtied_pages=tuple(vcpu.dirtied for vcpu in vcpus),
        run_s=tuple(vcpu.stores / writer.stores_per_s for vcpu, writer in zip(vcpus, migration.writers, strict=True)),
    )
