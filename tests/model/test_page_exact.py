"""The model against the page-exact simulation: many small migrations, drawn once, each compared with itself."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from dqgym.scenario import ConstantLink, Limits, Scenario, VcpuGroup, VirtualMachine
from tests.model import page_exact
from tests.model.migrations import NO_COSTS, Constant
from tests.model.migrations import migrate as migrate_in_model
from tests.model.page_exact import PAGE_BYTES, Migration, Result, Writer

PAGES_PER_S = 1000.0
LEAST_ROUND_S = 0.1
DRAWS = 24
PARAMETERS = NO_COSTS._replace(quota_interval_s=page_exact.QUOTA_INTERVAL_S, least_round_s=LEAST_ROUND_S)


def draw_migration(rng: np.random.Generator, limited: bool, capped: bool) -> Migration:
    """One to four writers of all patterns, in 16 to 64 MiB.

    What they dirty at most, over the bandwidth, is never between 0.8 and 1.25: there the time goes like 1 / (1 - x) and
    magnifies every difference, that between two seeds of the page-exact simulation included.
    """
    pages, count = int(rng.integers(4096, 16384)), int(rng.integers(1, 5))
    sets = rng.dirichlet(np.full(count, 2.0)) * rng.uniform(0.3, 1.0) * pages
    while True:
        drawn = tuple(_draw_writer(rng, max(int(size), 64), PAGES_PER_S / count, limited, capped) for size in sets)
        most = sum(min(each.stores_per_s * each.run_share_cap, each.limit_pages_per_s) for each in drawn)
        if not 0.8 < most / PAGES_PER_S < 1.25:
            break
    return Migration(
        pages=pages,
        writers=drawn,
        pages_per_s=PAGES_PER_S,
        downtime_limit_s=float(rng.uniform(0.1, 0.4)),
        least_round_s=LEAST_ROUND_S,
        deadline_s=5.0 * pages / PAGES_PER_S,
    )


def _draw_writer(rng: np.random.Generator, pages: int, fair_rate: float, limited: bool, capped: bool) -> Writer:
    pattern = rng.choice(["sequential", "uniform", "hot-cold"], p=[0.5, 0.35, 0.15])
    return Writer(
        pages=pages,
        stores_per_s=fair_rate * math.exp(rng.uniform(math.log(0.1), math.log(3.0))),
        sequential=pattern == "sequential",
        hot_fraction=0.1 if pattern == "hot-cold" else 0.0,
        hot_share=0.7 if pattern == "hot-cold" else 0.0,
        limit_pages_per_s=fair_rate * math.exp(rng.uniform(math.log(0.05), 0.0)) if limited else math.inf,
        run_share_cap=float(rng.uniform(0.1, 0.8)) if capped else 1.0,
    )


def as_scenario(migration: Migration) -> Scenario:
    return Scenario(
        name="page-exact",
        vm=VirtualMachine(memory_bytes=migration.pages * PAGE_BYTES),
        workload=tuple(_as_group(writer) for writer in migration.writers),
        link=ConstantLink(bandwidth_bytes_per_s=migration.pages_per_s * PAGE_BYTES),
        limits=Limits(
            downtime_s=migration.downtime_limit_s,
            deadline_pass_times=migration.deadline_s * migration.pages_per_s / migration.pages,
        ),
    )


def _as_group(writer: Writer) -> VcpuGroup:
    random_pattern = "hot-cold" if writer.hot_fraction else "uniform"
    return VcpuGroup(
        vcpus=1,
        pattern="sequential" if writer.sequential else random_pattern,
        working_set_bytes=writer.pages * PAGE_BYTES,
        write_rate_bytes_per_s=writer.stores_per_s * PAGE_BYTES,
        hot_fraction=writer.hot_fraction or None,
        hot_share=writer.hot_share or None,
    )


@dataclass(frozen=True)
class Comparison:
    """Model over page-exact, minus 1, for each migration; runtimes as differences."""

    time_error: np.ndarray
    bytes_error: np.ndarray
    runtime_error: np.ndarray
    same_verdict: np.ndarray
    exact: list[Result]


def compare(limited: bool, capped: bool, seed: int, draws: int = DRAWS) -> Comparison:
    migrations = [draw_migration(np.random.default_rng((seed, k)), limited, capped) for k in range(draws)]
    exact = [page_exact.migrate(migration, seed=k) for k, migration in enumerate(migrations)]
    limits, caps = np.full((draws, 4), np.inf), np.ones((draws, 4))
    for k, migration in enumerate(migrations):
        for i, writer in enumerate(migration.writers):
            limits[k, i] = writer.limit_pages_per_s * PAGE_BYTES
            caps[k, i] = writer.run_share_cap
    run = migrate_in_model(
        *map(as_scenario, migrations), throttle=Constant(limits, run_share_cap=caps), parameters=PARAMETERS
    )
    outcomes = run.outcomes
    return Comparison(
        time_error=outcomes.total_time_s / [each.total_time_s for each in exact] - 1.0,
        bytes_error=outcomes.bytes_sent / [each.sent_pages * PAGE_BYTES for each in exact] - 1.0,
        runtime_error=outcomes.guest_runtime - [np.mean(each.run_s) / each.total_time_s for each in exact],
        same_verdict=outcomes.converged == [each.converged for each in exact],
        exact=exact,
    )


@pytest.mark.parametrize(
    ("limited", "capped"),
    [(False, False), (True, False), (False, True), (True, True)],
    ids=["free", "limited", "capped", "limited and capped"],
)
def test_time_bytes_and_runtime_are_those_of_the_page_exact_simulation(limited, capped):
    result = compare(limited, capped, seed=1)
    assert sum(each.converged for each in result.exact) >= DRAWS / 2
    assert result.same_verdict.all()
    for error in (result.time_error, result.bytes_error):
        assert np.median(np.abs(error)) < 0.01
        assert np.abs(error).max() < 0.08
    # A looping sequential writer that a quota hardly touches gets up to 0.15 too little run time.
    assert np.median(np.abs(result.runtime_error)) < 0.01
    assert np.abs(result.runtime_error).max() < 0.08
