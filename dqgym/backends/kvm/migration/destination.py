"""The destination: receives one migration, runs the guest, and proves what it received. It trusts nothing it is sent.

``python -m dqgym.backends.kvm.migration.destination LISTENER LIFELINE`` is the process that a migration on one host
uses: it serves one connection on the listening socket with that descriptor, and ends at once when the other end of the
lifeline (a pipe) is gone. ``dqgym receive`` serves other hosts.
"""

from __future__ import annotations

import gc
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from dqgym.backends.kvm.feasibility import require_feasible
from dqgym.backends.kvm.machine.api import PAGE_BYTES, Kernel, KernelApi
from dqgym.backends.kvm.machine.machine import Machine, MachineFailedError
from dqgym.backends.kvm.machine.vcpu import SWITCH_INTERVAL_S
from dqgym.backends.kvm.machine.vm import new_memory, private_view
from dqgym.backends.kvm.migration.frames import (
    Channel,
    ConnectionClosed,
    Frame,
    FrameType,
    ProtocolError,
    decode_document,
    decode_json,
    decode_pages,
    encode_document,
    encode_json,
)
from dqgym.backends.kvm.migration.proof import evidence
from dqgym.scenario import Scenario
from dqgym.scenario.record import FROM_AFAR

HELLO_TIMEOUT_S = 20.0
PAGES_TIMEOUT_S = 120.0
"""A source whose link stands still for longer has gone."""
RUN_ON_S = 0.3
"""The guest runs here at least for this time before the counts are taken."""


@dataclass(frozen=True)
class Received:
    """The outcome of one connection.

    Attributes:
        scenario: its name; empty where none came.
        resumed: the guest ran here.
        reason: why it did not, or why the proof was not asked for.
    """

    scenario: str = ""
    resumed: bool = False
    reason: str = ""


def receive_migration(
    connection: socket.socket, kernel: KernelApi, on_hello: Callable[[Scenario], None] = lambda _: None
) -> Received:
    """Serve one connection to its end; whatever a peer sends, this returns and leaves nothing behind."""
    channel = Channel(connection, None)
    arrival = _Arrival(channel, kernel, on_hello)
    try:
        return arrival.serve()
    except (ProtocolError, TimeoutError, ValueError, OSError, MachineFailedError) as error:
        reason = str(error) or type(error).__name__
        if not isinstance(error, ConnectionClosed):
            with suppress(ProtocolError, ValueError):
                channel.send(FrameType.ERROR, encode_json({"reason": reason[:1000]}))
        return Received(arrival.name, arrival.resumed, reason)
    finally:
        arrival.close()
        channel.close()
        gc.collect()  # a machine and its vCPUs refer to one another; a guest's memory must not wait for their turn


class _Arrival:
    """A migration that comes in, step by step."""

    def __init__(self, channel: Channel, kernel: KernelApi, on_hello: Callable[[Scenario], None]) -> None:
        self._channel = channel
        self._kernel = kernel
        self._on_hello = on_hello
        self._machine: Machine | None = None
        self.name = ""
        self.resumed = False

    def serve(self) -> Received:
        scenario, seed = _read_hello(self._channel.receive(HELLO_TIMEOUT_S, (FrameType.HELLO,)))
        self.name = scenario.name
        self._on_hello(scenario)
        size = scenario.vm.memory_bytes
        descriptor, image = new_memory(size)
        memory = private_view(descriptor, size)  # so that the image stays as it was received
        os.close(descriptor)
        machine = self._machine = Machine(self._kernel, scenario, seed, memory)
        nonce = secrets.token_hex(16)  # a recording of another migration cannot know it
        self._channel.send(FrameType.ACCEPT, encode_json({"nonce": nonce}))

        pages = image.reshape(-1, PAGE_BYTES)
        while True:
            frame = self._channel.receive(PAGES_TIMEOUT_S, (FrameType.PAGES, FrameType.STATE, FrameType.CANCEL))
            if frame.type is not FrameType.PAGES:
                break
            numbers, data = decode_pages(frame.payload, len(pages))
            pages[numbers] = data
        if frame.type is FrameType.CANCEL:
            return self._called_off()
        time_s = machine.restore(*_read_state(frame, nonce))
        self._channel.send(FrameType.READY)
        if self._channel.receive(PAGES_TIMEOUT_S, (FrameType.RESUME, FrameType.CANCEL)).type is FrameType.CANCEL:
            return self._called_off()
        machine.start(time_s)
        self.resumed = True
        self._channel.send(FrameType.RESUMED)

        self._channel.receive(PAGES_TIMEOUT_S, (FrameType.VERIFY,))
        time.sleep(RUN_ON_S)
        machine.pause(at_boundary=True)
        self._channel.send(FrameType.PROOF, *encode_document(*evidence(image, machine)))
        with suppress(ConnectionClosed, TimeoutError):
            self._channel.receive(PAGES_TIMEOUT_S, ())  # until the source has it and hangs up
        return Received(self.name, True)

    def _called_off(self) -> Received:
        return Received(self.name, False, "the source has called the migration off")

    def close(self) -> None:
        if self._machine is not None:
            self._machine.close()
            self._machine = None


def _read_hello(frame: Frame) -> tuple[Scenario, int]:
    hello = decode_json(frame.payload)
    seed = hello.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**64:
        raise ProtocolError(f"HELLO: seed {seed!r} must be a whole number from 0, below 2^64")
    try:
        scenario = Scenario.model_validate(hello.get("scenario"), context=FROM_AFAR)
        require_feasible(scenario)
    except ValueError as error:
        found = error.errors(include_url=False) if isinstance(error, ValidationError) else []
        said = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'scenario'}: {each['msg']}" for each in found)
        raise ProtocolError(f"HELLO: the scenario cannot be used: {said or error}") from error
    return scenario, seed


def _read_state(frame: Frame, nonce: str) -> tuple[dict[str, Any], bytes]:
    document, platform = decode_document(frame.payload)
    if document.get("nonce") != nonce:
        raise ProtocolError("STATE does not repeat the nonce of this connection: it was recorded on another one")
    return document, bytes(platform)


def watch_lifeline(descriptor: int) -> None:
    """End this process at once when the other end of a pipe is gone, whatever it is doing."""

    def watch() -> None:
        os.read(descriptor, 1)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def main() -> None:
    """Serve one connection."""
    listener_descriptor, lifeline = map(int, sys.argv[1:])
    # Ctrl-C, which goes to the whole group, stays blocked: whoever started this decides.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGHUP))
    watch_lifeline(lifeline)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with socket.socket(fileno=listener_descriptor) as listener:
        connection, _ = listener.accept()
    receive_migration(connection, Kernel())


if __name__ == "__main__":
    main()
