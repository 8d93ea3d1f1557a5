"""The pages to send: a bitmap for this round, one for the next, and the rings that feed it.

The order is what makes it right. Under one lock: harvest a ring, protect its pages again, publish them as dirty; only
then may the sender take a page and copy it. So a store that the copy misses faults, and the page is published again;
and a page that is taken after it was published is copied with the store in it.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from dqgym.arrays import IntArray
from dqgym.backends.kvm.machine.api import PAGE_BYTES
from dqgym.backends.kvm.machine.vm import Vm


class LostPagesError(RuntimeError):
    """KVM did not protect again what was harvested: stores would go unseen, so the migration must not go on."""


class PageLog:
    """The pages of one migration; every method may be called from any thread that blocks all signals.

    Before ``begin``, or ``begin_survey``, nothing is logged.

    Attributes:
        entries: pages that came out of each vCPU's ring so far.
        first_writes: those of them that were clean: neither dirtied in this round already, nor pending anyway.
        syncs: dirty-log syncs so far.
        pending_pages: still to send in this round.
        synced_dirty_pages: that all syncs so far found newly dirty.
    """

    def __init__(self, vm: Vm) -> None:
        pages = vm.memory.nbytes // PAGE_BYTES
        self._vm = vm
        self._lock = threading.Lock()
        self._pending = np.zeros(pages, dtype=bool)
        self._dirty = np.zeros(pages, dtype=bool)
        self._order = np.zeros(0, dtype=np.int64)
        self._at = 0
        self._position = 0
        self._logging = False
        self.entries = [0] * len(vm.vcpus)
        self.first_writes = [0] * len(vm.vcpus)
        self.syncs = 0
        self.pending_pages = 0
        self.synced_dirty_pages = 0

    def begin_survey(self) -> None:
        """Start to log while nothing is to send: each vCPU's first writes are then its distinct pages.

        The vCPUs must not run.
        """
        with self._lock:
            self._start_to_log()
            self._dirty[:] = False
            self._pending[:] = False

    def begin(self) -> None:
        """Every page is to send. The vCPUs must not run, unless a survey has already started to log.

        What a running vCPU stores meanwhile is lost no more than in the midst of a round: a page is copied after this,
        and what is still in a ring then is published later.
        """
        with self._lock:
            if self._logging:
                self._flush_all()
            else:
                self._start_to_log()
            self._dirty[:] = False
            self._pending[:] = True
            self._arrange()
            self.syncs = 1
            self.synced_dirty_pages = 0

    def end(self) -> None:
        """Stop to log and leave the rings empty. The vCPUs must not run."""
        with self._lock:
            self._logging = False
            self._vm.log_dirty_pages(False)
            for handle in self._vm.vcpus:
                handle.ring.harvest()
            self._vm.reset_rings()

    def flush(self, *vcpus: int) -> None:
        """Empty the rings of these vCPUs and protect their pages again.

        Raises:
            LostPagesError: KVM protected another number of pages than were harvested.
        """
        with self._lock:
            for vcpu in vcpus:
                self._flush(vcpu)

    def mark(self, pages: NDArray[np.integer]) -> None:
        """Pages that the host itself has just written: KVM does not log those."""
        with self._lock:
            self._dirty[pages] = True

    def sync(self) -> None:
        """Empty all rings; what was dirtied is to send, too."""
        with self._lock:
            self._flush_all()
            self.synced_dirty_pages += int(np.count_nonzero(self._dirty & ~self._pending))
            self.syncs += 1
            self._pending |= self._dirty
            self._dirty[:] = False
            self._arrange()

    def take(self, most: int) -> IntArray:
        """The next pages to send, at ascending addresses and around the end; copy them after this call."""
        with self._lock:
            pages = self._order[self._at : self._at + most]
            self._at += len(pages)
            self._pending[pages] = False
            self._dirty[pages] = False  # what was published before is in the copy
            self.pending_pages -= len(pages)
            if len(pages):
                self._position = int(pages[-1]) + 1
            return pages

    def _start_to_log(self) -> None:
        self._vm.log_dirty_pages(True)
        self._logging = True

    def _flush_all(self) -> None:
        for vcpu in range(len(self._vm.vcpus)):
            self._flush(vcpu)

    def _flush(self, vcpu: int) -> None:
        pages = self._vm.vcpus[vcpu].ring.harvest()
        if not len(pages):
            return
        protected = self._vm.reset_rings()
        if protected != len(pages):
            raise LostPagesError(f"KVM_RESET_DIRTY_RINGS protected {protected} pages of {len(pages)}")
        if self._logging:
            self.entries[vcpu] += len(pages)
            self.first_writes[vcpu] += int(np.count_nonzero(~(self._dirty[pages] | self._pending[pages])))
            self._dirty[pages] = True

    def _arrange(self) -> None:
        """The order in which what is pending is sent: on from where the sender is."""
        pages = np.flatnonzero(self._pending)
        turn = int(np.searchsorted(pages, self._position))
        self._order = np.concatenate([pages[turn:], pages[:turn]])
        self._at = 0
        self.pending_pages = len(pages)
