"""``dqgym train``: a policy from a config, in a run directory that can be resumed, evaluated and exported."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dqgym.errors import BadInputError, RunInterruptedError

if TYPE_CHECKING:
    from experiments.runs.config import TrainingConfig
    from experiments.runs.run_directory import RunDirectory


DEVICE_KEY = "algorithm.device"
"""What alone a run that goes on may change of its config; its ``config.yaml`` stays as it is."""


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
    from experiments.named_files import TRAINING_CONFIGS
    from experiments.runs.config import load_config
    from experiments.runs.run_directory import RunDirectory, default_run_path

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

    path = resume or run_dir or default_run_path(settings.name, settings.seed)
    go_on = resume is not None or (reuse and _holds_run_of(path, settings))
    if go_on and RunDirectory.open(path).finished:
        _report(RunDirectory.open(path), as_json, "was finished already")
        return
    run = _train(settings, path, go_on, show_progress=not as_json, trust=trust)
    _report(run, as_json, "finished")


def _sets_device(override: str) -> bool:
    """The device says where networks are computed, not what is trained: a resumed run may have another one."""
    return override.partition("=")[0].strip() == DEVICE_KEY


def _holds_run_of(path: Path, settings: TrainingConfig) -> bool:
    """Whether a run with this config lies there; one with another config is set aside."""
    from experiments.runs.config import load_config
    from experiments.runs.run_directory import RunDirectory

    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return False
    run = RunDirectory.open(path)
    try:
        same = load_config(run.config_path) == settings
    except BadInputError:  # written by a version whose configs had other keys
        same = False
    if not same:
        print(f"{path} holds a run of another config: it is now {run.set_aside()}", file=sys.stderr)
    return same


def _train(settings: TrainingConfig, path: Path, go_on: bool, show_progress: bool, trust: bool) -> RunDirectory:
    """Train to the end, in a new run directory or, to go on, in the one that is there."""
    from experiments.runs.run_directory import RunDirectory, describe_run
    from experiments.training.training import draw_held_out, make_environment, require_device, run_training

    how_to_go_on = f"go on with: dqgym train --resume {shlex.quote(str(path))}"
    command = shlex.join(["dqgym", *sys.argv[1:]])
    require_device(settings)
    held_out = draw_held_out(settings)
    with closing(make_environment(settings)) as env:  # what cannot be made must not leave a run directory
        if go_on:
            run = RunDirectory.open(path)
            run.append_command(command)
        else:
            run = RunDirectory.create(path, settings.to_yaml(), command, describe_run(settings.name, settings.seed))
        try:
            result = run_training(settings, run, env, held_out, show_progress, trust)
        except KeyboardInterrupt as error:
            raise RunInterruptedError(how_to_go_on) from error
    if not result.finished:
        raise RunInterruptedError(f"after {result.frames:,} of {settings.training.frames:,} frames; {how_to_go_on}")
    return run


def _report(run: RunDirectory, as_json: bool, state: str) -> None:
    """Say what has come of a finished run."""
    meta = run.read_meta()
    best = run.read_evaluation()
    frames_per_s = meta.frames / meta.training_s if meta.training_s > 0.0 else 0.0
    if as_json:
        result = {
            "run": str(run.path),
            "frames": meta.frames,
            "training_s": meta.training_s,
            "frames_per_s": frames_per_s,
            "best_cost": best["cost"],
            "best_frames": best["frames"],
        }
        print(json.dumps(result, indent=2))
        return
    print(
        f"{run.path} {state}: {meta.frames:,} frames in {meta.training_s:,.0f} s ({frames_per_s:,.0f} frames/s);"
        f" best policy after {best['frames']:,} frames, cost {best['cost']:.4g}"
    )
    print(f"next: dqgym evaluate {shlex.quote(str(run.path))}    dqgym export {shlex.quote(str(run.path))}")
