"""``dqgym bench``: environment steps/s, training frames/s, and one decision's latency, on this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from experiments.reporting.tables import Table

bench_app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Measure env steps/s, training frames/s, decision latency."
)

ENV_COUNTS = [1, 16, 256, 1024, 4096]
TRAINING_ENV_COUNTS = [256, 1024]
VCPU_SLOTS = [8, 32]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Repeats = Annotated[int, typer.Option(min=1, help="Samples of each figure; the median counts.")]


@bench_app.command("env")
def bench_env_command(
    n_envs: Annotated[
        list[int], typer.Option(help="Number of environments side by side; repeat for more.", min=1)
    ] = ENV_COUNTS,
    vcpus: Annotated[list[int], typer.Option(help="vCPU slots; repeat for more.", min=1, max=64)] = VCPU_SLOTS,
    repeats: Repeats = 9,
    sample_s: Annotated[float, typer.Option(help="Least length of a sample in seconds.", min=0.001)] = 0.1,
    as_json: AsJson = False,
) -> None:
    """Environment steps/s of MigrationVectorEnv, beside gymnasium's CartPoleVectorEnv in the same process."""
    from experiments.bench.env_rate import measure_env_rates

    _show(measure_env_rates(n_envs, vcpus, repeats, sample_s), as_json, _env_table)


@bench_app.command("train")
def bench_train_command(
    n_envs: Annotated[
        list[int], typer.Option(help="Number of environments side by side; repeat for more.", min=1)
    ] = TRAINING_ENV_COUNTS,
    vcpus: Annotated[int, typer.Option(help="vCPU slots.", min=1, max=64)] = 8,
    repeats: Repeats = 3,
    n_steps: Annotated[int, typer.Option(help="Decisions of each environment between updates.", min=1)] = 64,
    epochs: Annotated[int, typer.Option(help="Passes over the frames in an update.", min=1)] = 4,
    minibatches: Annotated[int, typer.Option(help="Minibatches in a pass.", min=1)] = 4,
    as_json: AsJson = False,
) -> None:
    """Frames/s, environment and updates together: PPO with either policy, paired rollouts with the per-vCPU one."""
    from experiments.bench.training_rate import UpdateShape, measure_training_rates

    shape = UpdateShape(n_steps, epochs, minibatches)
    _show(measure_training_rates(n_envs, vcpus, repeats, shape), as_json, _train_table)


@bench_app.command("policy")
def bench_policy_command(
    vcpus: Annotated[list[int], typer.Option(help="vCPU slots; repeat for more.", min=1, max=64)] = VCPU_SLOTS,
    decisions: Annotated[int, typer.Option(help="Decisions timed.", min=100)] = 3000,
    as_json: AsJson = False,
) -> None:
    """Latency of one decision of the per-vCPU policy (untrained: its weights do not matter) in each of its forms."""
    from experiments.bench.decision_latency import measure_latencies
    from experiments.extras import require_extra

    require_extra("export", "dqgym bench policy")
    _show(measure_latencies(vcpus, decisions), as_json, _policy_table)


def _show(document: dict[str, Any], as_json: bool, table: Any) -> None:
    from experiments.reporting.tables import terminal

    if as_json:
        print(json.dumps(document, indent=2))
    else:
        table(document).print(terminal())


def _env_table(document: dict[str, Any]) -> Table:
    from experiments.reporting.tables import Table

    cartpole = document["cartpole_vector_env_steps_per_s"]
    return Table.of(
        "Environment steps per second [M/s], median",
        ("environments", "vCPU slots", "wall clock", "CPU time", "CartPoleVectorEnv", "ratio"),
        [
            (
                str(result["n_envs"]),
                str(result["vcpus"]),
                f"{result['env_steps_per_s'] / 1e6:.3f}",
                f"{result['env_steps_per_cpu_s'] / 1e6:.3f}",
                f"{cartpole[str(result['n_envs'])] / 1e6:.3f}",
                f"{result['env_steps_per_s'] / cartpole[str(result['n_envs'])]:.2f}",
            )
            for result in document["results"]
        ],
        _hardware_notes(document),
        text_columns=0,
    )


def _train_table(document: dict[str, Any]) -> Table:
    from experiments.reporting.tables import Table

    settings = document["settings"]
    return Table.of(
        "Training frames per second [thousand/s], median",
        ("algorithm", "policy", "environments", "vCPU slots", "frames/s"),
        [
            (
                result["algorithm"],
                result["policy"],
                str(result["n_envs"]),
                str(result["vcpus"]),
                f"{result['frames_per_s'] / 1e3:.1f}",
            )
            for result in document["results"]
        ],
        ["PPO: " + ", ".join(f"{name} = {value}" for name, value in settings.items()), *_hardware_notes(document)],
        text_columns=2,
    )


def _policy_table(document: dict[str, Any]) -> Table:
    from experiments.reporting.tables import Table

    return Table.of(
        "Latency of one decision [microseconds]",
        ("form", "timed", "vCPU slots", "median", "99th percentile"),
        [
            (
                result["form"],
                result["timed"],
                str(result["vcpus"]),
                f"{result['p50_us']:.0f}",
                f"{result['p99_us']:.0f}",
            )
            for result in document["results"]
        ],
        ["network: observation to action; decision: telemetry to command", *_hardware_notes(document)],
        text_columns=2,
    )


def _hardware_notes(document: dict[str, Any]) -> list[str]:
    return [", ".join(f"{name} {value}" for name, value in document["hardware"].items())]
