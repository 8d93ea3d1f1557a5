"""``dqgym train``: a policy from a config, in a run directory that can be resumed, evaluated and exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dqgym.errors import BadInputError

DEVICE_KEY = "algorithm.device"
"""The only key of the config that a resumed run may change; its ``config.yaml`` stays as it is."""


def train_command(
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG.yaml|NAME", help="A file, or the name of one in `dqgym configs`.", show_default=False
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH.TO.KEY=VALUE", help="Replace a value of the config; repeat for more."),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(help="Run directory; else runs/<name>-<seed>-<time>.", file_okay=False, show_default=False),
    ] = None,
    reuse: Annotated[
        bool,
        typer.Option(
            "--reuse",
            help="Take what --run-dir holds: resume an interrupted run, keep a finished one, set aside one of another"
            " config (it is renamed).",
        ),
    ] = False,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with an interrupted run.", show_default=False)
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="With --resume: read a replay buffer that an earlier version wrote as a pickle, which executes what it"
            " holds. Only for your own runs.",
        ),
    ] = False,
    show_config: Annotated[bool, typer.Option("--show-config", help="Print the resolved config and stop.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object (with --show-config: the config), no progress.")
    ] = False,
) -> None:
    """Train a policy from a config. Ctrl-C or SIGTERM stops it so that it can be resumed; twice, at once."""
    from experiments.extras import require_extra
    from experiments.named_files import TRAINING_CONFIGS
    from experiments.runs.config import load_config
    from experiments.runs.run_directory import RunDirectory, default_run_path
    from experiments.training.session import holds_run_of, report, train

    if resume is not None and (config or run_dir or reuse or not all(map(_sets_device, overrides or ()))):
        raise BadInputError(
            "--resume goes on with the run as it is: it takes no config, --set, --run-dir or --reuse,"
            f" but for --set {DEVICE_KEY}=..."
        )
    if trust and resume is None:
        raise BadInputError("--trust goes with --resume: nothing else reads what could execute anything")
    if reuse and run_dir is None:
        raise BadInputError("--reuse needs --run-dir")

    if resume is not None:
        settings = load_config(RunDirectory.open(resume).config_path, overrides or ())
    elif config is not None:
        settings = load_config(TRAINING_CONFIGS.find(config), overrides or ())
    else:
        raise BadInputError("give a config, or --resume RUN")
    if show_config:
        print(json.dumps(settings.model_dump(mode="json"), indent=2) if as_json else settings.to_yaml(), end="")
        return

    require_extra("train", "dqgym train")
    path = resume or run_dir or default_run_path(settings.name, settings.seed)
    go_on = resume is not None or (reuse and holds_run_of(path, settings))
    if go_on and RunDirectory.open(path).finished:
        report(RunDirectory.open(path), as_json, "was finished already")
    else:
        report(train(settings, path, go_on, show_progress=not as_json, trust=trust), as_json, "finished")


def _sets_device(override: str) -> bool:
    """The device says where networks are computed, not what is trained: a resumed run may have another one."""
    return override.partition("=")[0].strip() == DEVICE_KEY
