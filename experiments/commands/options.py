"""Options that several commands have, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.evaluation.backend_sources import BACKEND_HELP, DESTINATION_HELP

SUITE_HELP = "A suite of scenarios: a name in `dqgym suites`, a file or folder of your own, or module:name."
SUITE = "SUITE|FILE|FOLDER"

MaxVcpus = Annotated[
    int | None,
    typer.Option(
        "--max-vcpus",
        help="Leave out scenarios with more vCPUs; a sampler draws others, for a policy that serves no more.",
        min=1,
        show_default=False,
    ),
]
Scale = Annotated[
    bool,
    typer.Option(
        "--scale",
        help="Play scenarios that are too large for KVM here in small: same pressures, as many vCPUs (at most 16).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace the folder of results that lies there, with all that is in it.")
]
Backend = Annotated[str, typer.Option(help=BACKEND_HELP)]
Destination = Annotated[
    str | None,
    typer.Option(help=DESTINATION_HELP),
]

ScenarioSource = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO.yaml|NAME|SUITE:NAME",
        help="A file, the name of one in `dqgym configs`, or one of the scenarios of a fixed suite or folder.",
    ),
]
OneThrottle = Annotated[
    str,
    typer.Option(
        metavar="NAME[:OPTIONS]|RUN|BUNDLE|ZIP|MODULE:NAME",
        help="A baseline, with options if wanted (`dqgym throttles` lists them), a training run, a policy bundle, a zip"
        " of Stable-Baselines3, or a throttle or policy of your own.",
    ),
]
OnePreference = Annotated[
    float | None,
    typer.Option(help="Asked of a policy, tuned rule or oracle; its own default if not given.", min=0.0),
]
Seed = Annotated[int, typer.Option(help="Decides all that is random.", min=0)]
TraceFile = Annotated[
    Path | None, typer.Option(help="Write the time line as JSON; a file of that name is replaced.", dir_okay=False)
]
HostSource = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME",
        help="Host that the model plays: a file of its parameters, or the name of one that is shipped; else each"
        " scenario's own.",
    ),
]
PlotFile = Annotated[
    Path | None,
    typer.Option(help="Write a picture (PNG) of the time line; a file of that name is replaced.", dir_okay=False),
]
