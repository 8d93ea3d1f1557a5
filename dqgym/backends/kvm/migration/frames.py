"""The framed protocol between the source and the destination of a migration. The receiver trusts nothing.

A frame is a header of 32 bytes and a payload, all numbers little-endian:

| offset | bytes | field | what the receiver accepts |
| --- | --- | --- | --- |
| 0 | 4 | magic | ``DQMF`` |
| 4 | 2 | version | its own |
| 6 | 2 | type | one of those that it awaits (``FrameType``) |
| 8 | 8 | session | the one that the source drew for this connection |
| 16 | 8 | sequence | 0, 1, 2, ... in each direction: nothing repeated, left out or swapped |
| 24 | 4 | payload length in bytes | at most the type's limit (``LIMIT_BYTES``) |
| 28 | 4 | CRC-32 of bytes 0 .. 27 and the payload | |

The first frame that does not fit ends the conversation. Checksum and session find accidents and mixed-up connections.
They do not keep out an adversary on the link, who can make frames of his own: that is a tunnel's task.
"""

from __future__ import annotations

import errno
import json
import math
import secrets
import select
import socket
import struct
import time
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROTOCOL_VERSION = 1
MAGIC = b"DQMF"
PAGE_BYTES, MAX_PAGES_PER_FRAME = 4096, 256
MAX_JSON_BYTES, MAX_JSON_DEPTH = 1 << 20, 16
STALL_S = 30.0  # a peer may leave us so long in the middle of a frame, sent or received, if there is no timeout
LEAST_STALL_S = 1.0  # a caller that only looks for a frame (timeout 0) still gives one that has begun so long
LEAST_BYTES_PER_S = 16 * 1024  # a peer that crawls does not stall, but keeps the receiver busy for ever

_HEADER, _WORD = struct.Struct("<4sHHQQII"), struct.Struct("<I")
_CHECKED_BYTES = _HEADER.size - _WORD.size  # the header but for its checksum
_NUMBER, _BYTE = np.dtype("<u4"), np.dtype("u1")
Part = bytes | bytearray | memoryview | NDArray[Any]


class FrameType(IntEnum):
    """The kinds of frames, and their payloads; 1 .. 15 come from the source, 16 .. 31 from the destination."""

    HELLO = 1  # JSON: what is to be migrated
    PAGES = 2  # pages of memory (encode_pages)
    STATE = 3  # JSON and raw bytes (encode_document): vCPUs and platform
    RESUME = 4  # empty: run the guest
    CANCEL = 5  # empty: the migration is off, the guest stays with the source
    VERIFY = 6  # JSON: what the destination is to prove
    ACCEPT = 16  # JSON: send pages
    READY = 17  # empty: all is loaded, the guest can run here
    RESUMED = 18  # empty: the guest runs here
    PROOF = 19  # JSON and raw bytes (encode_document): the answer to VERIFY
    ERROR = 20  # JSON with "reason": the destination has given up


LIMIT_BYTES = {  # most bytes in the payload of a frame of each type
    **dict.fromkeys((FrameType.RESUME, FrameType.CANCEL, FrameType.READY, FrameType.RESUMED), 0),
    **dict.fromkeys((FrameType.VERIFY, FrameType.ACCEPT, FrameType.ERROR), 64 * 1024),
    FrameType.HELLO: MAX_JSON_BYTES,  # it holds the scenario, which may hold a recording
    **dict.fromkeys((FrameType.STATE, FrameType.PROOF), 16 << 20),
    FrameType.PAGES: _WORD.size + MAX_PAGES_PER_FRAME * (_NUMBER.itemsize + PAGE_BYTES),
}


class ProtocolError(Exception):
    """A peer sent something that cannot be used: the message says what, its value, and what is allowed."""


class ConnectionClosed(ProtocolError):  # noqa: N818 - it is what happened, whoever is to blame
    """The connection ended in the middle of a frame, or where one was awaited."""


@dataclass(frozen=True)
class Frame:
    """A frame whose header and checksum are right; its payload is read-only and valid until the next ``receive``."""

    type: FrameType
    payload: memoryview


class Channel:
    """One end of a connection, a stream socket that the channel owns. One thread may send while another one receives.

    The session is the source's ``new_session()``; None takes that of the first frame, which must be HELLO.
    """

    def __init__(self, connection: socket.socket, session: int | None) -> None:
        self.session = session
        self._connection = connection
        self._descriptor = connection.fileno()
        # The socket blocks and each call says MSG_DONTWAIT: a timeout of the socket would hold for both directions.
        connection.settimeout(None)
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._next_sent = self._next_received = 0
        self._is_sending = self._is_receiving = False  # and stays so if that fails: part of a frame may have gone
        self._header = memoryview(bytearray(_HEADER.size))
        self._buffer = memoryview(b"")

    def send(self, type: FrameType, *parts: Part) -> None:
        """Send one frame whose payload is the parts (C-contiguous) one after another.

        The parts are read twice, for the checksum and by the kernel, and never copied: they must not change meanwhile.
        Pages that a guest may write to have to be copied first.

        Raises:
            ConnectionClosed: the peer is gone. A last ERROR of it may still be there to receive.
            ProtocolError: the peer has taken nothing for ``STALL_S``.
            ValueError: the payload is larger than the type allows, or the session is not known yet.
        """
        if self.session is None:
            raise ValueError("a destination cannot send before it has received HELLO")
        if self._is_sending:
            raise ConnectionClosed("a frame could not be sent; none can follow it")
        buffers = [memoryview(part).cast("B") for part in parts if len(part)]  # type: ignore[arg-type]  # arrays, too
        length_bytes = sum(map(len, buffers))
        if length_bytes > LIMIT_BYTES[type]:
            raise ValueError(f"{type.name} has {length_bytes} bytes; at most {LIMIT_BYTES[type]} are allowed")
        header = _HEADER.pack(MAGIC, PROTOCOL_VERSION, type, self.session, self._next_sent, length_bytes, 0)
        checksum = zlib.crc32(header[:_CHECKED_BYTES])
        for buffer in buffers:
            checksum = zlib.crc32(buffer, checksum)
        self._is_sending = True
        self._send_all([memoryview(header[:_CHECKED_BYTES] + _WORD.pack(checksum)), *buffers])
        self._is_sending = False
        self._next_sent += 1

    def receive(self, timeout_s: float | None, allowed: Collection[FrameType]) -> Frame:
        """The next frame, which must be of an allowed type.

        Args:
            timeout_s: how long to wait for its first byte (None: for ever, 0: not at all), and then for each further
                one (``STALL_S`` for None, at least ``LEAST_STALL_S``).
            allowed: the types that may come now.

        Raises:
            TimeoutError: nothing came; one may try again.
            ProtocolError: the frame cannot be used, or the connection ended (ConnectionClosed). There is no way on.
        """
        if self._is_receiving:
            raise ProtocolError("a frame could not be received; what follows it cannot be used")
        stall_s = STALL_S if timeout_s is None else max(timeout_s, LEAST_STALL_S)
        if not (begun := self._receive_some(self._header, timeout_s)):
            raise ConnectionClosed(f"the peer has closed the connection where {_names(allowed)} was awaited")
        self._is_receiving = True
        self._fill(self._header[begun:], stall_s, "a header")
        type, session, length_bytes, checksum = self._checked_header(allowed)
        if length_bytes > len(self._buffer):
            self._buffer = memoryview(bytearray(length_bytes))
        payload = self._buffer[:length_bytes]
        self._fill(payload, stall_s, f"the payload of {type.name}")
        if (actual := zlib.crc32(payload, zlib.crc32(self._header[:_CHECKED_BYTES]))) != checksum:
            raise ProtocolError(f"{type.name} has the checksum {actual:#010x}; its header says {checksum:#010x}")
        self._is_receiving = False
        self.session = session
        self._next_received += 1
        return Frame(type, payload.toreadonly())

    def close(self) -> None:
        """End the connection, which wakes a thread that is in ``send`` or ``receive``; safe to call twice."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _checked_header(self, allowed: Collection[FrameType]) -> tuple[FrameType, int, int, int]:
        """Type, session, payload length in bytes and checksum of the header that was received."""
        magic, version, number, session, sequence, length_bytes, checksum = _HEADER.unpack(self._header)
        if magic != MAGIC:
            raise ProtocolError(f"a frame begins with {magic!r} instead of {MAGIC!r}")
        if version != PROTOCOL_VERSION:
            raise ProtocolError(f"the peer speaks protocol version {version}; this end speaks {PROTOCOL_VERSION}")
        if self.session is None:
            allowed = {FrameType.HELLO}.intersection(allowed)  # it alone may say which session this is
        elif session != self.session:
            raise ProtocolError(f"a frame is of session {session:#018x}; this is session {self.session:#018x}")
        if sequence != self._next_received:
            raise ProtocolError(f"a frame has the sequence number {sequence}; {self._next_received} comes next")
        if number not in allowed:
            raise ProtocolError(f"a frame has type {number}; {_names(allowed)} is allowed here")
        type = FrameType(number)
        if length_bytes > LIMIT_BYTES[type]:
            raise ProtocolError(f"{type.name} has {length_bytes} bytes; at most {LIMIT_BYTES[type]} are allowed")
        return type, session, length_bytes, checksum

    def _fill(self, view: memoryview, stall_s: float, what: str) -> None:
        """Receive until the view is full; ProtocolError if the peer stalls or crawls."""
        began_s, filled = time.monotonic(), 0
        while filled < len(view):
            try:
                count = self._receive_some(view[filled:], stall_s)
            except TimeoutError:
                raise ProtocolError(f"the peer has stalled for {stall_s:g} s within {what}") from None
            if count == 0:
                raise ConnectionClosed(f"the peer has closed the connection within {what}")
            filled += count
            took_s = time.monotonic() - began_s
            if filled < len(view) and took_s > stall_s + filled / LEAST_BYTES_PER_S:
                raise ProtocolError(f"the peer has sent {filled} bytes of {what} in {took_s:.1f} s: too slow")

    def _receive_some(self, view: memoryview, timeout_s: float | None) -> int:
        """Number of bytes received, 0 at the end of the connection; TimeoutError if nothing comes."""
        while True:
            try:
                return self._connection.recv_into(view, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if not self._is_ready(select.POLLIN, timeout_s):
                    raise TimeoutError(f"the peer has sent nothing for {timeout_s:g} s") from None
            except OSError as error:
                raise ConnectionClosed(f"the connection is broken: {error.strerror}") from error

    def _send_all(self, buffers: list[memoryview]) -> None:
        while buffers:
            try:
                sent = self._connection.sendmsg(buffers, (), socket.MSG_DONTWAIT)
            except BlockingIOError:
                if not self._is_ready(select.POLLOUT, STALL_S):
                    raise ProtocolError(f"the peer has taken nothing for {STALL_S:g} s") from None
                continue
            except OSError as error:
                raise ConnectionClosed(f"the connection is broken: {error.strerror}") from error
            while buffers and sent >= len(buffers[0]):
                sent -= len(buffers.pop(0))
            if sent:
                buffers[0] = buffers[0][sent:]

    def _is_ready(self, event: int, timeout_s: float | None) -> bool:
        """Wait until the socket is ready, or has failed, as the next call on it will say."""
        poll = select.poll()
        poll.register(self._descriptor, event)
        return bool(poll.poll(None if timeout_s is None else math.ceil(max(timeout_s, 0.0) * 1000)))


def new_session() -> int:
    """A random number of 64 bits."""
    return secrets.randbits(64)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens for a source; port 0 takes a free one. OSError says host, port and reason."""
    with _explained(f"cannot listen on {host}:{port}"):
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def connect(host: str, port: int, timeout_s: float) -> socket.socket:
    """A connection to a destination, within ``timeout_s`` per address. OSError says host, port and reason."""
    with _explained(f"cannot connect to {host}:{port}"):
        return socket.create_connection((host, port), timeout_s)


def encode_json(document: dict[str, Any]) -> bytes:
    """The payload of a JSON frame. ValueError for NaN, infinities and more than ``MAX_JSON_BYTES``."""
    encoded = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    if len(encoded) > MAX_JSON_BYTES:
        raise ValueError(f"JSON has {len(encoded)} bytes; at most {MAX_JSON_BYTES} are allowed")
    return encoded


def decode_json(payload: bytes | memoryview) -> dict[str, Any]:
    """The JSON object in a payload: finite numbers, at most ``MAX_JSON_DEPTH`` levels; ProtocolError."""
    if len(payload) > MAX_JSON_BYTES:
        raise ProtocolError(f"JSON has {len(payload)} bytes; at most {MAX_JSON_BYTES} are allowed")
    try:
        document = json.loads(str(payload, "utf-8"))
        if not isinstance(document, dict):
            raise ValueError("it is not an object")
        _check_json(document, 1)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"JSON cannot be used: {error}; it begins with {bytes(payload[:80])!r}") from error
    return document


def encode_document(document: dict[str, Any], *raw: Part) -> tuple[Part, ...]:
    """The payload of a frame with JSON and raw bytes: length of the JSON in bytes (uint32), JSON, raw bytes."""
    encoded = encode_json(document)
    return _WORD.pack(len(encoded)), encoded, *raw


def decode_document(payload: memoryview) -> tuple[dict[str, Any], memoryview]:
    """The JSON object and the raw bytes (a view) in a payload; ProtocolError."""
    end = _WORD.size + (_WORD.unpack_from(payload)[0] if len(payload) >= _WORD.size else 0)
    if len(payload) < end:
        raise ProtocolError(f"a document has {len(payload)} bytes; it says that its JSON ends at {end}")
    return decode_json(payload[_WORD.size : end]), payload[end:]


def encode_pages(numbers: NDArray[np.uint32], data: NDArray[np.uint8]) -> tuple[Part, ...]:
    """The payload of PAGES: count (uint32), numbers [K] (uint32 each), data [K, PAGE_BYTES] (uint8).

    K is at most ``MAX_PAGES_PER_FRAME``; the data are C-contiguous and not copied. ValueError for other arrays.
    """
    count = len(numbers)
    given = [(each.dtype, each.shape) for each in (numbers, data)]
    if given != [(_NUMBER, (count,)), (_BYTE, (count, PAGE_BYTES))] or count > MAX_PAGES_PER_FRAME:
        raise ValueError(f"pages are uint32 [K] and uint8 [K, {PAGE_BYTES}], K <= {MAX_PAGES_PER_FRAME}; not {given}")
    return _WORD.pack(count), numbers, data


def decode_pages(payload: memoryview, memory_pages: int) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Page numbers [K], each below ``memory_pages``, none twice, and data [K, PAGE_BYTES]: views. ProtocolError."""
    count = _WORD.unpack_from(payload)[0] if len(payload) >= _WORD.size else 0
    expected_bytes = _WORD.size + count * (_NUMBER.itemsize + PAGE_BYTES)
    if count > MAX_PAGES_PER_FRAME or len(payload) != expected_bytes:
        allowed = f"{expected_bytes} for so many, at most {MAX_PAGES_PER_FRAME} pages"
        raise ProtocolError(f"PAGES says {count} pages and has {len(payload)} bytes; allowed are {allowed}")
    numbers = np.frombuffer(payload, _NUMBER, count, _WORD.size)
    data = np.frombuffer(payload, _BYTE, count * PAGE_BYTES, _WORD.size + numbers.nbytes)
    listed = numbers.tolist()  # for so few, plain Python is faster
    if (highest := max(listed, default=-1)) >= memory_pages:
        raise ProtocolError(f"PAGES has page {highest}; the guest has pages 0 .. {memory_pages - 1}")
    if len(set(listed)) < count:
        raise ProtocolError(f"PAGES has page {next(each for each in listed if listed.count(each) > 1)} twice")
    return numbers, data.reshape(count, PAGE_BYTES)


def _check_json(value: object, depth: int) -> None:
    if depth > MAX_JSON_DEPTH:
        raise ValueError(f"more than {MAX_JSON_DEPTH} levels")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    if isinstance(value, str):
        value.encode()  # half a surrogate pair cannot be printed
    below = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in below:
        _check_json(each, depth + 1)


def _names(types: Collection[FrameType]) -> str:
    return " or ".join(each.name for each in sorted(types)) or "nothing"


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, OverflowError, UnicodeError) as error:
        number = errno.ETIMEDOUT if isinstance(error, TimeoutError) else getattr(error, "errno", None) or errno.EINVAL
        raise OSError(number, f"{what}: {getattr(error, 'strerror', None) or error}") from error
