"""Views for kernels: what lets the compiler vectorise a loop over vCPU slots.

A *tile* is a C-contiguous array [rows, V] of one migration. Two views ``tile[a]`` and ``tile[b]`` might overlap for all
that the compiler knows, so it would have to check at run time, or give up. ``row`` makes a view whose offset and length
are constants at compile time: rows of one tile then cannot overlap, and a short loop is one vector instruction. All
that a loop reads and writes should therefore lie in one tile.

Neither ``row`` nor ``at`` counts references (an atomic instruction for each view, more than the work on a row): the
array must outlive the view, as an argument of the kernel does. Indices are not checked.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dqgym.jit.compile import COMPILES, generated

if COMPILES:
    from llvmlite import ir
    from numba import types
    from numba.np.arrayobj import populate_array

Item = TypeVar("Item", bound=np.generic)


def _row_code(typingctx: Any, tile: Any, index: Any, slots: Any) -> Any:
    view = types.Array(tile.dtype, 1, "C")
    width = len(slots)
    item_bytes = tile.dtype.bitwidth // 8

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        size_type = context.get_value_type(types.intp)
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        first = builder.mul(args[1], ir.Constant(size_type, width))
        result = context.make_array(view)(context, builder)
        populate_array(
            result,
            data=builder.gep(data, [first], inbounds=True),
            shape=[ir.Constant(size_type, width)],
            strides=[ir.Constant(size_type, item_bytes)],
            itemsize=ir.Constant(size_type, item_bytes),
            meminfo=None,
        )
        return result._getvalue()

    return view(tile, types.intp, slots), codegen


def _at_code(typingctx: Any, array: Any, index: Any) -> Any:
    view = types.Array(array.dtype, array.ndim - 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = context.make_array(signature.args[0])(context, builder, args[0])
        shape = [builder.extract_value(whole.shape, k) for k in range(array.ndim)]
        strides = [builder.extract_value(whole.strides, k) for k in range(array.ndim)]
        first = args[1]
        for extent in shape[1:]:
            first = builder.mul(first, extent)
        result = context.make_array(view)(context, builder)
        populate_array(
            result,
            data=builder.gep(whole.data, [first], inbounds=True),
            shape=shape[1:],
            strides=strides[1:],
            itemsize=whole.itemsize,
            meminfo=None,
        )
        return result._getvalue()

    return view(array, types.intp), codegen


@generated(_row_code)
def row(tile: NDArray[Item], index: int, slots: tuple[int, ...]) -> NDArray[Item]:
    """The view [V] of row ``index`` of ``tile``; ``slots`` is a tuple of length V, the width of the tile."""
    return tile[index]


@generated(_at_code)
def at(array: NDArray[Item], index: int) -> NDArray[Item]:
    """The view ``array[index]`` of a C-contiguous array of two or three dimensions."""
    return array[index]
