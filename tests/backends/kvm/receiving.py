"""What the tests of the receiver share: a destination in a thread, frames made by hand, and a recorded session."""

from __future__ import annotations

import gc
import os
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from dqgym.backends.kvm.machine.api import PAGE_BYTES
from dqgym.backends.kvm.machine.machine import Machine, fill_memory
from dqgym.backends.kvm.machine.vm import new_memory
from dqgym.backends.kvm.migration import frames
from dqgym.backends.kvm.migration.destination import Received, receive_migration
from dqgym.backends.kvm.migration.frames import Channel, FrameType, ProtocolError, decode_json, encode_json, new_session
from dqgym.backends.kvm.migration.link_pacing import BandwidthPath
from dqgym.backends.kvm.migration.sender import Report, Sender
from dqgym.scenario import ConstantLink, Limits, Scenario, VcpuGroup, VirtualMachine
from dqgym.units import MIB
from tests.backends.kvm.faults import DEADLINE_S, held_by

HEADER = struct.Struct("<4sHHQQII")
PAGES = 512


def small(*workload: VcpuGroup, pages: int = PAGES) -> Scenario:
    writer = VcpuGroup(vcpus=1, pattern="uniform", working_set_bytes=MIB, write_rate_bytes_per_s=2.0 * MIB)
    return Scenario(
        name="small",
        vm=VirtualMachine(memory_bytes=pages * PAGE_BYTES),
        workload=workload or (writer,),
        link=ConstantLink(bandwidth_bytes_per_s=20.0 * MIB),
        limits=Limits(downtime_s=0.05),
    )


SMALL = small()


def hello_of(scenario: Scenario = SMALL, seed: object = 0) -> dict[str, Any]:
    return {"scenario": scenario.model_dump(mode="json", by_alias=True, exclude_none=True), "seed": seed}


# --- a destination, and what it leaves behind ------------------------------------------------------------------------


def what_is_held() -> tuple[list[str], tuple[str, ...], list[threading.Thread]]:
    """Descriptors, what they and mappings have of guests, and threads."""
    return sorted(os.listdir("/proc/self/fd")), held_by(), threading.enumerate()


Outcome = tuple[Received, list[tuple[FrameType, dict[str, Any]]]]


def require_refused(outcome: Outcome, reason: str) -> None:
    """The guest never ran here, and the peer was told why."""
    got, replies = outcome
    assert not got.resumed
    assert reason in got.reason
    number, said = replies[-1]
    assert number is FrameType.ERROR
    assert said["reason"] == got.reason[:1000]


@contextmanager
def nothing_outlives() -> Iterator[None]:
    """No thread, no descriptor and no memory of a guest is left; ``Peer`` looks at the destination itself."""
    gc.collect()
    before = what_is_held()
    yield
    gc.collect()
    assert what_is_held() == before


@contextmanager
def quick_collections() -> Iterator[None]:
    """A destination collects garbage at its end; it need not look at what all other tests have imported."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Peer:
    """The other end of a destination that receives in a thread."""

    def __init__(self, kernel: Any) -> None:
        gc.collect()
        self._before = what_is_held()
        self.connection, theirs = socket.socketpair()
        self.connection.settimeout(DEADLINE_S)
        self._received: Received | BaseException | None = None
        self._thread = threading.Thread(target=self._receive, args=(theirs, kernel), daemon=True)
        self._thread.start()

    def _receive(self, theirs: socket.socket, kernel: Any) -> None:
        try:
            self._received = receive_migration(theirs, kernel)
        except BaseException as error:
            self._received = error

    def send(self, data: bytes) -> None:
        """As much of it as the destination takes."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.sendall(data)

    def outcome(self, hang_up: bool = False) -> Outcome:
        """What the destination says, and what it had sent: types of frames, and what is in them if it is JSON."""
        if hang_up:
            with suppress(OSError):  # the destination may have hung up first
                self.connection.shutdown(socket.SHUT_WR)
        replies, data = [], b""
        with self.connection, suppress(ConnectionResetError):
            while chunk := self.connection.recv(1 << 16):
                data += chunk
        while data:
            _, _, number, _, _, length, _ = HEADER.unpack_from(data)
            payload, data = data[HEADER.size : HEADER.size + length], data[HEADER.size + length :]
            is_json = number in (FrameType.ACCEPT, FrameType.ERROR)
            replies.append((FrameType(number), decode_json(payload) if is_json else {}))
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "the destination hangs"
        if isinstance(self._received, BaseException):
            raise self._received
        assert what_is_held() == self._before, "the destination has left something behind"
        assert self._received is not None
        return self._received, replies


def received(kernel: Any, data: bytes, hang_up: bool = False) -> Outcome:
    """What becomes of these bytes; the peer stays on the line unless it is to hang up."""
    peer = Peer(kernel)
    peer.send(data)
    return peer.outcome(hang_up)


def frame(type: int, payload: bytes = b"", session: int = 1, sequence: int = 0, **others: Any) -> bytes:
    """One frame as a source would send it, but for what is said otherwise."""
    header = HEADER.pack(
        others.get("magic", frames.MAGIC),
        others.get("version", frames.PROTOCOL_VERSION),
        type,
        session,
        sequence,
        others.get("length", len(payload)),
        0,
    )[:-4]
    return header + struct.pack("<I", zlib.crc32(payload, zlib.crc32(header))) + payload


def joined(parts: tuple[Any, ...]) -> bytes:
    return b"".join(bytes(part) for part in parts)


HELLO = frame(FrameType.HELLO, encode_json(hello_of()))


# --- a valid session, recorded ---------------------------------------------------------------------------------------


class Wire(threading.Thread):
    """Carries bytes between a source and a destination, records those of the source, and may flip one bit of them."""

    def __init__(self, flipped_bit: int | None = None) -> None:
        super().__init__(daemon=True)
        self.source, self._near = socket.socketpair()
        self._far, self.destination = socket.socketpair()
        self.recorded = bytearray()
        self._flipped_bit = flipped_bit

    def run(self) -> None:
        back = threading.Thread(target=self._carry_back, daemon=True)
        back.start()
        with suppress(OSError):
            while data := bytearray(self._near.recv(1 << 16)):
                if self._flipped_bit is not None:
                    at = self._flipped_bit // 8 - len(self.recorded)
                    if 0 <= at < len(data):
                        data[at] ^= 1 << self._flipped_bit % 8
                self.recorded += data
                self._far.sendall(data)
        with suppress(OSError):
            self._far.shutdown(socket.SHUT_WR)
        back.join()
        self._near.close()
        self._far.close()

    def _carry_back(self) -> None:
        with suppress(OSError):
            while data := self._far.recv(1 << 16):
                self._near.sendall(data)
        with suppress(OSError):
            self._near.shutdown(socket.SHUT_RDWR)


def migrate_over(wire: Wire, kernel: Any, seed: int) -> tuple[Report | Exception, Received, Machine]:
    """A whole migration between two threads; the source's machine is paused between two batches, and still open."""
    descriptor, memory = new_memory(SMALL.vm.memory_bytes)
    os.close(descriptor)
    fill_memory(memory, seed)
    machine = Machine(kernel, SMALL, seed, memory)
    got: list[Received] = []
    receiving = threading.Thread(target=lambda: got.append(receive_migration(wire.destination, kernel)), daemon=True)
    receiving.start()
    wire.start()
    path = BandwidthPath(np.zeros(1), np.full(1, SMALL.bandwidth_bytes_per_s))
    sender = Sender(machine, SMALL, seed, Channel(wire.source, new_session()), path, lambda: True, lambda: None)
    machine.start()
    report: Report | Exception
    try:
        sender.connect()
        sender.begin()
        report = sender.run()
    except ProtocolError as error:
        report = error
    sender.break_off()
    for thread in (receiving, wire):
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    machine.pause(at_boundary=True)
    return report, got[0], machine


def frames_of(session: bytes) -> list[tuple[int, int, int]]:
    """(type, begin, end) of each frame."""
    found, at = [], 0
    while at < len(session):
        _, _, number, _, _, length, _ = HEADER.unpack_from(session, at)
        found.append((number, at, at + HEADER.size + length))
        at = found[-1][2]
    return found
