"""A vCPU's dirty ring: KVM adds an entry at a page's first store since it was protected, user space takes them off.

When all but a reserve of the entries are taken (64, and 512 more where the processor keeps a log of its own), the vCPU
exits with KVM_EXIT_DIRTY_RING_FULL before it stores anything more. That exit is a dirty quota, in granules, that every
stock kernel has.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RING_ENTRY = np.dtype([("flags", "<u4"), ("slot", "<u4"), ("page", "<u8")])
"""struct kvm_dirty_gfn; ``page`` counts from the start of the slot."""
RESERVED_ENTRIES = 64
"""KVM_DIRTY_RING_RSVD_ENTRIES."""
_DIRTY, _RESET = 1, 2


class DirtyRing:
    """The ring of one vCPU, as user space sees it.

    Args:
        entries: [2^k] the shared entries.
        slot: the memory slot that all of them must be of.
    """

    def __init__(self, entries: NDArray[np.void], slot: int) -> None:
        self._flags: NDArray[np.uint32] = entries["flags"]
        self._slots: NDArray[np.uint32] = entries["slot"]
        self._pages: NDArray[np.uint64] = entries["page"]
        self._slot = slot
        self._size = len(entries)
        self._next = 0
        self._order = np.concatenate([np.arange(self._size), np.arange(self._size)])

    def harvest(self) -> NDArray[np.int64]:
        """[K] the pages that were dirtied since the last call, oldest first, now marked for the reset.

        Until ``Vm.reset_rings`` protects them again they stay writable, and the ring stays as full as it was.

        Raises:
            RuntimeError: an entry is not of the slot.
        """
        ahead = self._order[self._next : self._next + self._size]
        filled = (self._flags[ahead] & _DIRTY) != 0
        count = self._size if filled.all() else int(filled.argmin())
        taken = ahead[:count]
        pages = self._pages[taken].astype(np.int64)
        if (self._slots[taken] != self._slot).any():
            raise RuntimeError(f"dirty ring: entries of the slots {np.unique(self._slots[taken])}, not {self._slot}")
        self._flags[taken] = _RESET
        self._next = (self._next + count) % self._size
        return pages
