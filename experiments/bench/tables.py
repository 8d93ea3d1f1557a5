"""What ``dqgym bench`` measured, as tables."""

from __future__ import annotations

from typing import Any

from experiments.reporting.tables import Table


def env_table(document: dict[str, Any]) -> Table:
    """Environment steps/s beside gymnasium's."""
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


def train_table(document: dict[str, Any]) -> Table:
    """Frames/s of training."""
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


def policy_table(document: dict[str, Any]) -> Table:
    """Microseconds of a decision."""
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
