import numpy as np
import pytest
from numba import njit

from dqgym.jit.array_views import at, row


@njit
def copy_of_row(tile, index, slots):
    return row(tile, index, slots).copy()


@njit
def add_rows(tile, a, b, target, slots):
    first, second, out = row(tile, a, slots), row(tile, b, slots), row(tile, target, slots)
    for i in range(len(slots)):
        out[i] = first[i] + second[i]


@njit
def copy_of_item(array, index):
    return at(array, index).copy()


@njit
def set_item(array, index, value):
    view = at(array, index)
    view[:] = value


@njit
def row_of_item(array, n, index, slots):
    return row(at(array, n), index, slots).copy()


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_is_a_view_of_the_tile(slots, dtype):
    tile = np.arange(5 * slots, dtype=dtype).reshape(5, slots)
    width = (0,) * slots
    for index in range(5):
        np.testing.assert_array_equal(copy_of_row(tile, index, width), tile[index])
    expected = tile.copy()
    expected[4] = tile[1] + tile[3]
    add_rows(tile, 1, 3, 4, width)
    np.testing.assert_array_equal(tile, expected)


@pytest.mark.parametrize("shape", [(3, 7), (3, 5, 2)])
def test_an_item_is_a_view_of_the_array(shape):
    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    for index in range(shape[0]):
        np.testing.assert_array_equal(copy_of_item(array, index), array[index])
    expected = array.copy()
    expected[1] = -1.0
    set_item(array, 1, -1.0)
    np.testing.assert_array_equal(array, expected)


def test_views_of_views_find_their_place():
    array = np.arange(3 * 5 * 4, dtype=np.float32).reshape(3, 5, 4)
    np.testing.assert_array_equal(row_of_item(array, 2, 3, (0,) * 4), array[2, 3])
