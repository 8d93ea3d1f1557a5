"""``dqgym compare A B``: two throttles on the same migrations, and a verdict in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.commands import defaults
from experiments.commands.options import SUITE, SUITE_HELP, AsJson, HostSource, MaxVcpus


def compare_command(
    own: Annotated[str, typer.Argument(metavar="A", help="Anything that `dqgym evaluate` takes.")],
    other: Annotated[str, typer.Argument(metavar="B", help="What A is compared with.")],
    suite: Annotated[
        list[str] | None,
        typer.Option(
            metavar=SUITE,
            help=f"{SUITE_HELP} Repeat for more. Else {', '.join(defaults.SUITES)}.",
            show_default=False,
        ),
    ] = None,
    preference: Annotated[
        list[float] | None,
        typer.Option(
            help="What guest runtime is worth against time; repeat for more. Else"
            f" {', '.join(map(str, defaults.PREFERENCES))}.",
            min=0.0,
            show_default=False,
        ),
    ] = None,
    count: Annotated[int | None, typer.Option(help="Scenarios of each suite, as in `dqgym evaluate`.", min=1)] = None,
    max_vcpus: MaxVcpus = None,
    seed: Annotated[int | None, typer.Option(help="Decides the sampled scenarios; else 0.", min=0)] = None,
    host: HostSource = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Folder of `dqgym evaluate` with rows of throttles named A and B; else they run now"
            " on the model. --suite and --preference choose among its rows.",
            file_okay=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two throttles on the same migrations: which one costs less, by how much, how surely, and where."""
    from dqgym.errors import BadInputError
    from experiments.evaluation.duel import duel_now, duel_of, rows_of_two
    from experiments.evaluation.evaluation import draw_tasks
    from experiments.reporting.tables import say, show

    if own == other:
        raise BadInputError(f"A and B are both {own!r}; they must differ")
    if results is None:
        tasks = draw_tasks(suite or defaults.SUITES, count, seed or 0, max_vcpus=max_vcpus, host=host)
        found = duel_now(own, other, tasks, preference or defaults.PREFERENCES, show_progress=not as_json)
    elif any(option is not None for option in (count, seed, max_vcpus, host)):
        raise BadInputError("--count, --max-vcpus, --seed and --host decide what runs; with --from nothing does")
    else:
        found = duel_of(rows_of_two(results, own, other, suite, preference), own, other)
    console = show(found.tables(), found.document(), as_json)
    if not as_json:
        say(console, found.verdict())
