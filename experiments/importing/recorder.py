"""The recording of a QEMU migration that somebody else starts: it is watched, and nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dqgym.qemu.qmp import QmpClient, QmpClosedError, QmpError

ENDED = ("completed", "failed", "cancelled")
BEFORE = ("query-version", "query-cpus-fast", "query-migrate-capabilities", "query-migrate-parameters")
"""Asked once the migration goes on, when whoever started it has set them."""


@dataclass
class Recording:
    """The lines of a recording, and how it ended.

    Attributes:
        lines: one JSON object each; ``query-migrate`` in ``dqgym import`` reads them.
        status: of the migration, as it was last seen.
    """

    lines: list[str] = field(default_factory=list)
    status: str = "none"

    def add(self, command: str, answer: Any) -> None:
        """Keep the answer of a command."""
        self.lines.append(json.dumps({"command": command, "return": answer}))

    def text(self) -> str:
        """The content of the file."""
        return "".join(f"{line}\n" for line in self.lines)


def watch(
    monitor: QmpClient,
    recording: Recording,
    sleep: Callable[[float], None],
    interval_s: float,
    on_look: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Wait for a migration and record it to its end, or until QEMU exits; what is seen is kept at once.

    Args:
        monitor: of the source.
        recording: is added to.
        sleep: between two looks.
        interval_s: how long.
        on_look: told of every answer of ``query-migrate``.
    """
    old = monitor.execute("query-migrate").get("status", "none")
    begun = False
    while True:
        try:
            answer = monitor.execute("query-migrate")
        except QmpClosedError:
            return
        status = answer.get("status", "none")
        if status not in ("none", "setup") and not (not begun and status in ENDED and status == old):
            if not begun:
                begun = True
                _add_settings(monitor, recording)
            recording.add("query-migrate", answer)
            recording.status = status
            if status in ENDED:
                return
        if on_look is not None:
            on_look(answer)
        sleep(interval_s)


def _add_settings(monitor: QmpClient, recording: Recording) -> None:
    for command in BEFORE:
        try:
            recording.add(command, monitor.execute(command))
        except QmpClosedError:
            return
        except QmpError:
            continue  # an older QEMU, which does not have it
