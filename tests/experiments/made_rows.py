"""Rows of evaluations, made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dqgym.results.rows import Row


def make_row(**changes) -> Row:
    values = {
        "suite": "s", "scenario": "a", "throttle": "t", "seed": 0, "preference": 0.2, "total_time_s": 10.0,
        "time_over_t0": 2.0, "downtime_s": 0.1, "guest_runtime": 0.5, "worst_vcpu_runtime": 0.25, "bytes_sent": 1e9,
        "rounds": 3, "converged": True, "max_throttle_percent": 0.0, "cost": 2.5,
        "guest_runtime_per_vcpu": (0.25, 0.75),
    }  # fmt: skip
    return Row(**(values | changes))


def make_rows(costs: Mapping[tuple[str, int | None], Sequence[float]], **changes) -> list[Row]:
    """Costs of migrations, by throttle and training seed; migration i is scenario ``m<i>`` with seed i."""
    return [
        make_row(**{"throttle": throttle, "training_seed": training_seed, "scenario": f"m{i}", "seed": i, "cost": cost}
                 | changes)
        for (throttle, training_seed), values in costs.items()
        for i, cost in enumerate(values)
    ]  # fmt: skip
