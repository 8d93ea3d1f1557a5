"""Lanes: several numbers of one kind that a kernel computes with at once, in the registers of the processor.

A loop over eight vCPU slots is vector code only as long as the compiler finds a way to make it so, and one such loop
after another waits for memory. ``Lanes`` say it outright: they are a type of ``numba``, a vector of fixed length that
LLVM knows, with ``+ - * /``, comparisons, and the functions below. Without ``numba`` they are arrays of NumPy.

A sum with a product in it is rounded once (fused), exactly where the source has a product as an operand. With that, and
without any permission for the compiler to reorder (``dqgym.jit.compile.exact_part``), a migration has the same bits
alone and at any place of any batch. Quotients and roots of float32 lanes may be an estimate and a Newton step, off in
the last bit or two: exact ones cost as much as ten products. No divisor may be 0, and no root be taken of less.

The functions take numbers, too, float32 where lanes are: formulas are written once for both. How lanes come from arrays
and go there: ``dqgym.jit.lane_rows``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from dqgym.jit.compile import COMPILES, generated

if COMPILES:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.core.datamodel import models
    from numba.core.typing.templates import AbstractTemplate, infer_global, signature
    from numba.extending import lower_builtin, register_model

    _LLVM = {"float32": ir.FloatType(), "float64": ir.DoubleType(), "bool": ir.IntType(1)}
    _INT32, _INT64 = ir.IntType(32), ir.IntType(64)

    class Lanes(types.Type):
        """``count`` numbers of ``dtype`` side by side: float32, float64 or boolean."""

        def __init__(self, dtype: Any, count: int) -> None:
            self.dtype, self.count = dtype, count
            super().__init__(name=f"lanes({dtype} x {count})")

        @property
        def llvm(self) -> Any:
            """The type in LLVM."""
            return ir.VectorType(_LLVM[str(self.dtype)], self.count)

    @register_model(Lanes)
    class _LanesModel(models.PrimitiveModel):
        def __init__(self, manager: Any, kind: Lanes) -> None:
            super().__init__(manager, kind, kind.llvm)


FUSES = True
"""Whether a product in a sum is left unrounded, and quotients and roots are estimated. A test that compares with plain
Python, which does neither, turns it off before any kernel is compiled."""
_ROOT_HALF_BITS = 0x3F3504F3
"""Of sqrt(1/2)."""


def constant(kind: Any, value: float) -> Any:
    """``value`` of an LLVM type, in all lanes of a vector."""
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


def shuffled(builder: Any, value: Any, places: list[int], other: Any = None) -> Any:
    """The lanes at these places of a vector, or of it and the ``other`` after it."""
    picks = ir.Constant(ir.VectorType(_INT32, len(places)), places)
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined) if other is None else other, picks)


def splat(builder: Any, value: Any, count: int) -> Any:
    """LLVM's ``value`` in all lanes."""
    nothing = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    return shuffled(builder, builder.insert_element(nothing, value, ir.Constant(_INT32, 0)), [0] * count)


def _common(kinds: Any) -> Any:
    """The type of a result of these types: lanes if any are, otherwise that of the first number of the narrower kind.

    None where none are lanes and none float32: those are other people's numbers.
    """
    for kind in kinds:
        if isinstance(kind, Lanes) and kind.dtype != types.boolean:
            return kind
    return types.float32 if types.float32 in kinds else None


def _as(context: Any, builder: Any, value: Any, given: Any, wanted: Any) -> Any:
    """A value converted to the common type; lanes must have it already."""
    if given == wanted:
        return value
    if isinstance(given, Lanes):
        raise TypeError(f"{given} and {wanted} together: narrow or widen one of them")
    if isinstance(wanted, Lanes):
        return splat(builder, context.cast(builder, value, given, wanted.dtype), wanted.count)
    return context.cast(builder, value, given, wanted)


def _mask_of(kind: Any) -> Any:
    return Lanes(types.boolean, kind.count) if isinstance(kind, Lanes) else types.boolean


def _call(builder: Any, name: str, values: Any) -> Any:
    """Call a function of LLVM that is overloaded by the type of its arguments."""
    kind = values[0].type
    scalar = kind.element if isinstance(kind, ir.VectorType) else kind
    suffix = ("f32" if isinstance(scalar, ir.FloatType) else "f64") if not isinstance(scalar, ir.IntType) else "i64"
    suffix = f"v{kind.count}{suffix}" if isinstance(kind, ir.VectorType) else suffix
    function = ir.FunctionType(kind, [kind] * len(values))
    return builder.call(cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.{suffix}"), values)


def _add(builder: Any, x: Any, y: Any) -> Any:
    for product, other in ((x, y), (y, x)):
        if FUSES and getattr(product, "opname", None) == "fmul":
            return _call(builder, "fmuladd", [*product.operands, other])
    return builder.fadd(x, y)


def _subtract(builder: Any, x: Any, y: Any) -> Any:
    if FUSES and getattr(y, "opname", None) == "fmul":
        return _call(builder, "fmuladd", [builder.fneg(y.operands[0]), y.operands[1], x])
    if FUSES and getattr(x, "opname", None) == "fmul":
        return _call(builder, "fmuladd", [*x.operands, builder.fneg(y)])
    return builder.fsub(x, y)


def _estimated(context: Any, builder: Any, name: str, x: Any) -> Any:
    """The processor's estimate of 1 / x or 1 / sqrt(x), to 14 bits, for registers of 16 float32; or None."""
    vector = isinstance(x.type, ir.VectorType) and isinstance(x.type.element, ir.FloatType)
    if not (FUSES and vector) or x.type.count % 16 != 0 or "+avx512f" not in context.codegen().magic_tuple()[2]:
        return None
    register = ir.VectorType(ir.FloatType(), 16)
    kind = ir.FunctionType(register, [register, register, ir.IntType(16)])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.avx512.{name}14.ps.512")
    everywhere = ir.Constant(ir.IntType(16), -1)
    parts = []
    for first in range(0, x.type.count, 16):
        part = shuffled(builder, x, list(range(first, first + 16)))
        parts.append(builder.call(function, [part, ir.Constant(register, [0.0] * 16), everywhere]))
    return joined(builder, parts)


def joined(builder: Any, parts: list[Any]) -> Any:
    """One vector of several of the same length, whose number is a power of two."""
    while len(parts) > 1:
        both = list(range(2 * parts[0].type.count))
        parts = [shuffled(builder, a, both, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _divide(context: Any, builder: Any, x: Any, y: Any) -> Any:
    inverse = _estimated(context, builder, "rcp", y)
    if inverse is None:
        return builder.fdiv(x, y)
    # A Newton step on the quotient: x r + r (x - y x r).
    quotient = builder.fmul(x, inverse)
    rest = _call(builder, "fmuladd", [builder.fneg(y), quotient, x])
    return _call(builder, "fmuladd", [rest, inverse, quotient])


def _root(context: Any, builder: Any, x: Any) -> Any:
    inverse = _estimated(context, builder, "rsqrt", x)
    if inverse is None:
        return _call(builder, "sqrt", [x])
    # Likewise: s + s (1/2 - s r / 2) with s = x r.
    first = builder.fmul(x, inverse)
    half = builder.fmul(inverse, constant(x.type, 0.5))
    rest = _call(builder, "fmuladd", [builder.fneg(first), half, constant(x.type, 0.5)])
    root = _call(builder, "fmuladd", [first, rest, first])
    return builder.select(builder.fcmp_ordered(">", x, constant(x.type, 0.0)), root, constant(x.type, 0.0))


def _define_operator(
    symbol: Any, make: Callable[..., Any], compares: bool = False, needs_context: bool = False
) -> None:
    """Say what an operator of Python does with lanes, or lanes and a number."""

    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            lanes = [kind for kind in args if isinstance(kind, Lanes)]
            if not lanes:
                return None
            return signature(_mask_of(lanes[0]) if compares else lanes[0], *args)

    infer_global(symbol)(Template)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        wanted = next(kind for kind in sig.args if isinstance(kind, Lanes))
        values = [_as(context, builder, value, kind, wanted) for value, kind in zip(args, sig.args, strict=True)]
        return make(context, builder, *values) if needs_context else make(builder, *values)

    for pattern in ((Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes)):
        lower_builtin(symbol, *pattern)(lower)


def _define_unary(symbol: Any, make: Callable[..., Any]) -> None:
    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            return signature(args[0], args[0]) if isinstance(args[0], Lanes) else None

    infer_global(symbol)(Template)
    lower_builtin(symbol, Lanes)(lambda context, builder, sig, args: make(builder, args[0]))


if COMPILES:
    _define_operator(operator.add, _add)
    _define_operator(operator.sub, _subtract)
    _define_operator(operator.mul, lambda builder, x, y: builder.fmul(x, y))
    _define_operator(operator.truediv, _divide, needs_context=True)
    _define_operator(operator.and_, lambda builder, x, y: builder.and_(x, y))
    _define_operator(operator.or_, lambda builder, x, y: builder.or_(x, y))
    for _symbol, _sign in (
        (operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">="), (operator.eq, "=="),
    ):  # fmt: skip
        _define_operator(_symbol, lambda builder, x, y, sign=_sign: builder.fcmp_ordered(sign, x, y), compares=True)
    _define_unary(operator.neg, lambda builder, x: builder.fneg(x))
    _define_unary(operator.invert, lambda builder, x: builder.not_(x))


def _elementwise(make: Callable[..., Any], mask: bool = False) -> Any:
    """The code of a function of numbers or lanes, after a mask if it takes one: ``make(builder, *values)``."""

    def code(typingctx: Any, *kinds: Any) -> Any:
        numbers = kinds[mask:]
        common = _common(numbers) or next(kind for kind in numbers if not isinstance(kind, Lanes))

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            values = [
                _as(context, builder, value, kind, common) for value, kind in zip(args[mask:], numbers, strict=True)
            ]
            return make(builder, *args[:mask], *values)

        return common(*kinds), codegen

    return code


def _binary_code(make: Callable[..., Any], mask: bool = False) -> Any:
    """``_elementwise`` with as many parameters as the function has: numba counts them."""
    code = _elementwise(make, mask)
    if mask:
        return lambda typingctx, where, x, y: code(typingctx, where, x, y)
    return lambda typingctx, x, y: code(typingctx, x, y)


def _unary_code(make: Callable[..., Any]) -> Any:
    code = _elementwise(make)
    return lambda typingctx, x: code(typingctx, x)


@generated(_binary_code(lambda builder, where, x, y: builder.select(where, x, y), mask=True))
def where(mask: Any, x: Any, y: Any) -> Any:
    """``x`` where ``mask`` is true, ``y`` elsewhere."""
    return np.where(mask, x, y)[()]


@generated(_binary_code(lambda builder, x, y: builder.select(builder.fcmp_ordered("<", x, y), x, y)))
def smaller(x: Any, y: Any) -> Any:
    """The smaller of the two; ``y`` where either is NaN."""
    return np.where(x < y, x, y)[()]


@generated(_binary_code(lambda builder, x, y: builder.select(builder.fcmp_ordered(">", x, y), x, y)))
def larger(x: Any, y: Any) -> Any:
    """The larger of the two; ``y`` where either is NaN."""
    return np.where(x > y, x, y)[()]


@generated(_unary_code(lambda builder, x: _call(builder, "floor", [x])))
def floor(x: Any) -> Any:
    """The largest whole number that is not larger."""
    return np.floor(x)


@generated(_unary_code(lambda builder, x: _call(builder, "ceil", [x])))
def ceil(x: Any) -> Any:
    """The smallest whole number that is not smaller."""
    return np.ceil(x)


def _root_code(typingctx: Any, x: Any) -> Any:
    return x(x), lambda context, builder, sig, args: _root(context, builder, args[0])


@generated(_root_code)
def root(x: Any) -> Any:
    """The square root."""
    return np.sqrt(x)


def _ints_like(kind: Any) -> Any:
    return ir.VectorType(_INT32, kind.count) if isinstance(kind, ir.VectorType) else _INT32


def _parts(builder: Any, x: Any) -> tuple[Any, Any]:
    """(bits, exponent) of float32 ``x`` = m 2^e with m in [sqrt(1/2), sqrt(2)), as whole numbers."""
    ints = _ints_like(x.type)
    bits = builder.bitcast(x, ints)
    return bits, builder.ashr(builder.sub(bits, constant(ints, _ROOT_HALF_BITS)), constant(ints, 23))


def _mantissa(builder: Any, x: Any) -> Any:
    bits, e = _parts(builder, x)
    return builder.bitcast(builder.sub(bits, builder.shl(e, constant(e.type, 23))), x.type)


def _power_of_two(builder: Any, x: Any) -> Any:
    ints = _ints_like(x.type)
    k = builder.add(builder.fptosi(x, ints), constant(ints, 127))
    return builder.bitcast(builder.shl(k, constant(ints, 23)), x.type)


@generated(_unary_code(lambda builder, x: builder.sitofp(_parts(builder, x)[1], x.type)))
def exponent(x: Any) -> Any:
    """The whole number e of float32 ``x`` = m 2^e > 0 with m in [sqrt(1/2), sqrt(2))."""
    return ((np.asarray(x, np.float32).view(np.int32) - np.int32(_ROOT_HALF_BITS)) >> 23).astype(np.float32)[()]


@generated(_unary_code(_mantissa))
def mantissa(x: Any) -> Any:
    """That m."""
    bits = np.asarray(x, np.float32).view(np.int32)
    return (bits - (((bits - np.int32(_ROOT_HALF_BITS)) >> 23) << 23)).view(np.float32)[()]


@generated(_unary_code(_power_of_two))
def power_of_two(x: Any) -> Any:
    """float32 2 ** x for a whole number."""
    return ((np.asarray(x).astype(np.int32) + np.int32(127)) << 23).view(np.float32)[()]


def _alike_code(typingctx: Any, x: Any, number: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _as(context, builder, args[1], number, x)

    return x(x, number), codegen


@generated(_alike_code)
def alike(x: Any, number: float) -> Any:
    """``number`` in as many lanes of the same kind as ``x`` has."""
    return np.full_like(x, number)


def _narrow_code(typingctx: Any, x: Any) -> Any:
    to = Lanes(types.float32, x.count)
    return to(x), lambda context, builder, sig, args: builder.fptrunc(args[0], to.llvm)


def _widen_code(typingctx: Any, x: Any) -> Any:
    to = Lanes(types.float64, x.count)
    return to(x), lambda context, builder, sig, args: builder.fpext(args[0], to.llvm)


@generated(_narrow_code)
def narrow(x: Any) -> Any:
    """Lanes of float64 as float32."""
    return x.astype(np.float32)


@generated(_widen_code)
def widen(x: Any) -> Any:
    """Lanes of float32 as float64."""
    return x.astype(np.float64)


def _bits_code(typingctx: Any, mask: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(mask.count)), _INT64)

    return types.int64(mask), codegen


@generated(_bits_code)
def bits(mask: Any) -> Any:
    """A mask of at most 64 lanes as an integer, bit i is lane i; 0 where none is true."""
    return sum(1 << i for i, set_ in enumerate(mask) if set_)


def _split_lowest_code(typingctx: Any, mask_bits: Any) -> Any:
    pair = types.UniTuple(types.int64, 2)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        lane = builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))
        rest = builder.and_(args[0], builder.sub(args[0], ir.Constant(_INT64, 1)))
        return context.make_tuple(builder, pair, [lane, rest])

    return pair(types.int64), codegen


@generated(_split_lowest_code)
def split_lowest(mask_bits: int) -> tuple[int, int]:
    """(place of the lowest bit that is set, the other bits); ``mask_bits`` is not 0."""
    return (mask_bits & -mask_bits).bit_length() - 1, mask_bits & (mask_bits - 1)
