"""``dqgym import``: make a scenario of the log of a migration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dqgym.scenario.recordings.formats.table import FORMATS
from experiments.commands.options import AsJson


def import_command(
    log_format: Annotated[
        str,
        typer.Argument(metavar="FORMAT", help=f"Who wrote the log: {', '.join(one.name for one in FORMATS)}."),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The log.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Scenario file to write; NAME.yaml if not given.")
    ] = None,
    throttle: Annotated[
        str | None,
        typer.Option(metavar="NAME[:OPTIONS]", help="That was on when the log was written, where it does not say so."),
    ] = None,
    vcpus: Annotated[int | None, typer.Option(metavar="N", min=1, help="VCPUs, where the log does not say.")] = None,
    writers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Of them that write; all if not given.")
    ] = None,
    downtime: Annotated[
        str | None, typer.Option(metavar="TIME", help="Downtime limit that was set, such as '300 ms'.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the scenario; from the log if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a scenario file of a migration's log: what its guest demanded, what its link carried, how sure that is."""
    from dqgym.errors import BadInputError
    from dqgym.scenario.recordings.log_scenario import Told
    from dqgym.throttles.registry import make_throttle
    from dqgym.units import parse_time
    from experiments.importing.imports import import_file, write
    from experiments.reporting.tables import say, show

    if throttle is not None:
        make_throttle(throttle)
    try:
        limit_s = None if downtime is None else parse_time(downtime)
    except ValueError as error:
        raise BadInputError(f"--downtime {downtime!r}: {error}") from error
    report = import_file(log_format, file, Told(name, vcpus, writers, limit_s), throttle)
    path = Path(f"{report.imported.scenario.name}.yaml") if out is None else out
    write(report, path)
    console = show(report.tables(), report.document(path), as_json)
    say(console, f"wrote {path}; next: dqgym evaluate none auto-converge default --suite {path}")
