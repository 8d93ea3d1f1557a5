"""Pre-copy, the source's side: rounds over a link of limited bandwidth, then stop, last stage and handing over.

The rounds are QEMU's (``migration/ram.c``, ``migration/migration.c``): the sender works in windows of 100 ms; at the
start of each it looks whether no more is left than fits into the downtime limit, and if so syncs the dirty log. If what
is left then still fits, the guest stops and the rest goes at line speed; otherwise that is the next round.

Whatever happens before the destination has been told to run the guest, the guest runs on here. After that it runs on
here only where the destination is known to be dead (``destination_is_dead``): two guests must never run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from dqgym.backends.kvm.machine.api import PAGE_BYTES
from dqgym.backends.kvm.machine.machine import Machine
from dqgym.backends.kvm.machine.survey_log import Surveyed, begin_survey, survey
from dqgym.backends.kvm.migration.frames import (
    Channel,
    ConnectionClosed,
    Frame,
    FrameType,
    ProtocolError,
    decode_document,
    decode_json,
    encode_document,
    encode_json,
    encode_pages,
)
from dqgym.backends.kvm.migration.limits_in_force import LimitsInForce
from dqgym.backends.kvm.migration.link_pacing import BandwidthPath, TokenBucket
from dqgym.backends.kvm.migration.proof import Proof, prove
from dqgym.scenario import Scenario

WINDOW_S = 0.1
"""QEMU's BUFFER_DELAY."""
BURST_S = 0.005
"""A frame holds what the link carries in about this time."""
FEWEST_PAGES, MOST_PAGES = 4, 64
"""In one frame."""
REPLY_TIMEOUT_S = 20.0
"""The destination may take so long to make a machine, to load its state, or to start it."""
PROOF_TIMEOUT_S = 60.0


class Phase(StrEnum):
    """The phases of a migration."""

    CONNECTING = "connecting"
    FIRST_ROUND = "first round"
    LATER_ROUNDS = "later rounds"
    LAST_STAGE = "last stage"
    HANDING_OVER = "handing over"
    PROVING = "proving"
    ENDED = "ended"


class Ending(StrEnum):
    """The ends of a migration."""

    CONVERGED = "converged"
    """The guest runs at the destination."""
    MISSED_DEADLINE = "missed its deadline"
    """The guest runs on at the source."""
    CANCELLED = "cancelled"
    """The guest runs on at the source."""
    FAILED = "failed"
    """The destination or the link did; the guest runs on at the source."""
    UNKNOWN = "handed over, but the destination never answered"
    """The guest may run at the destination, so it stays stopped here."""


class CancelledError(Exception):
    """The user called the migration off."""


class DeadlineMissedError(Exception):
    """It took too long, or too many rounds."""


@dataclass
class Progress:
    """The progress that anyone may read while the sender runs.

    Attributes:
        phase: where it is.
        round: number of the round, from 1.
        sent_bytes: pages sent, last stage included.
        sending_s: time in which there was anything to send.
        stopped_s: when the last stage began, since the start, for which the guest is stopped; None before.
        ended_s: when the migration ended, since the start.
        sync_time_s: when the last sync was made, since the start.
        synced_sent_bytes: sent up to it.
    """

    phase: Phase = Phase.CONNECTING
    round: int = 1
    sent_bytes: int = 0
    sending_s: float = 0.0
    stopped_s: float | None = None
    ended_s: float | None = None
    sync_time_s: float = 0.0
    synced_sent_bytes: int = 0


@dataclass(frozen=True)
class Report:
    """The result of a migration.

    Attributes:
        ending: how it ended.
        reason: why, where it did not converge.
        downtime_s: from the order to stop until the destination said that the guest runs; NaN where it never did.
        last_stage_s: the same from the last stage on; less where the guest was paused before.
        proof: of a converged migration, which was proven right; None otherwise.
    """

    ending: Ending
    reason: str = ""
    downtime_s: float = float("nan")
    last_stage_s: float = float("nan")
    proof: Proof | None = None


@dataclass
class Sender:
    """One migration.

    Args:
        machine: the guest, which runs already.
        scenario: link limits and deadline; the destination is told all of it.
        seed: of the workload.
        channel: to the destination.
        path: the bandwidth over time.
        destination_is_dead: whether it is certain that the destination's guest does not run (its process is gone).
        on_end: called when the guest's fate is settled, before the proof.

    Attributes:
        handed_over: the destination was told to run the guest, or is being told.
        limits: now.
    """

    machine: Machine
    scenario: Scenario
    seed: int
    channel: Channel
    path: BandwidthPath
    destination_is_dead: Callable[[], bool]
    on_end: Callable[[], None]
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self._cancelled = threading.Event()
        self._sync_wanted = threading.Event()
        self.handed_over = False
        self.limits = LimitsInForce(self.scenario)
        self._bucket = TokenBucket()
        self._began_s = 0.0
        self._nonce: object = None
        self._memory_pages = self.machine.memory.reshape(-1, PAGE_BYTES)

    # --- called by others ---------------------------------------------------------------------------------------------

    @property
    def time_s(self) -> float:
        """Time since the migration began, or what it took."""
        ended_s = self.progress.ended_s
        return time.monotonic() - self._began_s if ended_s is None else ended_s

    @property
    def running_s(self) -> float:
        """Time until the last stage since the migration began."""
        stopped_s = self.progress.stopped_s
        return self.time_s if stopped_s is None else stopped_s

    def cancel(self) -> None:
        """Call it off: the guest runs on at the source. Without effect once the destination was told to run it."""
        self._cancelled.set()

    def break_off(self) -> None:
        """Wake a sender that waits for a link or a destination that does nothing."""
        self.channel.close()

    def request_sync(self) -> None:
        """One extra dirty-log sync, which ends no round."""
        self._sync_wanted.set()

    # --- in the sender's thread ---------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Tell the destination what comes, and wait until it has a machine for it.

        Raises:
            ProtocolError, TimeoutError: it does not want, or does not answer.
        """
        hello = {
            "scenario": self.scenario.model_dump(mode="json", by_alias=True, exclude_none=True),
            "seed": self.seed,
        }
        self.channel.send(FrameType.HELLO, encode_json(hello))
        self._nonce = decode_json(self._await(FrameType.ACCEPT).payload).get("nonce")

    def begin(self, survey_s: float = 0.0) -> Surveyed | None:
        """Log what the guest stores from now on: the migration has begun. All memory is to send.

        With a survey, that comes ``survey_s`` later; returns what the survey found.
        """
        machine, surveyed = self.machine, None
        machine.pause()
        if survey_s > 0.0:
            begin_survey(machine, survey_s)
        else:
            machine.log.begin()
        self._began_s = time.monotonic()
        machine.resume()
        if survey_s > 0.0:
            surveyed = survey(machine, survey_s, self._began_s)
            self.progress.sync_time_s = surveyed.length_s
        self.progress.phase = Phase.FIRST_ROUND
        self._bucket = TokenBucket()
        return surveyed

    def run(self) -> Report:
        """Migrate the guest, after ``connect`` and ``begin``.

        Raises:
            ProofFailedError: something was lost.
            ProtocolError: the guest moved, and then the destination did not prove it.
            RuntimeError, OSError: the machine failed.
        """
        try:
            self._send_rounds()
            self._last_stage()
            self.progress.phase = Phase.HANDING_OVER
            self._require_wanted()
            self.handed_over = True
            self.channel.send(FrameType.RESUME)
            self._await(FrameType.RESUMED)
        except CancelledError:
            return self._stay(Ending.CANCELLED, "called off")
        except DeadlineMissedError as error:
            return self._stay(Ending.MISSED_DEADLINE, str(error))
        except (ProtocolError, TimeoutError) as error:
            reason = self._reason_of(error)
            if self._cancelled.is_set() and not self.handed_over:
                return self._stay(Ending.CANCELLED, "called off")
            if self.handed_over and not self.destination_is_dead():
                self._end()
                return Report(Ending.UNKNOWN, reason)
            return self._stay(Ending.FAILED, reason)
        stopped_s = self.progress.stopped_s
        assert stopped_s is not None
        self._end()
        self.progress.phase = Phase.PROVING
        last_stage_s = self.time_s - stopped_s
        paused_s = self.limits.paused_s
        downtime_s = last_stage_s if paused_s is None else self.time_s - paused_s
        return Report(Ending.CONVERGED, downtime_s=downtime_s, last_stage_s=last_stage_s, proof=self._prove())

    def _send_rounds(self) -> None:
        """Until what is left fits into the downtime limit."""
        log, limits, progress = self.machine.log, self.limits, self.progress
        window_ends_s = progress.sync_time_s + WINDOW_S
        while True:
            self._require_wanted()
            now_s = self.time_s
            limits.follow(now_s, progress.round)
            if now_s > limits.ends_s:
                self._give_up(f"took more than {limits.ends_s:g} s", pause=limits.pauses(at_deadline=True))
            if self._sync_wanted.is_set():
                self._sync_wanted.clear()
                self._sync()
            if now_s >= window_ends_s:
                threshold_bytes = self.path.at(now_s) * limits.downtime_s
                if log.pending_pages * PAGE_BYTES <= threshold_bytes:
                    self._sync()
                    if log.pending_pages * PAGE_BYTES <= threshold_bytes:
                        return
                    if limits.after_last(progress.round):
                        said = f"did not converge within {progress.round} rounds"
                        self._give_up(said, pause=limits.pauses(at_deadline=False))
                    progress.round += 1
                    progress.phase = Phase.LATER_ROUNDS
                window_ends_s = max(window_ends_s + WINDOW_S, now_s)
            if log.pending_pages:
                self._send_pages(self.path.at(now_s))
                progress.sending_s += self.time_s - now_s
            else:
                self._bucket.empty()
                self._sync_wanted.wait(max(window_ends_s - self.time_s, 0.0))

    def _give_up(self, why: str, *, pause: bool) -> None:
        """Pause the guest for good and go on, or raise a DeadlineMissedError."""
        if not pause:
            raise DeadlineMissedError(why)
        self.machine.pause()
        self.limits.pause(self.time_s)

    def _last_stage(self) -> None:
        """Stop the guest, send the rest at line speed, then registers and platform."""
        progress, machine = self.progress, self.machine
        progress.phase = Phase.LAST_STAGE
        progress.stopped_s = self.time_s
        machine.pause()
        self._read_log()
        self._bucket = TokenBucket()
        while machine.log.pending_pages:
            self._require_wanted()
            self._send_pages(self.path.line_speed_at(self.time_s))
        state, platform = machine.save()
        state["nonce"] = self._nonce
        self.channel.send(FrameType.STATE, *encode_document(state, platform))
        self._await(FrameType.READY)

    def _send_pages(self, rate_bytes_per_s: float) -> None:
        pages = self.machine.log.take(int(np.clip(rate_bytes_per_s * BURST_S / PAGE_BYTES, FEWEST_PAGES, MOST_PAGES)))
        data = self._memory_pages[pages]  # a copy, made after the pages were taken
        self.channel.send(FrameType.PAGES, *encode_pages(pages.astype(np.uint32), data))
        self.progress.sent_bytes += data.nbytes
        self._bucket.spend(data.nbytes, rate_bytes_per_s)
        time.sleep(self._bucket.wait_s())

    def _sync(self) -> None:
        """Sync the dirty log. As in QEMU it waits for vCPUs that sleep at a full ring, which cannot answer."""
        stands = self.limits.paused_s is not None
        sleepers = [vcpu for vcpu in self.machine.vcpus if vcpu.throttle.sleeps_at_full_ring and not stands]
        for vcpu in sleepers:
            vcpu.park(after_ring_sleep=True)
        while not all(vcpu.await_parked(WINDOW_S) for vcpu in sleepers):
            self._require_wanted()
        self._read_log()
        for vcpu in sleepers:
            vcpu.resume()

    def _read_log(self) -> None:
        self.machine.log.sync()
        self.progress.sync_time_s = self.time_s
        self.progress.synced_sent_bytes = self.progress.sent_bytes

    def _require_wanted(self) -> None:
        if self._cancelled.is_set():
            raise CancelledError
        self.machine.require_sound()

    def _await(self, type: FrameType, timeout_s: float = REPLY_TIMEOUT_S) -> Frame:
        """The answer that is due, or a ProtocolError with the reason that the destination gives instead."""
        frame = self.channel.receive(timeout_s, (type, FrameType.ERROR))
        if frame.type is FrameType.ERROR:
            raise ProtocolError(f"the destination has given up: {decode_json(frame.payload).get('reason')}")
        return frame

    def _reason_of(self, error: Exception) -> str:
        """A destination that gives up says why before it goes; sending to it fails first."""
        if isinstance(error, ConnectionClosed):
            try:
                self._await(FrameType.ERROR, 0.2)
            except TimeoutError:
                pass
            except ProtocolError as said:
                return str(error if isinstance(said, ConnectionClosed) else said)
        return str(error)

    def _stay(self, ending: Ending, reason: str) -> Report:
        """The guest runs on here, unthrottled and unlogged."""
        machine = self.machine
        machine.pause()
        machine.log.end()
        machine.free()
        machine.resume()
        self.progress.stopped_s = None  # it runs again, if it was stopped
        self._end()
        with suppress(ProtocolError):  # it may be gone already
            self.channel.send(FrameType.CANCEL)
        return Report(ending, reason)

    def _end(self) -> None:
        self.progress.ended_s = self.time_s
        self.progress.phase = Phase.ENDED
        self.on_end()

    def _prove(self) -> Proof:
        try:
            self.channel.send(FrameType.VERIFY, encode_json({}))
            document, raw = decode_document(self._await(FrameType.PROOF, PROOF_TIMEOUT_S).payload)
        except (ProtocolError, TimeoutError) as error:
            said = self._reason_of(error)
            raise ProtocolError(f"the guest moved, but the destination has not proven it: {said}") from error
        return prove(self.machine, document, raw)
