"""``dqgym export``: the policy of a training run as a bundle that runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.bundles.export import BUNDLE_FOLDER, OBSERVATIONS
from experiments.commands.options import AsJson


def export_command(
    run: Annotated[Path, typer.Argument(help="Run directory of a training (`dqgym train` writes one).")],
    out: Annotated[
        Path | None,
        typer.Option(help=f"Directory to write the bundle to; RUN/{BUNDLE_FOLDER} if not given.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that lies there already.")] = False,
    observations: Annotated[
        int, typer.Option(min=1, help="Observations on which each exported form is compared with the trained network.")
    ] = OBSERVATIONS,
    as_json: AsJson = False,
) -> None:
    """Write the best policy of a run as a bundle (ONNX and manifest) that `dqgym control` runs without torch."""
    from experiments.bundles.export import bundle_document, bundle_table, export_run
    from experiments.extras import require_extra
    from experiments.reporting.tables import show

    require_extra("export", "dqgym export")
    bundle = export_run(run, out, force=force, observations=observations)
    show([bundle_table(bundle)], bundle_document(bundle), as_json)
