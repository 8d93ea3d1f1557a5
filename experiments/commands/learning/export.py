"""``dqgym export``: a trained policy as a bundle that runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.bundles.export import BUNDLE_FOLDER, OBSERVATIONS
from experiments.commands.options import AsJson


def export_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|ZIP|MODULE:FACTORY",
            help="Run directory of a training (`dqgym train` writes one), a zip that Stable-Baselines3 saved, or what"
            " gives a policy of another library.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help=f"Directory to write the bundle to; else RUN/{BUNDLE_FOLDER}, or NAME-{BUNDLE_FOLDER} beside a zip.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that lies there already.")] = False,
    observations: Annotated[
        int, typer.Option(min=1, help="Observations on which each exported form is compared with the trained network.")
    ] = OBSERVATIONS,
    as_json: AsJson = False,
) -> None:
    """Write the best policy of a run, or one of another library, as a bundle (ONNX and manifest).

    `dqgym control` runs it without torch.
    """
    from experiments.bundles.export import bundle_document, bundle_table, export_policy
    from experiments.extras import require_extra
    from experiments.reporting.tables import show

    require_extra("export", "dqgym export")
    bundle = export_policy(source, out, force=force, observations=observations)
    show([bundle_table(bundle)], bundle_document(bundle), as_json)
