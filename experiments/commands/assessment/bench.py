"""``dqgym bench``: environment steps/s, training frames/s, and one decision's latency, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.commands.options import AsJson

bench_command = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Measure env steps/s, training frames/s, decision latency."
)

TRAINING_ENV_COUNTS = [256, 1024]
VCPU_SLOTS = [8, 32]
SUITES = ["mixed"]

NEnvs = Annotated[list[int], typer.Option(help="Number of environments; repeat for more.", min=1)]
SomeEnvs = Annotated[list[int] | None, typer.Option(help="The same; else 16 to 16384 (against REV: 1024).", min=1)]
Slots = Annotated[list[int], typer.Option(help="vCPU slots; repeat for more.", min=1, max=64)]
Repeats = Annotated[int, typer.Option(min=1, help="Samples of each figure; the median counts.")]
Against = Annotated[str | None, typer.Option(metavar="REV", help="Compare with another commit of this checkout.")]
Update = Annotated[Path | None, typer.Option(help="Page whose tables of it are replaced.", dir_okay=False)]


@bench_command.command("env")
def bench_env_command(
    suite: Annotated[list[str], typer.Option(help="Suite of migrations; repeat for more.")] = SUITES,
    all_suites: Annotated[bool, typer.Option("--all-suites", help="Every suite.")] = False,
    n_envs: SomeEnvs = None,
    vcpus: Slots = VCPU_SLOTS,
    repeats: Repeats = 9,
    sample_s: Annotated[float, typer.Option(help="Least length of a sample in seconds.", min=0.001)] = 0.1,
    against: Against = None,
    update: Update = None,
    as_json: AsJson = False,
) -> None:
    """Environment steps/s of MigrationVectorEnv, beside CartPole's in the same process; or beside another commit's."""
    from dqgym.scenario.suites import suite_names
    from experiments.bench.comparison import compare_with
    from experiments.bench.env_rate import ENV_COUNTS, Sampling, measure_env_rates
    from experiments.bench.output import publish, require_marks
    from experiments.bench.tables import comparison_table, env_tables

    suites, sampling = suite_names() if all_suites else list(dict.fromkeys(suite)), Sampling(repeats, sample_s)
    what = "env" if against is None else "env against"
    require_marks(update, what)
    if against is None:
        rates = measure_env_rates(suites, n_envs or ENV_COUNTS, vcpus, sampling)
        publish(env_tables(rates), rates, as_json, update, what)
    else:
        compared = compare_with(against, suites, n_envs or [1024], vcpus, sampling)
        publish([comparison_table(compared)], compared, as_json, update, what)


@bench_command.command("train")
def bench_train_command(
    n_envs: NEnvs = TRAINING_ENV_COUNTS,
    vcpus: Annotated[int, typer.Option(help="vCPU slots.", min=1, max=64)] = 8,
    repeats: Repeats = 3,
    n_steps: Annotated[int, typer.Option(help="Decisions of each environment between updates.", min=1)] = 64,
    epochs: Annotated[int, typer.Option(help="Passes over the frames in an update.", min=1)] = 4,
    minibatches: Annotated[int, typer.Option(help="Minibatches in a pass.", min=1)] = 4,
    update: Update = None,
    as_json: AsJson = False,
) -> None:
    """Frames/s, environment and updates together: PPO with either policy, paired rollouts with the per-vCPU one."""
    from experiments.bench.output import publish, require_marks
    from experiments.bench.tables import train_table
    from experiments.bench.training_rate import UpdateShape, measure_training_rates

    require_marks(update, "train")
    document = measure_training_rates(n_envs, vcpus, repeats, UpdateShape(n_steps, epochs, minibatches))
    publish([train_table(document)], document, as_json, update, "train")


@bench_command.command("policy")
def bench_policy_command(
    vcpus: Slots = VCPU_SLOTS,
    decisions: Annotated[int, typer.Option(help="Decisions timed.", min=100)] = 3000,
    update: Update = None,
    as_json: AsJson = False,
) -> None:
    """Latency of one decision of the per-vCPU policy (untrained: its weights do not matter) in each of its forms."""
    from experiments.bench.decision_latency import measure_latencies
    from experiments.bench.output import publish, require_marks
    from experiments.bench.tables import policy_table
    from experiments.extras import require_extra

    require_extra("export", "dqgym bench policy")
    require_marks(update, "policy")
    document = measure_latencies(vcpus, decisions)
    publish([policy_table(document)], document, as_json, update, "policy")
