"""A recorded QEMU migration as a scenario: nothing in it is fitted to the run's outcome."""

from __future__ import annotations

import math
import re

import numpy as np

from dqgym.scenario.bounds import DEADLINE_PASS_TIMES
from dqgym.scenario.dirty_log import DirtyLog
from dqgym.scenario.faults import telling
from dqgym.scenario.limits import Limits, pass_times
from dqgym.scenario.link import ConstantLink
from dqgym.scenario.recordings.qemu_runs import RecordedRun, RecordingError
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.vm import BASE_PAGE_BYTES, VirtualMachine, whole_pages
from dqgym.scenario.workload import VcpuGroup

WINDOW_S = 0.1
"""QEMU's rate limit works in windows of 100 ms (migration/migration.c: BUFFER_DELAY)."""
PAGE_HEADER_BYTES = 8
"""On the wire, before each page."""
PAGES_PER_FLUSH = 32
"""Pages leave, and are counted, in groups: 64 vectors are written at a time (migration/qemu-file.c: MAX_IOV_SIZE),
and a page takes two, its header and its contents."""
LINE_SPEED_BYTES_PER_S = 2.0e9
"""Of a unix socket on the machine of the recordings: what their last stages sent, over their downtimes."""
VGA_BYTES = 16 * 2**20
"""QEMU's default of vgamem: pages of zeros at the end of the machine's memory."""
KVM_RESERVE_ENTRIES = 64
"""Of a dirty ring, which KVM keeps (KVM_DIRTY_RING_RSVD_ENTRIES). The recordings' host is AMD's: no more.
"""

_RING = re.compile(r"dirty-ring-size=(\d+)")


def window_pages(bandwidth_bytes_per_s: float) -> int:
    """Pages that QEMU sends in a window of 100 ms.

    The budget of a window is a tenth of ``max-bandwidth``, rounded down; the sender goes on until what was flushed is
    more than that.
    """
    budget_bytes = math.floor(bandwidth_bytes_per_s * WINDOW_S)
    flush_bytes = PAGES_PER_FLUSH * (BASE_PAGE_BYTES + PAGE_HEADER_BYTES)
    return PAGES_PER_FLUSH * (budget_bytes // flush_bytes + 1)


def payload_bytes_per_s(bandwidth_bytes_per_s: float) -> float:
    """Bytes of pages per second that QEMU sends under a ``max-bandwidth``."""
    return window_pages(bandwidth_bytes_per_s) * BASE_PAGE_BYTES / WINDOW_S


def recorded_scenario(run: RecordedRun) -> Scenario:
    """The migration that was recorded, with the rates that its vCPUs had before it began.

    The guest's memory is zero beyond the working set: low memory, which is sent first, and the VGA memory, the last.

    Raises:
        RecordingError: the accelerator is none whose dirty log is known, or a number is beyond a scenario's bounds.
    """
    bandwidth = payload_bytes_per_s(run.bandwidth_bytes_per_s)
    memory_bytes = int(run.timeline.total_bytes[0]) - run.zero_pages * BASE_PAGE_BYTES
    if memory_bytes < BASE_PAGE_BYTES:
        raise RecordingError(f"run {run.id}: {run.zero_pages} zero pages leave {memory_bytes} bytes of memory to send")
    with telling(f"run {run.id} makes no scenario", RecordingError):
        return Scenario(
            name=run.id,
            vm=VirtualMachine(memory_bytes=memory_bytes, zero_bytes=min(VGA_BYTES, run.zero_pages * BASE_PAGE_BYTES)),
            workload=(*_writers(run), *readers(run.readers)),
            link=ConstantLink(
                bandwidth_bytes_per_s=bandwidth, line_speed_bytes_per_s=max(LINE_SPEED_BYTES_PER_S, bandwidth)
            ),
            limits=limits(run.downtime_limit_s, run.limit_s * bandwidth / memory_bytes),
            dirty_log=dirty_log(run),
        )


def limits(downtime_s: float, deadline_pass_times: float) -> Limits:
    """The limits; a run that was given less than a pass keeps the usual deadline, none is longer than 1000 passes."""
    if deadline_pass_times <= 1:
        return Limits(downtime_s=downtime_s)
    return Limits(downtime_s=downtime_s, deadline=pass_times(min(deadline_pass_times, DEADLINE_PASS_TIMES.most)))


def writer_set_bytes(run: RecordedRun) -> int:
    """The working set of each writer."""
    return whole_pages(run.working_set_bytes // run.writers)


def readers(count: int) -> tuple[VcpuGroup, ...]:
    """The group of the readers; none where there are none."""
    return (VcpuGroup(vcpus=count, pattern="read-only"),) if count else ()


def dirty_log(run: RecordedRun) -> DirtyLog:
    """The dirty log that an accelerator has; RecordingError for one that is not known."""
    name, _, options = run.accelerator.partition(",")
    ring = _RING.search(options)
    match name:
        case "tcg":
            return DirtyLog(kind="software")
        case "kvm" if ring:
            # Where nobody sleeps at a full ring, its emptying counts, and ring_exit_s was read off with whole rings.
            lost = KVM_RESERVE_ENTRIES if run.mode == "dirty-limit" else 0
            return DirtyLog(kind="ring", ring_entries=int(ring[1]), ring_entries_lost=lost)
        case "kvm":
            return DirtyLog(kind="bitmap")
        case _:
            raise RecordingError(f"run {run.id}: accelerator {run.accelerator!r} is unknown; allowed: kvm, tcg")


def _unthrottled_run_share(run: RecordedRun, vcpu: int) -> float:
    """Share of the time that the host gave a vCPU during the migration, before any throttle: 1 on an idle host.

    The rates before the migration are those of a host that has nothing else to do; once it sends and receives as well,
    a busy one has less left. Only of bitmaps: what rings lose in their exits is the model's (``ring_exit_s``), and
    under TCG a vCPU that waits for others is not told from one that waits for the host.
    """
    line = run.timeline
    if dirty_log(run).kind != "bitmap":
        return 1.0
    throttled = np.flatnonzero(line.throttle_percent > 0)
    last = int(throttled[0]) if throttled.size else len(line.time_s)
    share = line.run_share[: max(last - 1, 1), vcpu]
    return float(np.average(share, weights=np.diff(line.time_s)[: len(share)]))


def _writers(run: RecordedRun) -> tuple[VcpuGroup, ...]:
    return tuple(
        VcpuGroup(
            vcpus=1,
            pattern="sequential",
            working_set_bytes=writer_set_bytes(run),
            write_rate_bytes_per_s=rate * _unthrottled_run_share(run, vcpu),
            demand="open" if run.open_loop else "closed",
            position=run.position(vcpu),
        )
        for vcpu, rate in enumerate(run.baseline_bytes_per_s[: run.writers])
    )
