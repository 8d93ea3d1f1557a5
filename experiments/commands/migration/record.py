"""``dqgym record``: write down a QEMU migration that somebody else starts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer


def record_command(
    qmp: Annotated[
        Path,
        typer.Option("--qmp", metavar="SOCKET", help="QEMU's monitor socket (-qmp unix:SOCKET,server=on,wait=off)."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="What to write; a file of that name is replaced.")] = Path(
        "migration.jsonl"
    ),
    interval_s: Annotated[float, typer.Option(metavar="SECONDS", min=0.01, help="Between two looks.")] = 0.1,
) -> None:
    """Record a QEMU migration that somebody else starts, without touching it; `dqgym import query-migrate` reads it.

    Waits for the migration to begin. Ctrl-C ends the recording, and what was seen until then is kept.
    """
    from dqgym.files import write_text
    from dqgym.qemu.qmp import QmpClient
    from experiments.importing.recorder import Recording, watch
    from experiments.reporting.tables import say, terminal

    recording = Recording()
    console = terminal()
    with QmpClient(qmp) as monitor:
        say(console, f"watching QEMU {'.'.join(map(str, monitor.version))}; waiting for a migration (Ctrl-C ends this)")
        try:
            watch(monitor, recording, time.sleep, interval_s)
        finally:
            if recording.lines:
                write_text(out, recording.text())
                say(console, f"wrote {out}: {len(recording.lines)} lines, the migration is {recording.status!r}")
    say(console, f"next: dqgym import query-migrate {out}")
