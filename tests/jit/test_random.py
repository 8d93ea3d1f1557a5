import numpy as np
import pytest
from numba import njit
from scipy import stats

from dqgym.jit import random
from dqgym.jit.random import streams


def draws(function, count: int, seed: int, *arguments) -> np.ndarray:
    states = streams([seed])
    return np.array([function(states, 0, *arguments) for _ in range(count)])


def test_the_generator_is_splitmix64():
    """The first outputs for the state 1234567, as published with implementations of splitmix64."""
    states = np.array([1234567], dtype=np.uint64)
    first = [int(random.next_seed(states, 0)) for _ in range(5)]
    assert first == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_a_stream_begins_with_its_mixed_seed():
    seeds = [0, 1, 1234567, -1, 2**64 - 1, 2**64 + 5]
    assert streams(seeds).tolist() == [int(random.mix(np.uint64(seed % 2**64))) for seed in seeds]
    assert streams([]).shape == (0,)


def test_uniform_numbers_are_uniform():
    numbers = draws(random.uniform, 20_000, 1)
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3


def test_exponential_numbers_have_their_mean_and_shape():
    assert stats.kstest(draws(random.exponential, 20_000, 2, 3.0), "expon", args=(0.0, 3.0)).pvalue > 1e-3


def test_normal_numbers_are_normal():
    assert stats.kstest(draws(random.normal, 20_000, 3), "norm").pvalue > 1e-3


def test_numbers_that_follow_one_another_are_unrelated():
    numbers = draws(random.uniform, 20_000, 4)
    for lag in (1, 2, 5):
        assert abs(np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]) < 0.03


def test_neighbouring_seeds_are_unrelated():
    states = streams(range(20_000))
    first = np.array([random.uniform(states, n) for n in range(20_000)])
    assert stats.kstest(first, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.03
    assert len(np.unique(streams(range(20_000)))) == 20_000


@pytest.mark.slow
def test_a_stream_depends_on_its_seed_alone():
    @njit
    def in_turns(states, count):
        out = np.empty((count, len(states)))
        for k in range(count):
            for n in range(len(states)):
                out[k, n] = random.uniform(states, n)
        return out

    together = in_turns(streams([5, 6, 7]), 10)
    np.testing.assert_array_equal(together[:, 1], in_turns(streams([6]), 10)[:, 0])


@pytest.mark.parametrize("seed", [0, 2**63, 2**64 - 1])
def test_the_lowest_64_bits_of_a_seed_count(seed):
    assert streams([seed])[0] == streams([seed + 2**64])[0]
    assert streams([seed]).dtype == np.uint64


def test_negative_seeds_are_streams_of_their_own():
    assert streams([-1])[0] == streams([2**64 - 1])[0]
