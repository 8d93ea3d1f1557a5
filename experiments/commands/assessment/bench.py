"""``dqgym bench``: environment steps/s, training frames/s, and one decision's latency, on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from experiments.commands.options import AsJson

bench_command = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Measure env steps/s, training frames/s, decision latency."
)

ENV_COUNTS = [1, 16, 256, 1024, 4096]
TRAINING_ENV_COUNTS = [256, 1024]
VCPU_SLOTS = [8, 32]

Repeats = Annotated[int, typer.Option(min=1, help="Samples of each figure; the median counts.")]


@bench_command.command("env")
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
    from experiments.bench.tables import env_table
    from experiments.reporting.tables import show

    document = measure_env_rates(n_envs, vcpus, repeats, sample_s)
    show([env_table(document)], document, as_json)


@bench_command.command("train")
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
    from experiments.bench.tables import train_table
    from experiments.bench.training_rate import UpdateShape, measure_training_rates
    from experiments.reporting.tables import show

    shape = UpdateShape(n_steps, epochs, minibatches)
    document = measure_training_rates(n_envs, vcpus, repeats, shape)
    show([train_table(document)], document, as_json)


@bench_command.command("policy")
def bench_policy_command(
    vcpus: Annotated[list[int], typer.Option(help="vCPU slots; repeat for more.", min=1, max=64)] = VCPU_SLOTS,
    decisions: Annotated[int, typer.Option(help="Decisions timed.", min=100)] = 3000,
    as_json: AsJson = False,
) -> None:
    """Latency of one decision of the per-vCPU policy (untrained: its weights do not matter) in each of its forms."""
    from experiments.bench.decision_latency import measure_latencies
    from experiments.bench.tables import policy_table
    from experiments.extras import require_extra
    from experiments.reporting.tables import show

    require_extra("export", "dqgym bench policy")
    document = measure_latencies(vcpus, decisions)
    show([policy_table(document)], document, as_json)
