"""The parameters of a host: what its hypervisor takes beside the bandwidth of the link."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dqgym.scenario.bounds import MOST_NAME_CHARACTERS
from dqgym.scenario.dirty_log import LARGEST_RING_ENTRIES
from dqgym.scenario.record import Instant, Rate, Record


class Host(Record):
    """A host with its hypervisor. The defaults are a host whose last stage takes no time.

    Attributes:
        name: letters, digits, ``.``, ``_`` and ``-``, at most 100.
        source: where the values come from.
        scan_speed_bytes_per_s: at which the sender goes through memory that was never written: it reads every page to
            see that it is zero. Reports span 1.1 to 25 GiB/s.
        last_stage_s: from the stop of the guest to its start at the destination, where no memory is left to send: the
            state of devices, and what the management does.
        sync_per_gib_s: what the last stage takes beside that for each GiB of the guest, zeros included: its sync of the
            dirty log, and its walk through all of it. Syncs while the guest runs cost nothing.
        ring_entries_lost: entries of each dirty ring that stay free when KVM calls it full: KVM reserves 64, and 512
            more on Intel's processors with a page-modification log. None: what the scenario's dirty log says.
        fault_s: cost of the write fault on a clean page; None: that of the model's parameters.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=MOST_NAME_CHARACTERS)] = "default"
    source: Annotated[str, Field(max_length=1000)] | None = None
    scan_speed_bytes_per_s: Rate = 10.0 * 2**30
    last_stage_s: Instant = 0.0
    sync_per_gib_s: Instant = 0.0
    ring_entries_lost: Annotated[int, Field(ge=0, lt=LARGEST_RING_ENTRIES, strict=True)] | None = None
    fault_s: Instant | None = None

    def last_stage_of(self, guest_bytes: int) -> float:
        """The downtime, in s, of a guest of this size that has nothing left to send."""
        return self.last_stage_s + self.sync_per_gib_s * guest_bytes / 2**30


DEFAULT_HOST = Host()
