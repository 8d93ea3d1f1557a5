"""What a peer may say in a frame, and that everything else is refused without a hang."""

import errno
import socket
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqgym.backends.kvm.migration import frames
from dqgym.backends.kvm.migration.frames import (
    LIMIT_BYTES,
    MAX_JSON_BYTES,
    MAX_JSON_DEPTH,
    MAX_PAGES_PER_FRAME,
    PAGE_BYTES,
    PROTOCOL_VERSION,
    Channel,
    ConnectionClosed,
    FrameType,
    ProtocolError,
    connect,
    decode_document,
    decode_json,
    decode_pages,
    encode_document,
    encode_json,
    encode_pages,
    listen,
    new_session,
)

SESSION = 0x0123456789ABCDEF
ALL = frozenset(FrameType)
TIMEOUT_S = 5.0
"""Nothing here takes so long unless it hangs."""
FEW = settings(max_examples=50, deadline=None)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "LEAST_STALL_S", 0.05)
    monkeypatch.setattr(frames, "STALL_S", TIMEOUT_S)


@contextmanager
def pair(session: int | None = SESSION, buffer_bytes: int | None = None) -> Iterator[tuple[Channel, Channel]]:
    """A source and a destination; the latter knows the session already, or learns it (None)."""
    with wired(session, buffer_bytes) as (raw, destination), closing(Channel(raw, SESSION)) as source:
        yield source, destination


@contextmanager
def wired(session: int | None = SESSION, buffer_bytes: int | None = None) -> Iterator[tuple[socket.socket, Channel]]:
    """A socket and the channel at its other end."""
    ours, theirs = socket.socketpair()
    if buffer_bytes is not None:
        for each in (ours, theirs):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    with closing(ours), closing(Channel(theirs, session)) as channel:
        yield ours, channel


@contextmanager
def in_background(work: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def recorded(*sent: tuple[FrameType, bytes], session: int = SESSION) -> list[bytes]:
    """The bytes of frames, each as a source sends it."""
    ours, theirs = socket.socketpair()
    with closing(theirs), closing(Channel(ours, session)) as source:
        theirs.settimeout(TIMEOUT_S)
        captured = []
        for type, payload in sent:
            source.send(type, payload)
            captured.append(theirs.recv(1 << 20))
    return captured


def forged(
    type: int = FrameType.STATE,
    payload: bytes = b"",
    *,
    magic: bytes = b"DQMF",
    version: int = PROTOCOL_VERSION,
    session: int = SESSION,
    sequence: int = 0,
    length_bytes: int | None = None,
) -> bytes:
    """A frame with a right checksum, made by the table in the module's docstring."""
    length_bytes = len(payload) if length_bytes is None else length_bytes
    fields = struct.pack("<4sHHQQI", magic, version, type, session, sequence, length_bytes)
    return fields + struct.pack("<I", zlib.crc32(fields + payload)) + payload


def refusal(sent: bytes, session: int | None = SESSION, allowed: frozenset[FrameType] = ALL) -> str:
    """Why a destination refuses these bytes, after which the connection ends."""
    with wired(session) as (peer, destination):
        peer.sendall(sent)
        peer.shutdown(socket.SHUT_WR)
        with pytest.raises(ProtocolError) as caught:
            destination.receive(TIMEOUT_S, allowed)
        return str(caught.value)


def pages(*numbers: int) -> tuple[np.ndarray, np.ndarray]:
    data = np.arange(len(numbers) * PAGE_BYTES, dtype=np.uint32).astype(np.uint8).reshape(-1, PAGE_BYTES)
    return np.array(numbers, dtype=np.uint32), data


def flat(parts: tuple[Any, ...]) -> memoryview:
    return memoryview(b"".join(bytes(part) for part in parts))


# ---- round trips


@FEW
@given(st.lists(st.tuples(st.sampled_from(FrameType), st.binary(max_size=3000)), max_size=8))
def test_any_frames_arrive_as_they_were_sent(sent: list[tuple[FrameType, bytes]]) -> None:
    with pair() as (source, destination):
        for type, payload in sent:
            payload = payload[: LIMIT_BYTES[type]]
            source.send(type, payload[:7], payload[7:])
            frame = destination.receive(TIMEOUT_S, ALL)
            assert (frame.type, bytes(frame.payload)) == (type, payload)


def test_both_directions_count_for_themselves() -> None:
    with pair(session=None) as (source, destination):
        source.send(FrameType.HELLO, encode_json({"vcpus": 2}))
        assert decode_json(destination.receive(TIMEOUT_S, {FrameType.HELLO}).payload) == {"vcpus": 2}
        destination.send(FrameType.ACCEPT, b"{}")
        for _ in range(3):
            source.send(FrameType.STATE)
            destination.receive(TIMEOUT_S, {FrameType.STATE})
        destination.send(FrameType.READY)
        assert source.receive(TIMEOUT_S, {FrameType.ACCEPT}).type == FrameType.ACCEPT
        assert source.receive(TIMEOUT_S, {FrameType.READY}).type == FrameType.READY


@pytest.mark.parametrize("count", [0, 1, 64, MAX_PAGES_PER_FRAME])
def test_pages_arrive_without_a_copy(count: int) -> None:
    numbers, data = pages(*range(count, 0, -1))
    with pair(buffer_bytes=16 * 1024) as (source, destination):
        with in_background(lambda: source.send(FrameType.PAGES, *encode_pages(numbers, data))):
            payload = destination.receive(TIMEOUT_S, {FrameType.PAGES}).payload
        got_numbers, got_data = decode_pages(payload, count + 1)
        np.testing.assert_array_equal(got_numbers, numbers)
        np.testing.assert_array_equal(got_data, data)
        assert (got_numbers.dtype, got_data.dtype, got_data.shape) == (np.uint32, np.uint8, data.shape)
        assert count == 0 or np.shares_memory(got_data, np.frombuffer(payload, np.uint8))
        assert not got_data.flags.writeable


def test_the_receive_buffer_is_used_again() -> None:
    with pair() as (source, destination):
        source.send(FrameType.STATE, bytes(5000))
        payload = destination.receive(TIMEOUT_S, ALL).payload
        source.send(FrameType.STATE, b"next")
        assert destination.receive(TIMEOUT_S, ALL).payload == b"next"
        assert payload[:4] == b"next"


def test_the_header_is_as_documented() -> None:
    first, second = recorded((FrameType.HELLO, b"{}"), (FrameType.STATE, b"abc"))
    assert first == forged(FrameType.HELLO, b"{}")
    assert second == forged(FrameType.STATE, b"abc", sequence=1)


def test_partial_sends_and_receives_make_a_whole_frame() -> None:
    payload = np.random.default_rng(0).bytes(1 << 20)
    parts = payload[:10], b"", payload[10:-3], payload[-3:]
    with (
        pair(buffer_bytes=4096) as (source, destination),
        in_background(lambda: source.send(FrameType.STATE, *parts)),
    ):
        assert destination.receive(TIMEOUT_S, ALL).payload == payload


def test_a_peer_may_write_byte_by_byte() -> None:
    first, second = recorded((FrameType.HELLO, b"{}"), (FrameType.STATE, bytes(range(100))))
    with (
        wired(session=None) as (peer, destination),
        in_background(lambda: [peer.send(bytes([byte])) for byte in first + second]),
    ):
        assert destination.receive(TIMEOUT_S, ALL).payload == b"{}"
        assert destination.receive(TIMEOUT_S, ALL).payload == bytes(range(100))


def test_frames_cross_a_real_connection() -> None:
    with closing(listen("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        with closing(Channel(connect(host, port, TIMEOUT_S), new_session())) as source:
            accepted, _ = server.accept()
            with closing(Channel(accepted, None)) as destination:
                source.send(FrameType.HELLO, b"{}")
                assert destination.receive(TIMEOUT_S, ALL).type == FrameType.HELLO
                assert destination.session == source.session
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# ---- connections that end, stall or crawl


def test_a_frame_cut_off_anywhere_is_a_closed_connection() -> None:
    (whole,) = recorded((FrameType.STATE, b"twenty bytes of text"))
    for kept in range(len(whole)):
        with wired() as (peer, destination):
            peer.sendall(whole[:kept])
            peer.close()
            with pytest.raises(ConnectionClosed, match=r"closed the connection (where|within)"):
                destination.receive(TIMEOUT_S, {FrameType.STATE})


@pytest.mark.parametrize("kept", [1, 31, 32, 40])
@pytest.mark.parametrize("timeout_s", [0, 0.05])
def test_half_a_frame_that_stalls_is_an_error(kept: int, timeout_s: float) -> None:
    (whole,) = recorded((FrameType.STATE, b"twenty bytes of text"))
    with wired() as (peer, destination):
        peer.sendall(whole[:kept])
        with pytest.raises(ProtocolError, match=r"stalled for 0\.05 s within"):
            destination.receive(timeout_s, ALL)


def test_a_stall_without_a_timeout_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "STALL_S", 0.05)
    with wired() as (peer, destination):
        peer.sendall(forged()[:-1])
        with pytest.raises(ProtocolError, match="stalled"):
            destination.receive(None, ALL)


@pytest.mark.slow
def test_a_peer_that_crawls_is_an_error() -> None:
    with wired() as (peer, destination):

        def crawl() -> None:
            for byte in forged(payload=bytes(100)):
                try:
                    peer.send(bytes([byte]))
                except BrokenPipeError:
                    return
                time.sleep(0.01)

        with in_background(crawl):
            with pytest.raises(ProtocolError, match="too slow"):
                destination.receive(0.5, ALL)
            destination.close()


@pytest.mark.parametrize("timeout_s", [0, 0.03])
def test_nothing_in_time_is_a_timeout_after_which_a_frame_may_come(timeout_s: float) -> None:
    with pair() as (source, destination):
        for _ in range(2):
            began_s = time.monotonic()
            with pytest.raises(TimeoutError):
                destination.receive(timeout_s, ALL)
            assert timeout_s <= time.monotonic() - began_s < TIMEOUT_S
        source.send(FrameType.CANCEL)
        assert destination.receive(timeout_s, ALL).type == FrameType.CANCEL


def test_a_receive_without_timeout_waits() -> None:
    with pair() as (source, destination):

        def late() -> None:
            time.sleep(0.1)
            source.send(FrameType.CANCEL)

        with in_background(late):
            assert destination.receive(None, ALL).type == FrameType.CANCEL


def test_a_peer_that_takes_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "STALL_S", 0.05)
    with pair(buffer_bytes=4096) as (source, _):
        with pytest.raises(ProtocolError, match="taken nothing"):
            source.send(FrameType.STATE, bytes(1 << 20))
        with pytest.raises(ConnectionClosed, match="none can follow"):
            source.send(FrameType.CANCEL)


def test_closing_wakes_a_receiver() -> None:
    with pair() as (_, destination):

        def close() -> None:
            time.sleep(0.1)
            destination.close()

        with in_background(close), pytest.raises(ConnectionClosed):
            destination.receive(None, ALL)
        destination.close()


def test_an_error_frame_outlives_the_connection() -> None:
    with (
        closing(listen("127.0.0.1", 0)) as server,
        closing(Channel(connect("127.0.0.1", server.getsockname()[1], TIMEOUT_S), SESSION)) as source,
        closing(Channel(server.accept()[0], SESSION)) as destination,
    ):
        source.send(FrameType.STATE, b"never read")
        destination.send(FrameType.ERROR, encode_json({"reason": "no memory"}))
        destination.close()

        def send_on() -> None:
            for _ in range(100):
                source.send(FrameType.STATE, b"more")
                time.sleep(0.01)

        with pytest.raises(ConnectionClosed, match=r"broken: (Broken pipe|Connection reset)"):
            send_on()
        assert decode_json(source.receive(0, {FrameType.ERROR}).payload)["reason"] == "no memory"


# ---- frames that do not fit


@FEW
@given(st.data())
def test_any_flipped_bit_is_refused(data: st.DataObject) -> None:
    payload = data.draw(st.binary(max_size=200))
    whole = bytearray(forged(payload=payload))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    refusal(bytes(whole))


def test_every_flipped_bit_of_a_header_is_refused() -> None:
    whole = forged(payload=b"a few bytes")
    for bit in range(8 * 32):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        refusal(bytes(flipped))


@FEW
@given(st.binary(min_size=0, max_size=500), st.integers(0, 28), st.sampled_from([None, SESSION]))
def test_garbage_is_refused(garbage: bytes, good_bytes: int, session: int | None) -> None:
    refusal(garbage, session)
    refusal(forged()[:good_bytes] + garbage, session)


def test_replayed_reordered_and_skipped_frames_are_refused() -> None:
    first, second, third = recorded(*[(FrameType.STATE, b"x")] * 3)
    for bad, number, expected in [(first, 0, 1), (third, 2, 1)]:
        with wired() as (peer, destination):
            peer.sendall(first + bad + second)
            destination.receive(TIMEOUT_S, ALL)
            with pytest.raises(ProtocolError, match=f"sequence number {number}; {expected} comes next"):
                destination.receive(TIMEOUT_S, ALL)
    assert "sequence number 1; 0 comes next" in refusal(second + first)


def test_a_frame_of_another_session_is_refused() -> None:
    hello = recorded((FrameType.HELLO, b"{}"))[0]
    other = recorded(*[(FrameType.HELLO, b"{}")] * 2, session=SESSION + 1)[1]
    with wired(session=None) as (peer, destination):
        peer.sendall(hello + other)
        destination.receive(TIMEOUT_S, ALL)
        assert destination.session == SESSION
        with pytest.raises(ProtocolError, match=r"session 0x0123456789abcdf0; this is session 0x0123456789abcdef"):
            destination.receive(TIMEOUT_S, ALL)


def test_sessions_differ() -> None:
    drawn = [new_session() for _ in range(20)]
    assert len(set(drawn)) == 20
    assert all(0 <= each < 2**64 for each in drawn)


def test_the_first_frame_must_be_hello() -> None:
    assert "HELLO is allowed here" in refusal(forged(FrameType.STATE), session=None)
    assert "sequence number 5; 0 comes next" in refusal(forged(FrameType.HELLO, b"{}", sequence=5), session=None)


def test_a_damaged_hello_sets_no_session() -> None:
    with wired(session=None) as (peer, destination):
        peer.sendall(forged(FrameType.HELLO, b"{}")[:-1] + b"!")
        with pytest.raises(ProtocolError, match="checksum"):
            destination.receive(TIMEOUT_S, ALL)
        assert destination.session is None
        with pytest.raises(ValueError, match="before it has received HELLO"):
            destination.send(FrameType.ERROR, b"{}")


def test_another_version_is_refused_with_both_versions() -> None:
    problem = refusal(forged(version=7))
    assert "version 7" in problem
    assert f"this end speaks {PROTOCOL_VERSION}" in problem


def test_another_protocol_is_refused() -> None:
    assert "b'HTTP'" in refusal(b"HTTP/1.1 400 Bad Request\r\n\r\nnothing to see here")


def test_types_that_are_unknown_or_out_of_place_are_refused() -> None:
    assert "type 77; RESUME or CANCEL is allowed" in refusal(
        forged(77), allowed=frozenset({FrameType.CANCEL, FrameType.RESUME})
    )
    assert "type 2; HELLO is allowed" in refusal(forged(FrameType.PAGES), allowed=frozenset({FrameType.HELLO}))


@pytest.mark.parametrize("type", FrameType)
def test_an_oversized_length_is_refused_before_anything_is_allocated(type: FrameType) -> None:
    limit = LIMIT_BYTES[type]
    for length_bytes in (limit + 1, 2**32 - 1):
        tracemalloc.start()
        assert f"{type.name} has {length_bytes} bytes; at most {limit}" in refusal(
            forged(type, length_bytes=length_bytes)
        )
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 64 * 1024


def test_after_a_bad_frame_nothing_is_received() -> None:
    with wired() as (peer, destination):
        peer.sendall(forged(FrameType.HELLO, length_bytes=1 << 30) + forged())
        with pytest.raises(ProtocolError, match="at most"):
            destination.receive(TIMEOUT_S, ALL)
        with pytest.raises(ProtocolError, match="what follows it cannot be used"):
            destination.receive(TIMEOUT_S, ALL)
        destination.send(FrameType.ERROR, b"{}")
        assert len(peer.recv(100)) == 34, "the reason can still be given"


def test_what_is_too_large_or_scattered_is_not_sent() -> None:
    with pair() as (source, destination):
        with pytest.raises(ValueError, match="RESUME has 1 bytes; at most 0"):
            source.send(FrameType.RESUME, b"x")
        with pytest.raises(TypeError, match="contiguous"):
            source.send(FrameType.STATE, np.zeros((4, 4), dtype=np.uint8)[:, ::2])
        source.send(FrameType.RESUME)
        assert destination.receive(TIMEOUT_S, ALL).type == FrameType.RESUME


# ---- payloads

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@FEW
@given(st.dictionaries(st.text(max_size=10), JSON_VALUES, max_size=4), st.binary(max_size=100))
def test_documents_come_back_as_they_were(document: dict[str, Any], raw: bytes) -> None:
    assert decode_json(encode_json(document)) == document
    got, rest = decode_document(flat(encode_document(document, raw[:3], raw[3:])))
    assert (got, bytes(rest)) == (document, raw)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"", "Expecting value"),
        (b"[1]", "not an object"),
        (b"null", "not an object"),
        (b'{"a": 1', "delimiter"),
        (b'{"a": NaN}', "nan is not finite"),
        (b'{"a": [-Infinity]}', "inf is not finite"),
        (b'{"a": 1e999}', "inf is not finite"),
        (b'{"a": "\xff"}', "utf-8"),
        (b'{"a": "\\ud800"}', "surrogates"),
        ('{"a": 1}'.encode("utf-16"), "utf-8"),
        (b'{"a": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"a": ' + b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH + b"}", f"more than {MAX_JSON_DEPTH} levels"),
        (b'{"a": ' + b"[" * 500_000, "recursion"),
        (b" " * (MAX_JSON_BYTES + 1), f"at most {MAX_JSON_BYTES}"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value,
)
def test_json_that_cannot_be_used_is_refused(payload: bytes, problem: str) -> None:
    with pytest.raises(ProtocolError, match=problem) as caught:
        decode_json(payload)
    assert len(str(caught.value)) < 700


@FEW
@given(st.binary(max_size=60))
def test_random_documents_are_refused_or_objects(garbage: bytes) -> None:
    try:
        document, _ = decode_document(memoryview(garbage))
    except ProtocolError:
        return
    assert isinstance(document, dict)


def test_json_that_would_be_refused_is_not_sent() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        encode_json({"a": float("nan")})
    with pytest.raises(ValueError, match=f"at most {MAX_JSON_BYTES}"):
        encode_json({"a": "x" * MAX_JSON_BYTES})


def test_a_document_with_a_wrong_length_is_refused() -> None:
    whole = flat(encode_document({"a": 1}))
    for cut in range(len(whole)):
        with pytest.raises(ProtocolError, match="its JSON ends at"):
            decode_document(whole[:cut])
    with pytest.raises(ProtocolError, match="its JSON ends at 4294967299"):
        decode_document(memoryview(b"\xff\xff\xff\xff{}"))


def test_pages_beyond_the_memory_are_refused() -> None:
    payload = flat(encode_pages(*pages(3, 9, 1)))
    decode_pages(payload, 10)
    with pytest.raises(ProtocolError, match=r"page 9; the guest has pages 0 \.\. 8"):
        decode_pages(payload, 9)


def test_a_page_twice_is_refused() -> None:
    with pytest.raises(ProtocolError, match="page 7 twice"):
        decode_pages(flat(encode_pages(*pages(7, 2, 7))), 10)


def test_too_many_pages_are_neither_sent_nor_accepted() -> None:
    too_many = MAX_PAGES_PER_FRAME + 1
    numbers, data = pages(*range(too_many))
    with pytest.raises(ValueError, match=f"K <= {MAX_PAGES_PER_FRAME}"):
        encode_pages(numbers, data)
    with pytest.raises(ProtocolError, match=f"at most {MAX_PAGES_PER_FRAME}"):
        decode_pages(flat((struct.pack("<I", too_many), numbers, data)), 1000)


@pytest.mark.parametrize("count", [0, 1, 3, 2**32 - 1])
def test_a_count_that_does_not_match_the_length_is_refused(count: int) -> None:
    payload = bytearray(flat(encode_pages(*pages(4, 5))))
    payload[:4] = struct.pack("<I", count)
    with pytest.raises(ProtocolError, match=f"says {count} pages and has {len(payload)} bytes"):
        decode_pages(memoryview(payload), 10)


def test_pages_cut_off_anywhere_are_refused() -> None:
    payload = flat(encode_pages(*pages(4)))
    for cut in [*range(20), len(payload) - 1]:
        with pytest.raises(ProtocolError, match="PAGES says"):
            decode_pages(payload[:cut], 10)


@pytest.mark.parametrize(
    ("numbers", "data"),
    [
        (np.zeros(2, np.uint64), np.zeros((2, PAGE_BYTES), np.uint8)),
        (np.zeros(2, np.uint32), np.zeros((1, PAGE_BYTES), np.uint8)),
        (np.zeros(2, np.uint32), np.zeros((2, 512), np.uint64)),
        (np.zeros((2, 1), np.uint32), np.zeros((2, PAGE_BYTES), np.uint8)),
    ],
)
def test_arrays_that_are_no_pages_are_not_sent(numbers: Any, data: Any) -> None:
    with pytest.raises(ValueError, match="pages are uint32"):
        encode_pages(numbers, data)


# ---- addresses


def test_errors_about_addresses_say_host_port_and_reason() -> None:
    with closing(listen("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use") as caught:
            listen("127.0.0.1", port)
        assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(ConnectionRefusedError, match=rf"cannot connect to 127\.0\.0\.1:{port}: Connection refused"):
        connect("127.0.0.1", port, TIMEOUT_S)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("::1%nowhere", 1), ("x" * 70 + ".y", 1)])
def test_impossible_addresses_are_os_errors(host: str, port: int) -> None:
    with pytest.raises(OSError, match=f"cannot connect to {host}:{port}: ."):
        connect(host, port, TIMEOUT_S)
    with pytest.raises(OSError, match=f"cannot listen on {host}:{port}: ."):
        listen(host, port)


def test_a_connection_that_takes_too_long_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", never)
    with pytest.raises(TimeoutError, match=r"cannot connect to there:1: timed out"):
        connect("there", 1, 0.1)
