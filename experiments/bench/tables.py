"""What ``dqgym bench`` measured, as tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from experiments.reporting.tables import Table


def env_tables(document: dict[str, Any]) -> list[Table]:
    """Environment steps/s by suite and number of environments, beside CartPole's; what a step takes."""
    results = document["results"]
    sizes = sorted({result["n_envs"] for result in results})
    rates = [
        *_rows(results, sizes, lambda result: f"{result['env_steps_per_cpu_s'] / 1e6:.3f}"),
        *_cartpole_rows(results, sizes),
    ]
    notes = [f"left out: {reason}" for reason in document["left_out"]]
    if document["not_installed"]:
        notes.append(f"not installed: {', '.join(document['not_installed'])} (pip install 'dqgym[bench]')")
    tables = [
        _by_size("Environment steps per second of CPU time [M/s], median", sizes, rates, notes),
        _by_size(
            "Share of the rate of CartPoleVectorEnv",
            sizes,
            _rows(results, sizes, lambda result: f"{result['ratio_to_cartpole_vector_env']:.2f}"),
        ),
    ]
    if all(result["cycles_per_step"] is not None for result in results):
        tables.append(
            _by_size(
                "Cycles per environment step",
                sizes,
                _rows(results, sizes, lambda result: f"{result['cycles_per_step']:.0f}"),
                ["CPU time times the core's clock, which a chain of dependent operations measures between samples"],
            )
        )
    if all(result["pieces_per_step"] is not None for result in results):
        rows = _rows(results, sizes, lambda result: f"{result['pieces_per_step']:.2f}")
        tables.append(_by_size("Pieces of constant rates per environment step", sizes, rows))
    return [*tables[:-1], replace(tables[-1], notes=(*tables[-1].notes, *_hardware_notes(document)))]


def _rows(
    results: list[dict[str, Any]], sizes: list[int], cell: Callable[[dict[str, Any]], str]
) -> list[tuple[str, ...]]:
    """One for each suite and number of slots, with a cell for each size."""
    by_key = {(result["suite"], result["vcpus"], result["n_envs"]): result for result in results}
    kinds = dict.fromkeys((result["suite"], result["vcpus"]) for result in results)
    return [(suite, str(slots), *(cell(by_key[suite, slots, n]) for n in sizes)) for suite, slots in kinds]


def _cartpole_rows(results: list[dict[str, Any]], sizes: list[int]) -> list[tuple[str, ...]]:
    """One for each kind of CartPole, which was measured anew for each number of slots."""
    rates: dict[str, dict[int, list[float]]] = {}
    for result in results:
        for kind, rate in result["cartpole_steps_per_cpu_s"].items():
            rates.setdefault(kind, {}).setdefault(result["n_envs"], []).append(rate)
    return [
        (f"CartPole: {kind}", "", *(f"{median(by_size[n]) / 1e6:.3f}" for n in sizes))
        for kind, by_size in rates.items()
    ]


def _by_size(title: str, sizes: list[int], rows: list[tuple[str, ...]], notes: Sequence[str] = ()) -> Table:
    return Table.of(title, ("suite", "vCPU slots", *(f"N = {n}" for n in sizes)), rows, notes)


def comparison_table(document: dict[str, Any]) -> Table:
    """This checkout against another revision."""
    return Table.of(
        f"Environment steps per second of CPU time [M/s]: {document['checkout']} against {document['against']}"
        f" ({document['revision'][:7]}), medians",
        ("suite", "vCPU slots", "N", "against", "now", "ratio", "quartiles of ratios", "share of CartPoleVectorEnv"),
        [
            (
                result["suite"],
                str(result["vcpus"]),
                str(result["n_envs"]),
                f"{result['old_steps_per_cpu_s'] / 1e6:.3f}",
                f"{result['new_steps_per_cpu_s'] / 1e6:.3f}",
                f"{result['ratio']:.2f}",
                "{:.2f} to {:.2f}".format(*result["ratio_quartiles"]),
                f"{result['share_of_cartpole']:.2f}",
            )
            for result in document["results"]
        ],
        [*(f"left out: {reason}" for reason in document["left_out"]), *_hardware_notes(document)],
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
