"""A training as a user starts it: in a new run directory, or going on in one that is there."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import closing
from pathlib import Path

from dqgym.errors import BadInputError, RunInterruptedError
from experiments.runs.config import TrainingConfig, load_config
from experiments.runs.run_directory import RunDirectory, describe_run
from experiments.runs.suites import kept_config, same_training


def holds_run_of(path: Path, settings: TrainingConfig) -> bool:
    """Whether a run with this config lies there; one with another config is set aside."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return False
    run = RunDirectory.open(path)
    try:
        same = same_training(load_config(run.config_path), settings)
    except BadInputError:  # written by a version whose configs had other keys
        same = False
    if not same:
        print(f"{path} holds a run of another config: it is now {run.set_aside()}", file=sys.stderr)
    return same


def train(settings: TrainingConfig, path: Path, go_on: bool, show_progress: bool, trust: bool) -> RunDirectory:
    """Train to the end.

    Args:
        settings: the config.
        path: the run directory: a new one or, to go on, the one that is there.
        go_on: whether there is one.
        show_progress: on standard error, where somebody watches.
        trust: read a replay buffer that is a pickle.

    Raises:
        BadInputError: the device, the environment or the folder cannot be used.
        RunInterruptedError: the user stopped it; the message says how to go on.
    """
    from experiments.training.training import draw_held_out, make_environment, require_device, run_training  # torch

    how_to_go_on = f"go on with: dqgym train --resume {shlex.quote(str(path))}"
    command = shlex.join(["dqgym", *sys.argv[1:]])
    require_device(settings)
    config_text, own_suites = kept_config(settings)
    held_out = draw_held_out(settings)
    with closing(make_environment(settings)) as env:  # what cannot be made must not leave a run directory
        if go_on:
            run = RunDirectory.open(path)
            run.append_command(command)
        else:
            meta = describe_run(settings.name, settings.seed)
            run = RunDirectory.create(path, config_text, command, meta, own_suites)
        try:
            result = run_training(settings, run, env, held_out, show_progress, trust)
        except KeyboardInterrupt as error:
            raise RunInterruptedError(how_to_go_on) from error
    if not result.finished:
        raise RunInterruptedError(f"after {result.frames:,} of {settings.training.frames:,} frames; {how_to_go_on}")
    return run


def report(run: RunDirectory, as_json: bool, state: str) -> None:
    """Say what has come of a finished run: as JSON, or in two lines."""
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
