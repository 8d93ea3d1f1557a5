"""QEMU's monitor protocol (QMP) over a unix socket: commands in, answers out, one at a time.

QMP is a stream of JSON values (docs/interop/qmp-spec.rst in QEMU): a greeting, ``qmp_capabilities``, then commands and
answers, with events between them. Values need not end with a newline, so the stream is parsed, not split into lines.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from dqgym.errors import BadInputError

TIMEOUT_S = 30.0
"""A monitor that is silent for longer has hung, or is no monitor."""
MOST_BYTES = 16 * 2**20
"""Of one value."""


class QmpError(BadInputError):
    """The monitor cannot be used: no such socket, no QMP on it, an error for a command, or the connection ended."""


class QmpClosedError(QmpError):
    """The connection ended: QEMU has exited, or was told to close it."""


class QmpClient:
    """A connection to a monitor, past its greeting.

    Args:
        path: of the socket (``-qmp unix:PATH,server=on,wait=off``). A monitor serves one client at a time.
        timeout_s: for each answer.

    Raises:
        QmpError: there is no monitor on it.
    """

    def __init__(self, path: str | Path, timeout_s: float = TIMEOUT_S) -> None:
        self.path = str(path)
        self._decoder, self._text = json.JSONDecoder(), ""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(self.path)
            greeting = self._value()
            if "QMP" not in greeting:
                raise QmpError(f"{self.path}: no QMP greeting, but {str(greeting)[:80]!r}")
            self.execute("qmp_capabilities")
        except OSError as failure:
            self.close()
            raise QmpError(f"cannot use the monitor {self.path}: {failure.strerror or failure}") from failure
        except BaseException:
            self.close()
            raise
        version = greeting["QMP"].get("version", {}).get("qemu", {}) if isinstance(greeting["QMP"], Mapping) else {}
        self.version = tuple(int(version.get(part, 0)) for part in ("major", "minor", "micro"))
        """Of QEMU: major, minor, micro."""

    def execute(self, command: str, **arguments: Any) -> Any:
        """The answer of a command.

        Raises:
            QmpError: QEMU refused it; the message has the class and the words of its error.
            QmpClosedError: the connection ended before the answer.
        """
        message = {"execute": command, **({"arguments": arguments} if arguments else {})}
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
            while True:
                value = self._value()
                if "return" in value:
                    return value["return"]
                if "error" in value:
                    error = value["error"]
                    raise QmpError(f"{self.path}: {command}: {error.get('class')}: {error.get('desc')}")
        except TimeoutError as failure:
            raise QmpError(f"{self.path}: {command}: no answer in {self._socket.gettimeout():g} s") from failure
        except OSError as failure:
            raise QmpClosedError(f"{self.path}: {command}: {failure.strerror or failure}") from failure

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def __enter__(self) -> QmpClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _value(self) -> Mapping[str, Any]:
        """The next JSON object of the stream."""
        while True:
            self._text = self._text.lstrip()
            try:
                value, end = self._decoder.raw_decode(self._text)
            except ValueError:
                self._receive()
                continue
            self._text = self._text[end:]
            if not isinstance(value, Mapping):
                raise QmpError(f"{self.path}: not QMP: {str(value)[:80]!r}")
            return value

    def _receive(self) -> None:
        if len(self._text) > MOST_BYTES or self._text[:1] not in ("", "{"):
            raise QmpError(f"{self.path}: not QMP: {self._text[:80]!r}")
        received = self._socket.recv(65536)
        if not received:
            raise QmpClosedError(f"{self.path}: the connection ended")
        self._text += received.decode("utf-8", errors="replace")
