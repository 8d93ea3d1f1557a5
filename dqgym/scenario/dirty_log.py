"""The dirty log, from which the hypervisor learns the pages that the guest wrote."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from dqgym.errors import BadInputError
from dqgym.scenario.bounds import CLEAR_CHUNK_BYTES
from dqgym.scenario.record import Bytes, Record

SMALLEST_RING_ENTRIES, LARGEST_RING_ENTRIES = 256, 65536
"""Bounds of a dirty ring. KVM's smallest is one page, which holds 256 entries; QEMU asks for 1024 or more (as KVM does
where Intel's page-modification log makes it keep 512 of them in reserve). KVM takes no more than 65536."""

DirtyLogKind = Literal["bitmap", "ring", "software"]

QEMU_CLEAR_CHUNK_BYTES = 2**30
"""QEMU's x-clear-bitmap-shift is 18: 2^18 pages of 4 KiB (migration/options.c, migration/ram.c)."""


class DirtyLog(Record):
    """The dirty log, which the sender reads at every sync.

    * ``bitmap``: KVM's dirty bitmap. Pages are write-protected again only when they are about to be sent
      (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2), a whole chunk of memory when the first page of it is sent in the round
      (QEMU's clear bitmap). Until then a store to a page that waits to be sent costs nothing and sends nothing twice;
      from then on it is sent again in the next round, sent already or not. A sync needs no vCPU.
    * ``ring``: KVM's dirty rings (QEMU: ``-accel kvm,dirty-ring-size=``). All pages are protected again at the sync, so
      a page written after the sync and before it is sent is sent twice. A sync waits for vCPUs that a throttle keeps
      asleep, because each of them must flush its ring.
    * ``software``: no hardware help (QEMU's TCG). Protected again at the sync, which waits for the vCPUs, too.

    Attributes:
        kind: as above.
        ring_entries: pages that a vCPU's ring holds. A throttle that works through full rings (``dirty-limit``) gets
            rings of this size whatever the kind: QEMU would have been started with them.
        clear_chunk_bytes: ``bitmap``: memory whose log is cleared at once, when its first page of the round is sent.
            QEMU has 1 GiB, so that the log of a smaller guest is cleared whole at the beginning of the round. A chunk
            of a page clears each page's log when that page is sent.
        ring_entries_lost: of these, how many the host keeps in reserve: a ring counts as full that much earlier. KVM
            keeps 64, and 512 more where the processor logs pages in hardware (Intel's PML; virt/kvm/dirty_ring.c:
            ``kvm_dirty_ring_get_rsvd_entries``). QEMU's dirty limit reckons with the whole ring all the same.
    """

    kind: DirtyLogKind = "bitmap"
    ring_entries: Annotated[int, Field(ge=SMALLEST_RING_ENTRIES, le=LARGEST_RING_ENTRIES, strict=True)] = 4096
    clear_chunk_bytes: Annotated[Bytes, AfterValidator(CLEAR_CHUNK_BYTES.check)] = QEMU_CLEAR_CHUNK_BYTES
    ring_entries_lost: Annotated[int, Field(ge=0, lt=LARGEST_RING_ENTRIES, strict=True)] = 0

    @model_validator(mode="after")
    def _leaves_entries(self) -> DirtyLog:
        if self.ring_entries_lost >= self.ring_entries:
            raise BadInputError(
                f"ring_entries_lost={self.ring_entries_lost} must be less than ring_entries={self.ring_entries}"
            )
        return self

    @property
    def cleared_at_sync(self) -> bool:
        """True where all pages are protected again at the sync, not each when it is sent."""
        return self.kind != "bitmap"

    def cleared_ahead(self, memory_bytes: int, granule_bytes: int) -> float:
        """Share of the memory whose log is cleared before it is sent: of a chunk; 1: all, at the sync; 0: page by page.

        Args:
            memory_bytes: that the sender goes through.
            granule_bytes: pages of dirty tracking.
        """
        if self.cleared_at_sync or self.clear_chunk_bytes >= memory_bytes:
            return 1.0
        return self.clear_chunk_bytes / memory_bytes if self.clear_chunk_bytes > granule_bytes else 0.0

    @property
    def sync_waits(self) -> bool:
        """True where a sync waits for vCPUs that a throttle keeps asleep."""
        return self.kind != "bitmap"
