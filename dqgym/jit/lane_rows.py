"""Where lanes come from and go to: the arrays of a kernel.

Two kinds of arrays have numbers side by side. *Blocks* [.., columns, LANES] hold LANES migrations each, one lane a
migration: ``column`` and ``set_column``. *Tiles* [N, rows, V] hold the V vCPU slots of one migration in a row; as V is
small, the rows of several migrations are worked on together. These are a *pack*: a tuple of their numbers, made by
``pack_of``; each has a group of V lanes. ``load`` and ``store`` move a row of all of them, or in arrays [N, items] V
items from some item on; ``spread`` and ``put`` go between the groups of a pack and blocks.

Nothing here checks an index.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dqgym.jit.array_views import at
from dqgym.jit.compile import COMPILES, exact_part, generated
from dqgym.jit.lanes import joined, shuffled, splat

if COMPILES:
    from llvmlite import ir
    from numba import types
    from numba.np.arrayobj import populate_array

    from dqgym.jit.lanes import Lanes

    _INT32, _INT64 = ir.IntType(32), ir.IntType(64)

LANES = 16
"""Migrations in a block."""
_PACKED_LANES = 32
"""Of a pack: one register's worth of lanes would spend most of its time waiting for its last result."""


def _migrations_in_pack(slots: int) -> int:
    """A power of two."""
    return min(1 << max(_PACKED_LANES // slots, 1).bit_length() - 1, LANES)


def blocks_for(count: int) -> int:
    """Number of blocks that hold ``count`` migrations."""
    return -(-count // LANES)


def in_blocks(rows: Any) -> Any:
    """An array [N, columns] as blocks [blocks, columns, LANES]; the lanes that are left over are 0."""
    count, columns = rows.shape
    padded = np.zeros((blocks_for(count) * LANES, columns), dtype=rows.dtype)
    padded[:count] = rows
    return np.ascontiguousarray(padded.reshape(-1, LANES, columns).transpose(0, 2, 1))


def in_rows(blocks: Any, count: int, columns: slice = slice(None)) -> Any:
    """The columns of the first ``count`` migrations of blocks, as a new array [count, columns]."""
    chosen = blocks[:, columns].transpose(0, 2, 1)
    return chosen.reshape(-1, chosen.shape[2])[:count].copy(order="C")


def in_columns(blocks: Any, count: int, columns: slice = slice(None)) -> Any:
    """The same, each column in a row: [columns, count]."""
    chosen = blocks[:, columns].transpose(1, 0, 2)
    return chosen.reshape(len(chosen), -1)[:, :count].copy()


def column_of(blocks: Any, column: int, count: int) -> Any:
    """[count] one column, as a new array."""
    return blocks[:, column].reshape(-1)[:count].copy()


def _data(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array)


def _index(context: Any, builder: Any, value: Any, kind: Any) -> Any:
    return context.cast(builder, value, kind, types.intp)


def _vector_at(builder: Any, data: Any, offset: Any, vector: Any) -> Any:
    return builder.bitcast(builder.gep(data, [offset], inbounds=True), vector.as_pointer())


def _int(value: int) -> Any:
    return ir.Constant(_INT64, value)


def _place(builder: Any, member: Any) -> tuple[Any, Any]:
    """(block, lane) of a migration."""
    return builder.ashr(member, _int(LANES.bit_length() - 1)), builder.and_(member, _int(LANES - 1))


# Blocks.


def _column_at(context: Any, builder: Any, sig: Any, args: Any, lanes: Any) -> Any:
    """The place of column ``args[1]`` of the block ``args[0]``."""
    offset = builder.mul(_index(context, builder, args[1], sig.args[1]), _int(LANES))
    return _vector_at(builder, _data(context, builder, sig.args[0], args[0]).data, offset, lanes.llvm)


def _column_code(typingctx: Any, block: Any, k: Any) -> Any:
    lanes = Lanes(block.dtype, LANES)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value = builder.load(_column_at(context, builder, sig, args, lanes))
        value.align = block.dtype.bitwidth // 8
        return value

    return lanes(block, k), codegen


def _set_column_code(typingctx: Any, block: Any, k: Any, value: Any) -> Any:
    lanes = Lanes(block.dtype, LANES)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        given = args[2]
        if not isinstance(value, Lanes):
            given = splat(builder, context.cast(builder, given, value, block.dtype), LANES)
        elif value != lanes:
            raise TypeError(f"{value} do not fit a block of {block.dtype}")
        builder.store(given, _column_at(context, builder, sig, args, lanes)).align = block.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(block, k, value), codegen


@generated(_column_code)
def column(block: Any, k: int) -> Any:
    """The lanes of column ``k`` of a block [columns, LANES]."""
    return block[k].copy()


@generated(_set_column_code)
def set_column(block: Any, k: int, value: Any) -> None:
    """Put lanes, or one number into all lanes."""
    block[k] = value


def _state_of_code(typingctx: Any, blocks: Any, n: Any) -> Any:
    view = types.Array(blocks.dtype, 1, "A")
    item_bytes = blocks.dtype.bitwidth // 8

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        whole = _data(context, builder, sig.args[0], args[0])
        columns = builder.extract_value(whole.shape, 1)
        block, lane = _place(builder, _index(context, builder, args[1], sig.args[1]))
        first = builder.add(builder.mul(builder.mul(block, columns), _int(LANES)), lane)
        result = context.make_array(view)(context, builder)
        populate_array(
            result,
            data=builder.gep(whole.data, [first], inbounds=True),
            shape=[columns],
            strides=[_int(LANES * item_bytes)],
            itemsize=_int(item_bytes),
            meminfo=None,
        )
        return result._getvalue()

    return view(blocks, n), codegen


@generated(_state_of_code)
def state_of(blocks: Any, n: int) -> Any:
    """The view [columns] of migration ``n`` in blocks [.., columns, LANES]; it counts no references."""
    return blocks[n // LANES, :, n % LANES]


@exact_part
def mark(blocks, k, first, last, members, count):  # type: ignore[no-untyped-def]
    """Column ``k`` of the blocks ``first`` to ``last``: 1 for ``members[:count]``, which are of them, or 0."""
    for block in range(first, last):
        set_column(at(blocks, block), k, 0.0)
    for j in range(count):
        state_of(blocks, members[j])[k] = 1.0


# Packs.


def _pack_size_code(typingctx: Any, slots: Any) -> Any:
    return types.int64(slots), lambda context, builder, sig, args: _int(_migrations_in_pack(len(slots)))


@generated(_pack_size_code)
def pack_size(slots: tuple[int, ...]) -> int:
    """Number of migrations in a pack of tiles with V slots."""
    return _migrations_in_pack(len(slots))


def _pack_of_code(typingctx: Any, members: Any, first: Any, count: Any, slots: Any) -> Any:
    size = _migrations_in_pack(len(slots))

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = _data(context, builder, sig.args[0], args[0]).data
        start = _index(context, builder, args[1], sig.args[1])
        last = builder.sub(_index(context, builder, args[2], sig.args[2]), _int(1))
        chosen = []
        for j in range(size):
            place = builder.add(start, _int(j))
            place = builder.select(builder.icmp_signed("<", place, last), place, last)
            chosen.append(builder.load(builder.gep(data, [place], inbounds=True)))
        return context.make_tuple(builder, sig.return_type, chosen)

    return types.UniTuple(types.int64, size)(members, first, count, slots), codegen


@generated(_pack_of_code)
def pack_of(members: Any, first: int, count: int, slots: tuple[int, ...]) -> Any:
    """The pack of the migrations ``members[first : count]``, or of as many of them as it holds.

    What is left over is filled up with the last of them: it is then computed more than once, each time the same.
    """
    return tuple(int(members[min(first + j, count - 1)]) for j in range(pack_size(slots)))


def _offsets(context: Any, builder: Any, sig: Any, args: Any, slots: int) -> list[Any]:
    """Places in the array ``args[0]`` of row, or item, ``args[2]`` of the migrations of the pack ``args[1]``."""
    tiles = _data(context, builder, sig.args[0], args[0])
    size = builder.extract_value(tiles.shape, 1)
    first = _index(context, builder, args[2], sig.args[2])
    if sig.args[0].ndim == 3:
        size, first = builder.mul(size, _int(slots)), builder.mul(first, _int(slots))
    members = [builder.extract_value(args[1], j) for j in range(sig.args[1].count)]
    return [builder.add(builder.mul(member, size), first) for member in members]


def _load_code(typingctx: Any, tiles: Any, pack: Any, k: Any, slots: Any) -> Any:
    size = len(slots)
    lanes = Lanes(tiles.dtype, size * pack.count)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = _data(context, builder, sig.args[0], args[0]).data
        one = ir.VectorType(lanes.llvm.element, size)
        parts = []
        for offset in _offsets(context, builder, sig, args, size):
            part = builder.load(_vector_at(builder, data, offset, one))
            part.align = tiles.dtype.bitwidth // 8
            parts.append(part)
        return joined(builder, parts)

    return lanes(tiles, pack, k, slots), codegen


def _store_code(typingctx: Any, tiles: Any, pack: Any, k: Any, value: Any, slots: Any) -> Any:
    size = len(slots)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = _data(context, builder, sig.args[0], args[0]).data
        given = args[3]
        if not isinstance(value, Lanes):
            given = splat(builder, context.cast(builder, given, value, tiles.dtype), size * pack.count)
        one = ir.VectorType(given.type.element, size)
        for j, offset in enumerate(_offsets(context, builder, sig, args, size)):
            part = shuffled(builder, given, list(range(j * size, (j + 1) * size)))
            builder.store(part, _vector_at(builder, data, offset, one)).align = tiles.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(tiles, pack, k, value, slots), codegen


def _slots_at(tiles: Any, n: int, k: int, slots: int) -> Any:
    """The view of V slots of migration ``n``."""
    return tiles[n, k] if tiles.ndim == 3 else tiles[n, k : k + slots]


@generated(_load_code)
def load(tiles: Any, pack: Any, k: int, slots: tuple[int, ...]) -> Any:
    """Row ``k`` of the tiles of a pack, or V items from item ``k`` on."""
    return np.concatenate([_slots_at(tiles, n, k, len(slots)) for n in pack])


@generated(_store_code)
def store(tiles: Any, pack: Any, k: int, value: Any, slots: tuple[int, ...]) -> None:
    """Put lanes, or one number into all lanes, there."""
    groups = np.broadcast_to(value, len(pack) * len(slots)).reshape(len(pack), -1)
    for n, group in zip(pack, groups, strict=True):
        _slots_at(tiles, n, k, len(slots))[:] = group


def _pointers(context: Any, builder: Any, sig: Any, args: Any) -> list[Any]:
    """To column ``args[1]`` of the migrations of the pack ``args[2]`` in the blocks ``args[0]``."""
    blocks = _data(context, builder, sig.args[0], args[0])
    size = builder.mul(builder.extract_value(blocks.shape, 1), _int(LANES))
    row = builder.mul(_index(context, builder, args[1], sig.args[1]), _int(LANES))
    pointers = []
    for j in range(sig.args[2].count):
        block, lane = _place(builder, builder.extract_value(args[2], j))
        offset = builder.add(builder.add(builder.mul(block, size), row), lane)
        pointers.append(builder.gep(blocks.data, [offset], inbounds=True))
    return pointers


def _spread_code(typingctx: Any, blocks: Any, k: Any, pack: Any, slots: Any) -> Any:
    size = len(slots)
    lanes = Lanes(blocks.dtype, size * pack.count)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        numbers = [builder.load(pointer) for pointer in _pointers(context, builder, sig, args)]
        return joined(builder, [splat(builder, number, size) for number in numbers])

    return lanes(blocks, k, pack, slots), codegen


def _put_code(typingctx: Any, blocks: Any, k: Any, pack: Any, value: Any, slots: Any) -> Any:
    size = len(slots)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        for j, pointer in enumerate(_pointers(context, builder, sig, args)):
            builder.store(builder.extract_element(args[3], ir.Constant(_INT32, j * size)), pointer)
        return context.get_dummy_value()

    return types.void(blocks, k, pack, value, slots), codegen


@generated(_spread_code)
def spread(blocks: Any, k: int, pack: Any, slots: tuple[int, ...]) -> Any:
    """Column ``k`` of blocks [.., columns, LANES]: the number of each migration of the pack, in all of its lanes."""
    return np.repeat(np.array([blocks[n // LANES, k, n % LANES] for n in pack]), len(slots))


@generated(_put_code)
def put(blocks: Any, k: int, pack: Any, value: Any, slots: tuple[int, ...]) -> None:
    """Put the number in the first lane of each group into column ``k`` of the blocks."""
    for j, n in enumerate(pack):
        blocks[n // LANES, k, n % LANES] = value[j * len(slots)]


def _folded(combine: Any) -> Any:
    """Code that folds each group in the same tree: lane i meets i ^ V/2, then i ^ V/4, and so on."""

    def code(typingctx: Any, value: Any, slots: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            folded, step = args[0], len(slots) // 2
            while step >= 1:
                folded = combine(builder, folded, shuffled(builder, folded, [j ^ step for j in range(value.count)]))
                step //= 2
            return folded

        return value(value, slots), codegen

    return code


def _folded_in_python(value: Any, slots: int, combine: Any) -> Any:
    step, places = slots // 2, np.arange(len(value))
    while step >= 1:
        value = combine(value, value[places ^ step])
        step //= 2
    return value


@generated(_folded(lambda builder, x, y: builder.fadd(x, y)))
def totals(value: Any, slots: tuple[int, ...]) -> Any:
    """The sum over each group of V lanes, in all of its lanes."""
    return _folded_in_python(value, len(slots), np.add)


@generated(_folded(lambda builder, x, y: builder.select(builder.fcmp_ordered(">", x, y), x, y)))
def largest(value: Any, slots: tuple[int, ...]) -> Any:
    """The largest number of each group of V lanes, in all of its lanes."""
    return _folded_in_python(value, len(slots), np.maximum)
