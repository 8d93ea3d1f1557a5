"""``dqgym tune``: the best options of a throttle on a distribution of migrations, one set for each preference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dqgym.cost import FAST, GENTLE
from dqgym.errors import BadInputError
from experiments.commands.options import SUITE_HELP

CONTEXTUAL = "contextual-rule"
TUNABLE = ("tuned-rule", CONTEXTUAL, "dirty-limit", "dirty-quota", "auto-converge")
DEFAULT_PREFERENCES = [0.05, FAST, GENTLE, 2.0]
TUNING_SEED = 7_000_003
EVALUATION_SEEDS = (0, 1_000_003)
"""Default seeds of ``dqgym evaluate`` and of the evaluations of a training."""


def tune_command(
    throttle: Annotated[str, typer.Argument(help=f"What is tuned: {', '.join(TUNABLE)}.")],
    suite: Annotated[
        list[str] | None,
        typer.Option(metavar="SUITE[=WEIGHT]", help=f"{SUITE_HELP} Repeat for more. Else those of training."),
    ] = None,
    preference: Annotated[
        list[float], typer.Option(help="What guest runtime is worth against time; repeat for more.", min=1e-3)
    ] = DEFAULT_PREFERENCES,
    count: Annotated[int, typer.Option(help="Scenarios of each suite, times its weight.", min=1)] = 300,
    seed: Annotated[int, typer.Option(help="Decides the scenarios and the search.", min=0)] = TUNING_SEED,
    trials: Annotated[
        int,
        typer.Option(help=f"Sets of options tried for each preference; of {CONTEXTUAL}: steps of the search.", min=1),
    ] = 300,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the distribution; else 'training', or the suites'.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help=f"File that takes the results, beside what it holds; else tuned.yaml. Of {CONTEXTUAL}: file that is"
            " written anew; else contextual_rule.yaml.",
            dir_okay=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted search: the same options, and its --out.")
    ] = False,
) -> None:
    """Find the options of a throttle that cost least on the model, for each preference."""
    from dqgym.names import did_you_mean
    from experiments.extras import require_extra
    from experiments.reporting.tables import say, terminal
    from experiments.tuning.distribution import draw_distribution, parse_suites
    from experiments.tuning.tuning import Tuning

    if throttle not in TUNABLE:
        raise BadInputError(f"cannot tune {throttle!r}{did_you_mean(throttle, TUNABLE)}; can: {', '.join(TUNABLE)}")
    require_extra("train" if throttle == CONTEXTUAL else "tune", "dqgym tune")
    if seed in EVALUATION_SEEDS:
        raise BadInputError(f"--seed {seed}: evaluations draw their migrations with it; tune with another one")
    default = "contextual_rule.yaml" if throttle == CONTEXTUAL else "tuned.yaml"
    distribution = draw_distribution(parse_suites(suite), name, count, seed)
    tuning = Tuning(throttle, distribution, tuple(sorted(set(preference))), trials, out or Path(default), resume)
    if throttle == CONTEXTUAL:
        from experiments.tuning.contextual import tune_contextual

        tables = [tune_contextual(tuning)]
    else:
        from experiments.tuning.options import tune_options  # loads optuna

        tables = tune_options(tuning)
    console = terminal()
    for table in tables:
        table.print(console)
    say(console, f"results: {tuning.out}")
