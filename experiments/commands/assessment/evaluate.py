"""``dqgym evaluate``: learned policies and all baselines on the same migrations; rows, report and pictures."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments.commands import defaults
from experiments.commands.options import SUITE, SUITE_HELP, AsJson, Backend, Force, HostSource, MaxVcpus, Scale


def evaluate_command(
    throttles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN|BUNDLE|THROTTLE|ZIP|MODULE:NAME...",
            help="Training runs, policy bundles or baselines, these also with options (`dqgym throttles` lists them);"
            " zips of Stable-Baselines3, or throttles and policies of your own; without any, the baselines alone.",
            show_default=False,
        ),
    ] = None,
    suite: Annotated[list[str], typer.Option(metavar=SUITE, help=f"{SUITE_HELP} Repeat for more.")] = defaults.SUITES,
    preference: Annotated[
        list[float], typer.Option(help="What guest runtime is worth against time; repeat for more.", min=0.0)
    ] = defaults.PREFERENCES,
    count: Annotated[
        int | None,
        typer.Option(help="Scenarios of each suite; else all of a fixed one, 256 of a sampler.", min=1),
    ] = None,
    max_vcpus: MaxVcpus = None,
    seed: Annotated[int, typer.Option(help="Decides the sampled scenarios and all that is random.", min=0)] = 0,
    backend: Backend = "model",
    host: HostSource = None,
    scale: Scale = False,
    repeat: Annotated[int, typer.Option(help="Migrate each scenario so often, with other seeds.", min=1)] = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the results, a new or an empty one; else results/<time>.", file_okay=False),
    ] = None,
    force: Force = False,
    survey: Annotated[
        str | None,
        typer.Option(help="Run each policy once more, with a survey of this length: '0.005 T0' or '2 s'."),
    ] = None,
    opponent: Annotated[
        str | None,
        typer.Option(help="What the statistics compare with; else tuned-rule, dirty-quota or the first baseline."),
    ] = None,
    as_json: AsJson = False,
    baselines: Annotated[bool, typer.Option(help="Run all baselines beside the named throttles.")] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted evaluation: the same options, and its --out.")
    ] = False,
) -> None:
    """Compare learned policies with the baselines on the same migrations."""
    from experiments.extras import require_extra

    require_extra("train", "dqgym evaluate")  # pictures come last: too late to find that nothing can draw them
    from dqgym.errors import BadInputError
    from dqgym.telemetry.interval import parse_survey
    from experiments.evaluation.backend_sources import backend_maker, require_played_host
    from experiments.evaluation.evaluation import draw_tasks
    from experiments.evaluation.results_folder import RESULTS, evaluate_into
    from experiments.evaluation.session import Session
    from experiments.evaluation.throttle_sources import choose_opponent, line_up
    from experiments.folders import default_results, require_free
    from experiments.reporting.tables import say, show

    if resume and out is None:
        raise BadInputError("--resume needs the --out of the evaluation that was interrupted")
    if out is not None and not resume:  # what is resumed was allowed to write there when it began
        require_free(out, force, RESULTS)
    require_played_host(host, backend)
    make_backend = backend_maker(backend)
    tasks = draw_tasks(suite, count, seed, repeat, max_vcpus, scale, host)
    competing = line_up(throttles or [], baselines, None if survey is None else parse_survey(survey))
    if not competing:
        raise BadInputError("nothing to evaluate: name a throttle, or leave out --no-baselines")
    session = Session(
        throttles=tuple(competing),
        tasks=tuple(tasks),
        preferences=tuple(sorted(set(preference))),
        opponent=choose_opponent(competing, opponent),
        backend=backend,
        make_backend=make_backend,
        options={"survey": survey, "max_vcpus": max_vcpus},
        command=shlex.join(["dqgym", *(part for part in sys.argv[1:] if part != "--resume")]),
    )
    folder = out or default_results()
    report = evaluate_into(folder, session, resume)
    say(show(report.tables, report.document, as_json), f"results: {folder}")
