"""Elementary functions in float32, of numbers and of lanes, for ``numba`` kernels.

``math.exp`` and ``math.log`` are calls into libm, one value at a time; these are polynomials, so they work on all lanes
at once, and a loop over vCPU slots that uses them becomes vector instructions.
"""

from __future__ import annotations

import numpy as np

from dqgym.jit.compile import exact_part
from dqgym.jit.lanes import exponent, floor, mantissa, power_of_two, smaller, where

_f = np.float32
_LN2 = _f(0.6931471805599453)


@exact_part
def exp(x):  # type: ignore[no-untyped-def]
    """exp(x) for x in [-80, 80], to a relative error of about 3e-7.

    e^x = 2^k e^r with k the nearest integer to x / ln 2 and a Taylor polynomial in r, |r| <= 0.35.
    """
    k = floor(x * _f(1.4426950408889634) + _f(0.5))
    r = x - k * _LN2
    series = _f(1.0 / 120.0) + r * (_f(1.0 / 720.0) + r * _f(1.0 / 5040.0))
    series = _f(1.0) + r * (_f(1.0) + r * (_f(0.5) + r * (_f(1.0 / 6.0) + r * (_f(1.0 / 24.0) + r * series))))
    return series * power_of_two(k)


@exact_part
def one_minus_exp(x):  # type: ignore[no-untyped-def]
    """1 - exp(-x) for x >= 0, to a relative error of 3e-6 also for small x, where it is a Taylor polynomial."""
    small = x * (_f(1.0) - x * (_f(0.5) - x * (_f(1.0 / 6.0) - x * _f(1.0 / 24.0))))
    return where(x < _f(0.05), small, _f(1.0) - exp(-smaller(x, _f(40.0))))


@exact_part
def log(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a positive, normal float32, to an absolute error of about 1e-7 of its size.

    x = m 2^e with m in [sqrt(1/2), sqrt(2)); ln m is a polynomial in m - 1 (coefficients of Cephes, logf.c).
    """
    r = mantissa(x) - _f(1.0)
    p = _f(-1.2420140846e-1) + r * (_f(1.1676998740e-1) + r * (_f(-1.1514610310e-1) + r * _f(7.0376836292e-2)))
    p = _f(-2.4999993993e-1) + r * (
        _f(2.0000714765e-1) + r * (_f(-1.6668057665e-1) + r * (_f(1.4249322787e-1) + r * p))
    )
    return exponent(x) * _LN2 + r + r * r * (_f(-0.5) + r * (_f(3.3333331174e-1) + r * p))
