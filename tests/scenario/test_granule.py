"""The granule of dirty tracking, its old name, and the pages that back a guest."""

from __future__ import annotations

import pytest

from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.scenario import VirtualMachine, scenario_from_yaml, scenario_to_yaml
from dqgym.throttles.registry import make_throttle

GUEST = """
name: guest
vm: {memory: 64 GiB%s}
workload:
- {vcpus: 4, pattern: uniform, working_set: 8 GiB, write_rate: 10 MB/s}
link: {kind: constant, bandwidth: 10 Gbit/s}
"""


def guest(vm: str = ""):
    return scenario_from_yaml(GUEST % vm)


def time_s(scenario) -> float:
    outcomes = run_migrations(ModelBackend(), [scenario], make_throttle("none"), seeds=[0])
    assert outcomes.converged[0]
    return float(outcomes.total_time_s[0])


def test_the_old_name_means_the_same():
    assert guest(", page: 2 MiB") == guest(", dirty_granule: 2 MiB")
    assert VirtualMachine(memory_bytes=2**32, page_bytes=65536) == VirtualMachine(
        memory_bytes=2**32, dirty_granule_bytes=65536
    )


def test_the_new_name_is_written():
    written = scenario_to_yaml(guest(", page: 2 MiB"))
    assert "dirty_granule: 2 MiB" in written
    assert "page" not in written
    assert scenario_from_yaml(written) == guest(", page: 2 MiB")


def test_both_names_at_once_are_an_error():
    with pytest.raises(ValueError, match=r"'dirty_granule' or 'page'"):
        guest(", page: 2 MiB, dirty_granule: 4 KiB")


@pytest.mark.parametrize("backing", ["2 MiB", "1 GiB"])
def test_huge_pages_that_back_the_guest_leave_the_granule_as_it_is(backing):
    plain, backed = guest(), guest(f", backing: {backing}")
    assert backed.vm.dirty_granule_bytes == 4096
    assert time_s(backed) == time_s(plain) == pytest.approx(56.0, rel=0.05)


def test_power_s_pages_are_a_granule():
    assert guest(", dirty_granule: 16 MiB").vm.dirty_granule_bytes == 2**24


def test_a_granule_fits_into_the_pages_that_back_the_guest():
    assert guest(", dirty_granule: 64 KiB, backing: 2 MiB").vm.backing_bytes == 2**21
    with pytest.raises(ValueError, match="backing 2 MiB is smaller than the granule of dirty tracking, 16 MiB"):
        guest(", dirty_granule: 16 MiB, backing: 2 MiB")
