"""``dqgym results``: a page of Markdown from stored evaluations, a table for each question; remarks on it are kept."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from dqgym.errors import BadInputError


def results_command(
    page: Annotated[Path, typer.Argument(help="The page of Markdown, for example docs/results.md.", dir_okay=False)],
    results: Annotated[
        list[Path],
        typer.Option(
            "--from", help="Folder with the summary.json of `dqgym evaluate`; repeat for more.", file_okay=False
        ),
    ],
    ablations: Annotated[
        str | None, typer.Option(metavar="PREFIX", help="How the names of policies begin that are ablations.")
    ] = None,
) -> None:
    """Write a page with the results of evaluations; what stands between its marks for notes stays."""
    from dqgym.files import write_text
    from experiments.reporting.results_page import kept_notes, results_page
    from experiments.reporting.results_tables import Stored
    from experiments.reporting.tables import say, terminal
    from experiments.results.summary import read_summary

    names = [folder.name for folder in results]
    if len(set(names)) < len(names):
        raise BadInputError(
            f"--from: {', '.join(names)}: the page tells folders apart by name, so that all must differ"
        )
    notes = kept_notes(page)
    stored = [Stored(folder.name, read_summary(folder), ablations) for folder in results]
    if ablations is not None and not any(one.ablated for one in stored):
        policies = ", ".join(name for one in stored for name in one.summary.learned) or "none"
        raise BadInputError(f"--ablations {ablations!r}: no policy's name begins so; policies: {policies}")
    options = [part for folder in results for part in ("--from", str(folder))]
    options += [] if ablations is None else ["--ablations", ablations]
    write_text(page, results_page(stored, shlex.join(["dqgym", "results", str(page), *options]), notes))
    say(terminal(), f"page: {page}")
