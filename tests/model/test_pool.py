import numpy as np
import pytest

from dqgym.model.layout import SLOT_COUNTS, Vm, slots_for
from dqgym.model.parameters import DEFAULT_PARAMETERS
from dqgym.model.pool import pack_scenarios
from dqgym.scenario import StepsLink
from tests.model.migrations import READERS, scenario, writers


def pack(*scenarios, slots=None):
    return pack_scenarios(scenarios, DEFAULT_PARAMETERS, slots)


def test_facts_are_those_of_the_scenarios():
    small = scenario(writers(vcpus=2), memory_mb=500.0, bandwidth_mb_per_s=10.0)
    large = scenario(writers(vcpus=3), READERS, memory_mb=2000.0, bandwidth_mb_per_s=4.0)
    facts = pack(small, large).facts()
    np.testing.assert_array_equal(facts.present, [[True, True, False, False], [True] * 4])
    np.testing.assert_array_equal(facts.memory_bytes, [500e6, 2000e6])
    np.testing.assert_array_equal(facts.bandwidth_bytes_per_s, [10e6, 4e6])
    np.testing.assert_array_equal(facts.downtime_limit_s, [0.3, 0.3])
    np.testing.assert_array_equal(facts.deadline_s, [20 * 50.0, 20 * 500.0])
    np.testing.assert_array_equal(facts.vcpus, [2, 4])


def test_facts_share_no_memory_with_the_pool():
    pool = pack(scenario())
    pool.facts().memory_bytes[:] = 0.0
    assert pool.facts().memory_bytes[0] > 0.0


@pytest.mark.parametrize(("vcpus", "slots"), [(1, 1), (2, 2), (3, 4), (5, 8), (33, 64), (64, 64)])
def test_slots_are_the_next_compiled_number(vcpus, slots):
    assert slots_for(vcpus) == slots
    assert slots in SLOT_COUNTS


def test_more_vcpus_than_any_kernel_holds_are_refused():
    with pytest.raises(ValueError, match=r"vcpus=65.*1 to 64"):
        slots_for(65)


def test_a_scenario_that_is_too_wide_is_named():
    with pytest.raises(ValueError, match=r"'test' has 3 vCPUs, more than vcpu_slots=2"):
        pack(scenario(), scenario(writers(vcpus=3)), slots=2)


def test_each_scenario_can_have_constants_of_its_own():
    case = scenario(writers(vcpus=2))
    slow = DEFAULT_PARAMETERS._replace(
        exit_bytes_per_s=1e6, contention=0.5, overshoot_bytes=8192.0, write_bytes_per_s=1e6, fault_s=1e-3
    )
    together = pack_scenarios([case, case], [DEFAULT_PARAMETERS, slow])
    for m, parameters in enumerate((DEFAULT_PARAMETERS, slow)):
        alone = pack_scenarios([case], parameters)
        np.testing.assert_array_equal(together.vcpu[m], alone.vcpu[0])
        np.testing.assert_array_equal(together.vm[m], alone.vm[0])
        host = together.vm[m, [Vm.EXIT_BYTES_PER_S, Vm.CONTENTION, Vm.OVERSHOOT_BYTES]]
        np.testing.assert_array_equal(host, [parameters[k] for k in (2, 3, 5)])
    assert (together.vcpu[0] != together.vcpu[1]).any()


def test_constants_for_another_number_of_scenarios_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        pack_scenarios([scenario(), scenario()], [DEFAULT_PARAMETERS])


def test_no_scenarios_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        pack()


def test_a_scenario_that_comes_again_is_as_if_it_were_another():
    once = scenario(writers(vcpus=2), memory_mb=500.0)
    other = scenario(writers(vcpus=3), link=StepsLink(times_s=(0.0, 1.0), bandwidths_bytes_per_s=(2e8, 1e8)))
    again = pack(once, other, other, once)
    equal = pack(once, other, other.model_copy(), once.model_copy())
    np.testing.assert_array_equal(again.vcpu, equal.vcpu)
    where_tables_begin = [Vm.LINK_A]
    np.testing.assert_array_equal(
        np.delete(again.vm, where_tables_begin, axis=1), np.delete(equal.vm, where_tables_begin, axis=1)
    )
    assert len(again.table_times) == 3
    assert len(equal.table_times) == 5


def test_the_same_scenario_under_other_constants_is_packed_apart():
    once = scenario(writers(vcpus=2))
    other = DEFAULT_PARAMETERS._replace(contention=0.5)
    pool = pack_scenarios([once, once, once], [DEFAULT_PARAMETERS, other, DEFAULT_PARAMETERS])
    np.testing.assert_array_equal(
        pool.vm[:, Vm.CONTENTION], [DEFAULT_PARAMETERS.contention, 0.5, DEFAULT_PARAMETERS.contention]
    )
