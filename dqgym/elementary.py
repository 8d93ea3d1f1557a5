"""Elementary functions in float32 that the compiler vectorises, for ``numba`` kernels.

``math.exp`` and ``math.log`` are calls into libm, one value at a time; these are polynomials, so a loop over vCPU slots
that uses them becomes vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

FAST = {"reassoc", "contract", "arcp", "nsz", "afn"}
"""LLVM fast-math flags for the kernels: reordering, but NaN and infinity keep their meaning."""

_f = np.float32
_LN2 = _f(0.6931471805599453)
_MANTISSA = np.int32(0x007FFFFF)
_ONE = np.int32(0x3F800000)


@intrinsic
def _bits(typingctx: Any, value: Any) -> Any:
    """The bit pattern of a float32 as an int32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), codegen


@intrinsic
def _from_bits(typingctx: Any, value: Any) -> Any:
    """The float32 with the bit pattern of an int32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


@njit(inline="always", fastmath=FAST, error_model="numpy")
def one_minus_exp(x):  # type: ignore[no-untyped-def]
    """1 - exp(-x) for x >= 0, to a relative error of 1e-6 also for small x.

    A Taylor polynomial of expm1 at -x / 256 and eight doublings expm1(2 z) = expm1(z) (expm1(z) + 2), which keep the
    relative error. Beyond x = 40 the result is 1 in float32.
    """
    z = min(x, _f(40.0)) * _f(-1.0 / 256.0)
    y = z * (_f(1.0) + z * (_f(0.5) + z * (_f(1.0 / 6.0) + z * (_f(1.0 / 24.0) + z * _f(1.0 / 120.0)))))
    y = y * (y + _f(2.0))
    y = y * (y + _f(2.0))
    y = y * (y + _f(2.0))
    y = y * (y + _f(2.0))
    y = y * (y + _f(2.0))
    y = y * (y + _f(2.0))
    y = y * (y + _f(2.0))
    y = y * (y + _f(2.0))
    return -y


@njit(inline="always", fastmath=FAST, error_model="numpy")
def log(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a positive, normal float32, to an absolute error of about 1e-6 of its size.

    ln(m 2^e) = e ln 2 + ln m with m in [1, 2), and ln m = 2 atanh((m - 1) / (m + 1)) as an odd polynomial.
    """
    bits = _bits(_f(x))
    exponent = _f((bits >> np.int32(23)) - np.int32(127))
    mantissa = _from_bits(np.int32((bits & _MANTISSA) | _ONE))
    s = (mantissa - _f(1.0)) / (mantissa + _f(1.0))
    q = s * s
    series = _f(1.0) + q * (_f(1.0 / 3.0) + q * (_f(0.2) + q * (_f(1.0 / 7.0) + q * (_f(1.0 / 9.0) + q * _f(1.0 / 11.0)))))
    return exponent * _LN2 + _f(2.0) * s * series


@njit(inline="always", fastmath=FAST, error_model="numpy")
def exp(x):  # type: ignore[no-untyped-def]
    """exp(x) for x in [-80, 80], to a relative error of about 3e-7.

    e^x = 2^k e^r with k the nearest integer to x / ln 2 and a Taylor polynomial in r, |r| <= 0.35.
    """
    k = np.floor(x * _f(1.4426950408889634) + _f(0.5))
    r = x - k * _LN2
    series = _f(1.0 / 120.0) + r * (_f(1.0 / 720.0) + r * _f(1.0 / 5040.0))
    series = _f(1.0) + r * (_f(1.0) + r * (_f(0.5) + r * (_f(1.0 / 6.0) + r * (_f(1.0 / 24.0) + r * series))))
    return series * _from_bits(np.int32((np.int32(k) + np.int32(127)) << np.int32(23)))
