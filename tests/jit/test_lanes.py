"""Lanes against NumPy: what each operation means, and where lanes come from and go to."""

import numpy as np
import pytest

from dqgym.jit.compile import exact_part, kernel
from dqgym.jit.fast_math import exp, log, one_minus_exp
from dqgym.jit.lane_rows import (
    LANES,
    column,
    column_of,
    in_blocks,
    in_columns,
    in_rows,
    largest,
    load,
    pack_of,
    pack_size,
    put,
    set_column,
    spread,
    state_of,
    store,
    totals,
)
from dqgym.jit.lanes import alike, bits, ceil, floor, larger, narrow, root, smaller, split_lowest, where, widen

ULP = 2.0**-22
"""Quotients and roots may be off in the last bit or two of 24."""


@exact_part
def _operate(given, out):
    x, y = column(given, 0), column(given, 1)
    set_column(out, 0, x + y)
    set_column(out, 1, x - y)
    set_column(out, 2, x * y)
    set_column(out, 3, x / y)
    set_column(out, 4, root(larger(x, 0.0)))
    set_column(out, 5, smaller(x, y))
    set_column(out, 6, larger(x, y))
    set_column(out, 7, where((x > 0.0) & ~(y > 0.5) | (x == y), x, -y))
    set_column(out, 8, floor(x))
    set_column(out, 9, ceil(x))
    set_column(out, 10, exp(smaller(x, 10.0)))
    set_column(out, 11, log(larger(y, 1e-3)))
    set_column(out, 12, one_minus_exp(larger(y, 0.0)))
    set_column(out, 13, alike(x, 3.0))
    set_column(out, 14, narrow(widen(x) * 2.0))
    return bits(x > y)


@kernel
def operate(given, out):
    return _operate(given, out)


def test_operations_are_those_of_numpy_in_every_lane():
    rng = np.random.default_rng(1)
    given = rng.normal(0.0, 3.0, (2, LANES)).astype(np.float32)
    given[:, 3] = 0.75
    x, y = given
    out = np.zeros((15, LANES), dtype=np.float32)
    mask = operate(given, out)
    assert mask == sum(1 << i for i in range(LANES) if x[i] > y[i])
    exact = {0: x + y, 1: x - y, 2: x * y, 5: np.minimum(x, y), 6: np.maximum(x, y), 8: np.floor(x), 9: np.ceil(x)}
    exact |= {7: np.where(((x > 0) & ~(y > 0.5)) | (x == y), x, -y), 13: np.full(LANES, 3.0), 14: 2 * x}
    for row, expected in exact.items():
        np.testing.assert_array_equal(out[row], expected.astype(np.float32))
    close = {3: x / y, 4: np.sqrt(np.maximum(x, 0)), 10: np.exp(np.minimum(x, 10)), 11: np.log(np.maximum(y, 1e-3))}
    close |= {12: -np.expm1(-np.maximum(y, 0).astype(np.float64))}
    for row, expected in close.items():
        np.testing.assert_allclose(out[row], expected, rtol=16 * ULP, atol=1e-6, err_msg=str(row))


def test_quotients_and_roots_are_off_in_the_last_bits_at_most():
    rng = np.random.default_rng(2)
    worst = 0.0
    for _ in range(200):
        given = np.exp(rng.uniform(-30.0, 30.0, (2, LANES))).astype(np.float32)
        out = np.zeros((15, LANES), dtype=np.float32)
        operate(given, out)
        x, y = given.astype(np.float64)
        worst = max(worst, np.abs(out[3] / (x / y) - 1.0).max(), np.abs(out[4] / np.sqrt(x) - 1.0).max())
    assert worst < ULP


def test_the_smaller_and_the_larger_of_nan_and_a_number_is_the_second():
    given = np.array([[np.nan] * LANES, [1.0] * LANES], dtype=np.float32)
    out = np.zeros((15, LANES), dtype=np.float32)
    operate(given, out)
    assert (out[5:7] == 1.0).all()


@exact_part
def _mix(tiles, items, blocks, members, count, slots):
    for k in range(0, count, pack_size(slots)):
        pack = pack_of(members, k, count, slots)
        x = load(tiles, pack, 0, slots) + spread(blocks, 0, pack, slots)
        store(tiles, pack, 1, x, slots)
        store(items, pack, 2, x * 2.0, slots)
        put(blocks, 1, pack, totals(x, slots), slots)
        put(blocks, 2, pack, largest(x, slots), slots)


@kernel
def mix(tiles, items, blocks, members, count, slots):
    _mix(tiles, items, blocks, members, count, slots)


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 4, 8, 64])
def test_a_pack_takes_its_migrations_from_where_they_are_and_touches_no_others(slots):
    rng, n = np.random.default_rng(slots), 40
    tiles = rng.uniform(0.0, 1.0, (n, 3, slots)).astype(np.float32)
    items = np.zeros((n, slots + 5), dtype=np.float32)
    numbers = rng.uniform(0.0, 1.0, (n, 3)).astype(np.float32)
    blocks, before = in_blocks(numbers), tiles.copy()
    members = np.array([3, 4, 17, 18, 19, 33, 39])
    mix(tiles, items, blocks, members, len(members), (0,) * slots)
    expected = before[members, 0] + numbers[members, :1]
    np.testing.assert_array_equal(tiles[members, 1], expected)
    np.testing.assert_array_equal(items[members, 2 : 2 + slots], 2 * expected)
    after = in_rows(blocks, n)
    np.testing.assert_allclose(after[members, 1], expected.sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(after[members, 2], expected.max(axis=1))
    others = np.setdiff1d(np.arange(n), members)
    np.testing.assert_array_equal(tiles[others], before[others])
    np.testing.assert_array_equal(after[others], numbers[others])
    assert (items[others] == 0).all()
    assert (items[:, :2] == 0).all()


@kernel
def halve(blocks, n):
    state = state_of(blocks, n)
    state[1] = 0.5 * state[0]


@kernel
def places(mask_bits, found):
    count = 0
    while mask_bits != 0:
        found[count], mask_bits = split_lowest(mask_bits)
        count += 1
    return count


def test_blocks_hold_rows_side_by_side():
    rows = np.arange(37 * 3, dtype=np.float64).reshape(37, 3)
    blocks = in_blocks(rows)
    assert blocks.shape == (3, 3, LANES)
    np.testing.assert_array_equal(in_rows(blocks, 37), rows)
    np.testing.assert_array_equal(in_columns(blocks, 37, slice(1, 3)), rows[:, 1:].T)
    np.testing.assert_array_equal(column_of(blocks, 2, 37), rows[:, 2])
    halve(blocks, 20)
    assert in_rows(blocks, 37)[20].tolist() == [60.0, 30.0, 62.0]


@pytest.mark.parametrize("count", [1, LANES])
def test_what_is_taken_out_of_blocks_is_a_copy(count):
    blocks = in_blocks(np.ones((count, 2)))
    taken = [in_rows(blocks, count), in_columns(blocks, count, slice(0, 2)), column_of(blocks, 0, count)]
    blocks[:] = 0.0
    assert all((values == 1.0).all() for values in taken)


def test_the_places_of_a_mask_are_listed_from_the_lowest_on():
    found = np.zeros(4, dtype=np.int64)
    assert places(0b1010_0001_0000_0000, found) == 3
    assert found[:3].tolist() == [8, 13, 15]
