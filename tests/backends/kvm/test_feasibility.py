import pytest

from dqgym.backends.kvm.feasibility import require_feasible, scaled_to_fit
from dqgym.scenario import ConstantLink, DirtyLog, Scenario, VcpuGroup, VirtualMachine
from dqgym.scenario.suites import get_suite

MIB = 2**20


def scenario(memory_mib=128, bandwidth_mib=60, vcpus=2, page_bytes=4096, zero_mib=0, **others):
    return Scenario(
        name="guest",
        vm=VirtualMachine(memory_bytes=memory_mib * MIB, page_bytes=page_bytes, zero_bytes=zero_mib * MIB),
        workload=(VcpuGroup(vcpus=vcpus, pattern="read-only"),),
        link=ConstantLink(bandwidth_bytes_per_s=bandwidth_mib * MIB),
        **others,
    )


def test_every_scenario_of_the_lab_fits():
    for one in get_suite("kvm-lab").scenarios():
        require_feasible(one)
        assert scaled_to_fit(one) is one


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"memory_mib": 2048}, "vm.memory: 2 GiB"),
        ({"bandwidth_mib": 2000}, "link: 2000 MiB/s"),
        ({"vcpus": 17}, "workload: 17 vCPUs; allowed: 1 to 16"),
        ({"page_bytes": 2 * MIB}, "vm.dirty_granule: 2 MiB must be 4 KiB"),
        ({"zero_mib": 16}, "vm.zero: 16 MiB must be 0"),
        ({"dirty_log": DirtyLog(kind="ring")}, "dirty_log.kind: 'ring' must be 'bitmap'"),
        ({"dirty_log": DirtyLog(ring_entries=1000)}, "dirty_log.ring_entries: 1000 must be a power of two"),
    ],
)
def test_what_does_not_fit_is_named_with_its_value_and_what_is_allowed(bad, said):
    with pytest.raises(ValueError, match="does not fit the kvm backend") as error:
        require_feasible(scenario(**bad))
    assert said in str(error.value)
    assert "--scale" in str(error.value)


def test_all_problems_are_said_at_once():
    with pytest.raises(ValueError, match=r"vm\.memory.*workload"):
        require_feasible(scenario(memory_mib=4096, vcpus=20))


@pytest.mark.parametrize("row", ["row-01", "row-05"])
def test_a_row_of_the_letter_is_played_in_small_with_the_same_pressures(row):
    large = next(one for one in get_suite("cover-letter").scenarios() if one.name == row)
    small = scaled_to_fit(large)
    require_feasible(small)

    def pressure(one):
        total = sum(group.vcpus * group.write_rate_bytes_per_s for group in one.workload)
        return total / one.bandwidth_bytes_per_s

    assert pressure(small) == pytest.approx(pressure(large))
    assert small.limits.downtime_s / small.pass_time_s == pytest.approx(large.limits.downtime_s / large.pass_time_s)
    assert small.vcpus == large.vcpus


def test_too_many_vcpus_cannot_be_scaled_away():
    large = next(one for one in get_suite("cover-letter").scenarios() if one.name == "row-07")
    with pytest.raises(ValueError, match="32 vCPUs"):
        scaled_to_fit(large)
