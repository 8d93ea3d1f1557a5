"""The dirty log, from which the hypervisor learns the pages that the guest wrote."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
    """

    kind: DirtyLogKind = "bitmap"
    ring_entries: Annotated[int, Field(ge=SMALLEST_RING_ENTRIES, le=LARGEST_RING_ENTRIES, strict=True)] = 4096

    @property
    def cleared_at_sync(self) -> bool:
        """True where all pages are protected again at the sync, not each when it is sent."""
        return self.kind != "bitmap"

    @property
    def sync_waits(self) -> bool:
        """True where a sync waits for vCPUs that a throttle keeps asleep."""
        return self.kind != "bitmap"
