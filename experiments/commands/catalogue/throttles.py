"""``dqgym throttles``: list the throttles with their options, defaults, units and source."""

from __future__ import annotations

from typing import Annotated

import typer

from experiments.commands.options import AsJson


def throttles_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME|MODULE:CLASS", help="Show this one's options alone.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the throttles and their options, as they are written: `auto-converge:initial=50,tail_slow`."""
    from dqgym.throttles.qemu.versions import HISTORIES
    from dqgym.throttles.table import all_rows, row_of
    from experiments.reporting.tables import show
    from experiments.reporting.throttle_tables import describe_throttle, list_table, options_table, versions_table

    if name is None:
        rows = all_rows()
        tables = [list_table(rows), options_table(rows), versions_table(rows)]
        show(tables, [describe_throttle(row) for row in rows], as_json)
        return
    row = row_of(name)
    tables = [list_table([row]), options_table([row])]
    show([*tables, versions_table([row])] if row.name in HISTORIES else tables, describe_throttle(row), as_json)
