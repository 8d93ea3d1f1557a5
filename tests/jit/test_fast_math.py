import numpy as np
import pytest
from numba import njit

from dqgym.jit import fast_math


@njit
def exp(values):
    out = np.empty_like(values)
    for i in range(len(values)):
        out[i] = fast_math.exp(values[i])
    return out


@njit
def log(values):
    out = np.empty_like(values)
    for i in range(len(values)):
        out[i] = fast_math.log(values[i])
    return out


@njit
def one_minus_exp(values):
    out = np.empty_like(values)
    for i in range(len(values)):
        out[i] = fast_math.one_minus_exp(values[i])
    return out


def exactly(function, values):
    return function(values.astype(np.float64))


def test_exp_is_exact_to_float32():
    values = np.linspace(-80.0, 80.0, 20_001, dtype=np.float32)
    # The argument reduction multiplies float32 numbers: an error of one part in 2^24 of up to 80.
    np.testing.assert_allclose(exp(values), exactly(np.exp, values), rtol=6e-6)
    small = np.linspace(-1.0, 1.0, 2_001, dtype=np.float32)
    np.testing.assert_allclose(exp(small), exactly(np.exp, small), rtol=5e-7)


def test_exp_is_1_at_0_and_monotone():
    assert exp(np.zeros(1, dtype=np.float32))[0] == 1.0
    assert (np.diff(exp(np.linspace(-20.0, 20.0, 5_001, dtype=np.float32))) > 0).all()


def test_log_is_exact_to_float32():
    values = np.logspace(-37.0, 38.0, 20_001).astype(np.float32)
    np.testing.assert_allclose(log(values), exactly(np.log, values), rtol=5e-7, atol=2e-7)


def test_log_is_0_at_1_and_inverts_exp():
    assert log(np.ones(1, dtype=np.float32))[0] == 0.0
    values = np.linspace(-30.0, 30.0, 1_001, dtype=np.float32)
    np.testing.assert_allclose(log(exp(values)), values, atol=5e-6)


def test_one_minus_exp_keeps_its_precision_where_it_is_small():
    values = np.concatenate([np.logspace(-30.0, 4.0, 5_001), np.linspace(0.04, 0.06, 201)]).astype(np.float32)
    np.testing.assert_allclose(one_minus_exp(values), -exactly(np.expm1, -values), rtol=3e-6)


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0.0), (1e30, 1.0), (np.inf, 1.0)])
def test_one_minus_exp_reaches_its_ends(value, expected):
    assert one_minus_exp(np.array([value], dtype=np.float32))[0] == expected
