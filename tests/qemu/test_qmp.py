"""The monitor's client, against a monitor that is played by a thread."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dqgym.qemu.qmp import QmpClient, QmpClosedError, QmpError

GREETING = {"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 2}}, "capabilities": []}}


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Serves one client: sends each of ``said`` after a command, without a newline between them."""
    threads, sockets = [], []

    def serve(*said: object, greeting: object = GREETING, chunk: int = 7) -> Path:
        path = tmp_path / "qmp.sock"
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen(1)
        sockets.append(server)

        def run() -> None:
            client, _ = server.accept()
            with client, suppress(OSError):  # a client that has seen enough goes
                for value in (greeting, {"return": {}}, *said):
                    text = value if isinstance(value, str) else json.dumps(value)
                    for start in range(0, len(text), chunk):
                        client.sendall(text[start : start + chunk].encode())
                    client.recv(4096)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        threads.append(thread)
        return path

    yield serve
    for server in sockets:
        server.close()


def test_answers_are_read_from_a_stream_that_has_no_lines(monitor) -> None:
    with QmpClient(monitor({"return": {"status": "active"}})) as client:
        assert client.version == (10, 0, 2)
        assert client.execute("query-migrate") == {"status": "active"}


def test_events_between_answers_are_passed_over(monitor) -> None:
    path = monitor('{"event": "STOP", "timestamp": {}}\r\n{"return": 1}')
    with QmpClient(path) as client:
        assert client.execute("query-status") == 1


def test_an_error_of_qemu_has_its_words(monitor) -> None:
    path = monitor({"error": {"class": "CommandNotFound", "desc": "The command nix has not been found"}})
    with QmpClient(path) as client, pytest.raises(QmpError, match="nix: CommandNotFound: The command nix"):
        client.execute("nix")


def test_the_end_of_the_connection_is_an_error_of_its_own(monitor) -> None:
    with QmpClient(monitor()) as client, pytest.raises(QmpClosedError, match="connection ended"):
        client.execute("query-migrate")


@pytest.mark.parametrize("greeting", ["SSH-2.0-OpenSSH_9.2\r\n", {"hello": 1}, "[1]"])
def test_what_is_no_monitor_is_refused(monitor, greeting: object) -> None:
    with pytest.raises(QmpError, match="QMP"):
        QmpClient(monitor(greeting=greeting))


def test_a_missing_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(QmpError, match=r"cannot use the monitor .*nothing.sock: No such file"):
        QmpClient(tmp_path / "nothing.sock")
