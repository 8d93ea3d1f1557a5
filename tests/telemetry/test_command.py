"""The parts of a command, through the one table of them."""

from dataclasses import fields, replace

import numpy as np
import pytest

from dqgym.telemetry.command import PARTS, Command, as_arrays, free_of_shape, out_of_range, shape_problem, where
from tests.controller.fakes import FakeBackend, writers


@pytest.fixture
def facts():
    backend = FakeBackend(vcpu_slots=4)
    backend.start([writers(100, vcpus=2), writers(30)], [0, 1])
    return backend.facts


def test_every_field_is_a_part_and_the_free_command_has_its_shape_type_and_value(facts):
    assert list(PARTS) == [field.name for field in fields(Command)]
    free = free_of_shape(2, 4)
    assert shape_problem(free, facts) is None
    assert [*out_of_range(free, facts)] == []
    for name, part in PARTS.items():
        values = getattr(free, name)
        assert values.dtype == (np.float32 if part.per_vcpu else np.bool_)
        assert (values == part.free).all()


@pytest.mark.parametrize("name", PARTS)
def test_a_merge_takes_each_part_from_the_command_that_is_chosen(name):
    free = free_of_shape(2, 4)
    other = replace(
        free, **{name: np.zeros_like(getattr(free, name)) if PARTS[name].free else ~(getattr(free, name) > 0)}
    )
    merged = where(np.array([True, False]), free, other)
    np.testing.assert_array_equal(getattr(merged, name)[0], getattr(free, name)[0])
    np.testing.assert_array_equal(getattr(merged, name)[1], getattr(other, name)[1])


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_another_shape_is_named(name, facts):
    short = replace(free_of_shape(2, 4), **{name: getattr(free_of_shape(1, 4), name)})
    assert f"{name} has shape" in shape_problem(short, facts)


@pytest.mark.parametrize("name", [name for name, part in PARTS.items() if part.per_vcpu])
@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_a_value_that_may_not_be_is_found_where_it_is_but_not_in_absent_slots(name, value, facts):
    command = free_of_shape(2, 4)
    getattr(command, name)[0, 3] = value  # this slot is absent
    assert [*out_of_range(command, facts)] == []
    getattr(command, name)[1, 0] = value
    ((wrong, detail),) = out_of_range(command, facts)
    assert wrong.tolist() == [False, True]
    assert detail.startswith(f"{name} is NaN or ")


def test_what_is_no_array_becomes_one():
    free = free_of_shape(1, 2)
    listed = Command(**{name: getattr(free, name).tolist() for name in PARTS})
    for name in PARTS:
        assert getattr(as_arrays(listed), name).dtype == getattr(free, name).dtype
