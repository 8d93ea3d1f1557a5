import numpy as np
import pytest

from dqgym.scenario import Steady
from dqgym.scenario.suites.draw.workloads import (
    HOT_PARTS,
    OTHER_HOT_PARTS,
    WriteBudget,
    equal_writers,
    noisy_neighbours,
    streaming_writers,
    unequal_writers,
)

MEMORY_BYTES = 8 * 2**30
RATE_BYTES_PER_S = 4e9
SEEDS = range(40)


def budget(vcpus: int = 12) -> WriteBudget:
    return WriteBudget(
        memory_bytes=MEMORY_BYTES,
        vcpus=vcpus,
        write_rate_bytes_per_s=RATE_BYTES_PER_S,
        schedule=Steady,
        patterns=("sequential", "uniform", "hot-cold"),
        demand="closed",
        hot_parts=HOT_PARTS,
    )


@pytest.mark.parametrize("vcpus", [1, 2, 12])
@pytest.mark.parametrize("draw", [streaming_writers, equal_writers, unequal_writers, noisy_neighbours])
def test_the_vcpus_divide_the_whole_rate_and_no_more_than_the_memory(draw, vcpus):
    for seed in SEEDS:
        groups = draw(np.random.default_rng(seed), budget(vcpus))
        writers = [group for group in groups if group.writes]
        assert sum(group.vcpus for group in groups) == vcpus
        assert sum(group.vcpus * group.write_rate_bytes_per_s for group in writers) == pytest.approx(RATE_BYTES_PER_S)
        assert sum(group.vcpus * group.working_set_bytes for group in writers) <= MEMORY_BYTES


def test_at_most_two_neighbours_are_noisy():
    groups = noisy_neighbours(np.random.default_rng(0), budget())
    assert [(group.vcpus, group.writes) for group in groups] == [(2, True), (10, False)]


def drawn(parts, name):
    rng = np.random.default_rng(1)
    return [fields[name] for fields in (parts.draw(rng) for _ in range(400)) if name in fields]


@pytest.mark.parametrize("name", ["zipf_skew", "hot_fraction"])
def test_other_hot_parts_are_unlike_all_usual_ones(name):
    usual, other = drawn(HOT_PARTS, name), drawn(OTHER_HOT_PARTS, name)
    assert len(usual) > 100 < len(other)
    assert not any(min(usual) < value < max(usual) for value in other)


def test_a_hot_part_is_a_zipf_law_or_has_a_fraction_and_a_share():
    rng = np.random.default_rng(2)
    assert {tuple(HOT_PARTS.draw(rng)) for _ in range(50)} == {("zipf_skew",), ("hot_fraction", "hot_share")}
