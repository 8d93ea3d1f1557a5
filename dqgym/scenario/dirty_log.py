"""The dirty log, from which the hypervisor learns the pages that the guest wrote."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dqgym.errors import BadInputError
from dqgym.scenario.record import Record

SMALLEST_RING_ENTRIES, LARGEST_RING_ENTRIES = 256, 65536
"""Bounds of a dirty ring. KVM's smallest is one page, which holds 256 entries; QEMU asks for 1024 or more (as KVM does
where Intel's page-modification log makes it keep 512 of them in reserve). KVM takes no more than 65536."""

DirtyLogKind = Literal["bitmap", "ring", "software"]


class DirtyLog(Record):
    """The dirty log, which the sender reads at every sync.

    * ``bitmap``: KVM's dirty bitmap. A page is write-protected again only when it is sent
      (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, QEMU's clear bitmap), so a store to a page that still waits to be sent costs
      nothing and sends nothing twice. A sync needs no vCPU.
    * ``ring``: KVM's dirty rings (QEMU: ``-accel kvm,dirty-ring-size=``). All pages are protected again at the sync, so
      a page written after the sync and before it is sent is sent twice. A sync waits for vCPUs that a throttle keeps
      asleep, because each of them must flush its ring.
    * ``software``: no hardware help (QEMU's TCG). Protected again at the sync, which waits for the vCPUs, too.

    Attributes:
        kind: as above.
        ring_entries: pages that a vCPU's ring holds. A throttle that works through full rings (``dirty-limit``) gets
            rings of this size whatever the kind: QEMU would have been started with them.
        ring_entries_lost: of these, how many the host keeps in reserve: a ring counts as full that much earlier. KVM
            keeps 64, and 512 more where the processor logs pages in hardware (Intel's PML; virt/kvm/dirty_ring.c:
            ``kvm_dirty_ring_get_rsvd_entries``). QEMU's dirty limit reckons with the whole ring all the same.
    """

    kind: DirtyLogKind = "bitmap"
    ring_entries: Annotated[int, Field(ge=SMALLEST_RING_ENTRIES, le=LARGEST_RING_ENTRIES, strict=True)] = 4096
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

    @property
    def sync_waits(self) -> bool:
        """True where a sync waits for vCPUs that a throttle keeps asleep."""
        return self.kind != "bitmap"
