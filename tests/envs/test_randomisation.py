"""Domain randomisation of the environments."""

from __future__ import annotations

import numpy as np
import pytest

from dqgym.backends.base import Backend
from dqgym.backends.model import ModelBackend
from dqgym.envs import MigrationEnv, MigrationVectorEnv
from dqgym.envs.arguments.options import resolve_options
from dqgym.envs.randomisation import CALIBRATED, Randomisation
from dqgym.model.layout import Vcpu, Vm
from dqgym.model.parameters import DEFAULT_PARAMETERS
from dqgym.scenario import Phased
from dqgym.telemetry.features import GLOBAL_FEATURES
from tests.model.migrations import scenario, writers
from tests.model_state import vm_column

SLOTS = 4
CASE = scenario(writers(vcpus=SLOTS, set_mb=100.0, rate_mb_per_s=1.0))
"""Four writers on a link of one bandwidth; T0 is 1000 s."""
G = len(GLOBAL_FEATURES)


def env_of(randomisation: Randomisation | None, n: int = 32, **keywords) -> MigrationVectorEnv:
    keywords = {"suite": "stationary", "pool_size": 64, "max_vcpus": SLOTS, "preference": 0.2, **keywords}
    return MigrationVectorEnv(n, autoreset_mode="Disabled", randomisation=randomisation, **keywords)


def steps(env: MigrationVectorEnv, actions: list[np.ndarray]) -> list[np.ndarray]:
    env.reset(seed=3)
    return [env.step(action)[0] for action in actions]


def constant(value: float, n: int = 32) -> np.ndarray:
    return np.full((n, SLOTS), value, dtype=np.float32)


def test_constants_are_off_by_a_factor_within_the_bounds_and_differ_from_scenario_to_scenario() -> None:
    drawn = Randomisation(calibration=0.25).parameters(DEFAULT_PARAMETERS, 500, seed=1)
    for name in CALIBRATED:
        factors = np.array([getattr(one, name) for one in drawn]) / getattr(DEFAULT_PARAMETERS, name)
        assert factors.min() >= 0.8 - 1e-9
        assert factors.max() <= 1.25 + 1e-9
        assert abs(np.log(factors).mean()) < 0.02
        assert np.log(factors).std() == pytest.approx(np.log(1.25) / np.sqrt(3), rel=0.1)  # uniform in the logarithm
    untouched = set(DEFAULT_PARAMETERS._fields) - set(CALIBRATED)
    assert all(getattr(one, name) == getattr(DEFAULT_PARAMETERS, name) for one in drawn for name in untouched)


def test_the_same_seed_draws_the_same_constants() -> None:
    randomisation = Randomisation(calibration=0.25)
    one, two, other = (randomisation.parameters(DEFAULT_PARAMETERS, 5, seed) for seed in (1, 1, 2))
    assert one == two != other


def test_a_migration_is_charged_by_its_own_constants() -> None:
    env = env_of(Randomisation(calibration=0.5))
    env.reset(seed=1)
    assert len(np.unique(vm_column(env, Vm.EXIT_BYTES_PER_S))) > 16
    assert len(np.unique(vm_column(env, Vm.OVERSHOOT_BYTES))) > 16


def test_no_randomisation_is_the_environment_without() -> None:
    actions = [constant(-0.5)] * 5
    for ours, plain in zip(steps(env_of(Randomisation()), actions), steps(env_of(None), actions), strict=True):
        np.testing.assert_array_equal(ours, plain)


def jitters(suite: str, **randomisation: float) -> list[float]:
    """Of every group that has phases."""
    env = MigrationVectorEnv(1, suite=suite, pool_size=32, randomisation=randomisation)
    groups = [group for scenario in env.options.scenarios for group in scenario.workload]
    return [group.schedule.jitter for group in groups if isinstance(group.schedule, Phased)]


def test_phases_are_jittered_up_to_the_bound_and_differ_from_scenario_to_scenario() -> None:
    assert set(jitters("phases")) == {0.0}
    drawn = jitters("phases", period_jitter=0.3)
    assert len(set(drawn)) == len(drawn) == 32
    assert 0 < min(drawn) < 0.1 < 0.2 < max(drawn) < 0.3
    assert drawn == jitters("phases", period_jitter=0.3)


def test_phases_that_are_jittered_more_stay_so() -> None:
    more = zip(jitters("phases-jittered"), jitters("phases-jittered", period_jitter=0.1), strict=True)
    assert all(after == before or before < after < 0.1 for before, after in more)


def test_noise_changes_what_is_observed_and_not_what_happens() -> None:
    noisy, plain = env_of(Randomisation(measurement_noise=0.1), n=256), env_of(None, n=256)
    action = constant(0.0, 256)
    seen, true = steps(noisy, [action])[0], steps(plain, [action])[0]
    dirtied, truly = noisy._vcpu[:, Vcpu.DIRTIED_BYTES], plain._vcpu[:, Vcpu.DIRTIED_BYTES]
    wrote = truly > 0
    assert (dirtied[wrote] / truly[wrote]).std() == pytest.approx(0.1, rel=0.2)
    assert (seen != true).any()
    np.testing.assert_array_equal(vm_column(noisy, Vm.SENT_BYTES), vm_column(plain, Vm.SENT_BYTES))
    np.testing.assert_array_equal(noisy._vcpu[:, Vcpu.COLD_DIRTY], plain._vcpu[:, Vcpu.COLD_DIRTY])


def measured(env: MigrationVectorEnv) -> np.ndarray:
    """[N] the bandwidth that the environments are told."""
    return vm_column(env, Vm.MEASURED_BANDWIDTH)


def test_the_bandwidth_is_misread_anew_in_every_interval_and_sends_what_it_sends() -> None:
    noisy, plain = env_of(Randomisation(bandwidth_noise=0.1), n=256), env_of(None, n=256)
    actions = [constant(1.0, 256)] * 3
    read = []
    for env in (noisy, plain):
        env.reset(seed=3)
        read.append(np.array([measured(env) for action in actions if env.step(action)]))
    error = read[0] / read[1]
    assert error.mean() == pytest.approx(1.0, abs=0.02)
    assert error.std() == pytest.approx(0.1, rel=0.1)
    assert abs(np.corrcoef(error)[0, 1]) < 0.2
    np.testing.assert_array_equal(vm_column(noisy, Vm.SENT_BYTES), vm_column(plain, Vm.SENT_BYTES))
    np.testing.assert_array_equal(vm_column(noisy, Vm.BANDWIDTH), vm_column(plain, Vm.BANDWIDTH))


def test_limits_are_in_units_of_the_bandwidth_as_it_was_read() -> None:
    env = env_of(Randomisation(bandwidth_noise=0.1), suite=None, scenario=CASE)
    env.reset(seed=3)
    env.step(constant(1.0))
    read = measured(env)
    env.step(constant(0.0))
    limits = env._vcpu[:, Vcpu.LIMIT, 0]
    assert (limits / read).std() < 1e-5 * (limits / read).mean()
    assert read.std() > 0.05 * read.mean()


def test_a_bandwidth_that_was_not_measured_stays_as_it_was_read() -> None:
    """In intervals in which nothing is sent: errors must not pile up."""
    env = env_of(Randomisation(bandwidth_noise=0.5), suite=None, scenario=CASE, control_interval="50 ms")
    env.reset(seed=3)
    env.step(constant(1.0))
    before = measured(env)
    env._vm[:, [Vm.ROUND_BYTES, Vm.ROUND_SENT]] = 0.0  # nothing is left to send
    env._vm[:, Vm.DOWNTIME_LIMIT_S] = -1.0  # and yet it does not end
    env.step(constant(1.0))
    unsent = vm_column(env, Vm.SENDING_S) == 0.0
    assert unsent.any()
    np.testing.assert_array_equal(measured(env)[unsent], before[unsent])


def test_a_late_command_leaves_the_limits_as_they_were() -> None:
    env = env_of(Randomisation(late_commands=0.3), n=512)
    env.reset(seed=1)
    env.step(constant(-1.0, 512))
    before = env._vcpu[:, Vcpu.LIMIT, 0].copy()
    env.step(constant(1.0, 512))
    late = env._vcpu[:, Vcpu.LIMIT, 0] == before
    assert late.mean() == pytest.approx(0.3, abs=0.07)


def test_randomised_training_is_the_same_for_the_same_seed() -> None:
    randomisation = Randomisation(0.2, 0.05, 0.2, 0.05, (0.1, 0.9))
    actions = [constant(value) for value in (-0.5, 0.2, -1.0, 0.7)]
    for one, two in zip(steps(env_of(randomisation), actions), steps(env_of(randomisation), actions), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "field", ["calibration", "measurement_noise", "late_commands", "bandwidth_noise", "period_jitter"]
)
@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_values_out_of_range_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field}={value}"):
        Randomisation(**{field: value})


@pytest.mark.parametrize("latency", [(-0.1, 0.5), (0.5, 0.4), (0.5, 1.1), (0.5,), (float("nan"), 1.0)])
def test_latencies_out_of_range_are_refused(latency: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"latency=\(.*must be \(least, most\)"):
        Randomisation(latency=latency)


def test_it_can_be_said_as_a_mapping() -> None:
    given = {"calibration": 0.1, "latency": [0.2, 0.4]}
    assert resolve_options(scenario=CASE, randomisation=given).randomisation == Randomisation(
        calibration=0.1, latency=(0.2, 0.4)
    )
    assert (
        resolve_options(scenario=CASE).randomisation == resolve_options(scenario=CASE, randomisation={}).randomisation
    )
    with pytest.raises(ValueError, match=r"unknown part of randomisation 'latencies' \(did you mean 'latency'\?\)"):
        resolve_options(scenario=CASE, randomisation={"latencies": (0.0, 0.1)})


@pytest.mark.parametrize("backend", ["reference", "kvm", ModelBackend()])
def test_only_the_model_that_an_environment_makes_is_randomised(backend: str | Backend) -> None:
    with pytest.raises(ValueError, match=r"randomisation: is of the model; backend="):
        MigrationEnv(scenario=CASE, backend=backend, randomisation={"measurement_noise": 0.1})


def test_scenarios_with_more_memory_are_left_out() -> None:
    env = MigrationVectorEnv(4, suite="mixed", pool_size=200, max_vcpus=4, max_memory_bytes=16e9)
    assert 0 < len(env.options.scenarios) < 200
    assert max(scenario.vm.memory_bytes for scenario in env.options.scenarios) <= 16e9
    with pytest.raises(ValueError, match="no scenario"):
        MigrationVectorEnv(4, suite="mixed", pool_size=20, max_vcpus=4, max_memory_bytes=1.0)
