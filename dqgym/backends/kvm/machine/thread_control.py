"""The requests that other threads have for a vCPU's thread: to park, to go on, to end."""

from __future__ import annotations

import threading


class ThreadControl:
    """Requests and answers. Whoever asks has to wake the thread afterwards: it may be in the guest, or wait.

    Attributes:
        end_wanted: the thread is to end.
    """

    def __init__(self) -> None:
        self.end_wanted = False
        self._park_wanted = False
        self._at_boundary = False
        self._after_ring_sleep = False
        self._parked = threading.Event()
        self._resumed = threading.Event()

    # --- called by others ---------------------------------------------------------------------------------------------

    def park(self, at_boundary: bool, after_ring_sleep: bool) -> None:
        """Ask it to park: only between two batches, or only when it does not sleep at a full ring, if so wanted."""
        self._at_boundary = at_boundary
        self._after_ring_sleep = after_ring_sleep
        self._park_wanted = True

    def await_parked(self, timeout_s: float) -> bool:
        """True as soon as it is parked or has ended; False where that takes too long."""
        return self._parked.wait(timeout_s)

    def resume(self) -> None:
        """Let it go on."""
        self._park_wanted = False
        self._parked.clear()
        self._resumed.set()

    def end(self) -> None:
        """Ask it to end, parked or not."""
        self.end_wanted = True
        self._resumed.set()

    # --- in the vCPU's own thread -------------------------------------------------------------------------------------

    def must_park(self, in_batch: bool, sleeps_at_full_ring: bool) -> bool:
        """True where it is to park, and may do so now."""
        hindered = (self._at_boundary and in_batch) or (self._after_ring_sleep and sleeps_at_full_ring)
        return self._park_wanted and not hindered

    def stay_parked(self) -> None:
        """Park until somebody resumes or ends it."""
        self._resumed.clear()
        if self._park_wanted and not self.end_wanted:  # else it was resumed, or is to end, just now
            self._parked.set()
            self._resumed.wait()

    def has_ended(self) -> None:
        """The thread is about to end."""
        self._parked.set()
