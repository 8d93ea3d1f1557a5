"""Elementary functions in float32 that the compiler vectorises, for ``numba`` kernels.

``math.exp`` and ``math.log`` are calls into libm, one value at a time; these are polynomials, so a loop over vCPU slots
that uses them becomes vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dqgym.jit.compile import COMPILES, generated, part

if COMPILES:
    from llvmlite import ir
    from numba import types

_f = np.float32
_LN2 = _f(0.6931471805599453)
_SQRT_HALF = np.int32(0x3F3504F3)
"""Bits of sqrt(1/2)."""


def _bits_code(typingctx: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), codegen


def _from_bits_code(typingctx: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


@generated(_bits_code)
def _bits(value: np.float32) -> np.int32:
    """The bit pattern of a float32 as an int32."""
    return value.view(np.int32)


@generated(_from_bits_code)
def _from_bits(value: np.int32) -> np.float32:
    """The float32 with the bit pattern of an int32."""
    return value.view(np.float32)


@part
def exp(x):  # type: ignore[no-untyped-def]
    """exp(x) for x in [-80, 80], to a relative error of about 3e-7.

    e^x = 2^k e^r with k the nearest integer to x / ln 2 and a Taylor polynomial in r, |r| <= 0.35.
    """
    k = np.floor(x * _f(1.4426950408889634) + _f(0.5))
    r = x - k * _LN2
    series = _f(1.0 / 120.0) + r * (_f(1.0 / 720.0) + r * _f(1.0 / 5040.0))
    series = _f(1.0) + r * (_f(1.0) + r * (_f(0.5) + r * (_f(1.0 / 6.0) + r * (_f(1.0 / 24.0) + r * series))))
    return series * _from_bits(np.int32(np.int32(np.int32(k) + np.int32(127)) << np.int32(23)))


@part
def one_minus_exp(x):  # type: ignore[no-untyped-def]
    """1 - exp(-x) for x >= 0, to a relative error of 3e-6 also for small x, where it is a Taylor polynomial."""
    small = x * (_f(1.0) - x * (_f(0.5) - x * (_f(1.0 / 6.0) - x * _f(1.0 / 24.0))))
    return small if x < _f(0.05) else _f(1.0) - exp(-min(x, _f(40.0)))


@part
def log(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a positive, normal float32, to an absolute error of about 1e-7 of its size.

    x = m 2^e with m in [sqrt(1/2), sqrt(2)); ln m is a polynomial in m - 1 (coefficients of Cephes, logf.c).
    """
    bits = _bits(_f(x))
    # numba widens every int32 operation to 64 bits; cast back at once, the vectors stay narrow.
    exponent = np.int32(np.int32(bits - _SQRT_HALF) >> np.int32(23))
    r = _from_bits(np.int32(bits - np.int32(exponent << np.int32(23)))) - _f(1.0)
    p = _f(-1.2420140846e-1) + r * (_f(1.1676998740e-1) + r * (_f(-1.1514610310e-1) + r * _f(7.0376836292e-2)))
    p = _f(-2.4999993993e-1) + r * (
        _f(2.0000714765e-1) + r * (_f(-1.6668057665e-1) + r * (_f(1.4249322787e-1) + r * p))
    )
    return _f(exponent) * _LN2 + r + r * r * (_f(-0.5) + r * (_f(3.3333331174e-1) + r * p))
