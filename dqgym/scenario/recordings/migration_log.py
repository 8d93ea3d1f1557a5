"""What logs of migrations have in common, whoever wrote them: readings over time, and the rounds that they show.

A reader for each format makes a ``MigrationLog`` (``dqgym.scenario.recordings.formats``); from there on nothing depends
on the format any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from dqgym.scenario.recordings.qemu_runs import RecordingError

JUMP_SHARE = 0.01
"""Of the memory. A log without a count of syncs shows one where the remaining bytes rise by more than this."""


@dataclass(frozen=True)
class Reading:
    """What is known at one moment of a migration.

    Attributes:
        time_s: since the migration began.
        sent_bytes: contents of pages sent so far, without zero pages.
        zero_bytes: zero pages that were announced so far.
        remaining_bytes: to send in this round; None: the log does not say.
        syncs: dirty-log syncs so far; None: the log does not say.
        throttle_percent: of auto-converge.
    """

    time_s: float
    sent_bytes: float
    zero_bytes: float = 0.0
    remaining_bytes: float | None = None
    syncs: int | None = None
    throttle_percent: float = 0.0


@dataclass(frozen=True)
class MigrationLog:
    """One migration, as a log tells it.

    Attributes:
        name: of the scenario that it becomes.
        total_bytes: the guest's memory, zero pages included.
        readings: in time, at least two.
        converged: it completed; None: the log ends before that is known.
        total_time_s: of a migration that ended, else the time of the last reading.
        downtime_s: of one that completed; None: the log does not say.
        downtime_limit_s: that was set; None: the log does not say.
        most_time_s: it was cancelled, or would have been, when it took longer; None: the log does not say.
        vcpus: how many; None: the log does not say.
        written_bytes: what its vCPUs write together, where that is known beforehand; None: it is inferred.
        in_a_loop: they are known to write it in a loop.
        ring_entries: of its dirty ring; 0 for a bitmap.
        rounds_told: it says what remains, so that it shows its rounds.
        throttle: as it is named here, with options, where the log says which one was on; None: it does not say.
        remarks: on what the reader had to guess.
    """

    name: str
    total_bytes: float
    readings: tuple[Reading, ...]
    converged: bool | None
    total_time_s: float
    downtime_s: float | None = None
    downtime_limit_s: float | None = None
    most_time_s: float | None = None
    vcpus: int | None = None
    written_bytes: float | None = None
    in_a_loop: bool = False
    ring_entries: int = 0
    rounds_told: bool = True
    throttle: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def zeros_remain(self) -> bool:
        """Zero pages count among the remaining bytes, as in QEMU, until they are announced."""
        first = self.readings[0]
        whole = (1.0 - JUMP_SHARE) * self.total_bytes
        return first.remaining_bytes is None or first.remaining_bytes + first.sent_bytes + first.zero_bytes >= whole


@dataclass(frozen=True)
class Round:
    """What was found dirty between two syncs, or between more of them where the log missed some.

    Attributes:
        start_s: of the first sync.
        end_s: of the last one.
        found_bytes: distinct memory that was found dirty, in the mean of ``count`` rounds.
        throttle_percent: that held meanwhile.
        count: how many rounds lie between the two syncs.
    """

    start_s: float
    end_s: float
    found_bytes: float
    throttle_percent: float
    count: int = 1

    @property
    def run_s(self) -> float:
        """The time that a vCPU could run in one round."""
        return (self.end_s - self.start_s) / self.count * (1.0 - self.throttle_percent / 100.0)


def dirty_limit_named(limit_mib_per_s: float, period_ms: float) -> str:
    """QEMU's dirty limit, as it is named here."""
    return f"dirty-limit:limit={limit_mib_per_s:g} MiB/s,period={period_ms:g} ms"


def ordered(readings: Sequence[Reading], place: str) -> tuple[Reading, ...]:
    """The readings at which time went on, and nothing that was sent was taken back.

    Raises:
        RecordingError: fewer than two are left; the message begins with ``place``.
    """
    kept: list[Reading] = []
    for reading in readings:
        if not kept or (reading.time_s > kept[-1].time_s and reading.sent_bytes >= kept[-1].sent_bytes):
            kept.append(reading)
    if len(kept) < 2:
        raise RecordingError(f"{place}: {len(kept)} readings in which time goes on, at least 2 are needed")
    return tuple(kept)


def rounds_of(log: MigrationLog) -> list[Round]:
    """The rounds between the syncs that a log shows; none where it does not tell the remaining bytes.

    What a sync finds is the rise of the remaining bytes, and what was dealt with meanwhile: the moment of the sync
    itself, between two readings, need not be known.
    """
    zeros = 1.0 if log.zeros_remain else 0.0
    runs = [list(one) for _, one in groupby(_numbered(log), key=lambda numbered: numbered[0])]
    rounds: list[Round] = []
    for run, following in pairwise(runs):
        (sync, first), (next_sync, after), last = run[0], following[0], run[-1][1]
        if first.remaining_bytes is None or after.remaining_bytes is None:
            continue
        done = after.sent_bytes - first.sent_bytes + zeros * (after.zero_bytes - first.zero_bytes)
        found = after.remaining_bytes - first.remaining_bytes + done
        start_s = 0.0 if not rounds and sync <= 1 else first.time_s
        count = max(1, next_sync - sync)
        if found > 0:
            rounds.append(Round(start_s, after.time_s, found / count, last.throttle_percent, count))
    return rounds


def _numbered(log: MigrationLog) -> Iterator[tuple[int, Reading]]:
    """Each reading with the number of its round: as the log counts syncs, else where the remaining bytes jump."""
    number, before = 1, None
    for reading in log.readings:
        if reading.syncs is not None:
            number = reading.syncs
        elif before is not None and reading.remaining_bytes is not None:
            number += reading.remaining_bytes - before > JUMP_SHARE * log.total_bytes
        before = reading.remaining_bytes
        yield number, reading
