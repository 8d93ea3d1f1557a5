"""The fit, on made-up tables whose parameters are known, and whose migrations cost nothing."""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from dqgym.scenario.suites.cover_letter import letter_rows
from experiments.calibration import fit
from experiments.calibration.fit import TableFit, fitted_values, sources
from experiments.calibration.settings import Settings

TRUE = {
    "write_bytes_per_s": 4.0e9,
    "fault_s": 0.3e-6,
    "exit_bytes_per_s": 90e6,
    "contention": 0.03,
    "ratio": 1.6,
}


def made_up_time_s(scenario, throttle: str, values: dict[str, float]) -> float:
    """A time that depends on all of the parameters, and on each in another way."""
    vcpus, rate = scenario.vcpus, scenario.workload[0].write_rate_bytes_per_s
    page_s = 4096 / values["write_bytes_per_s"] + values["fault_s"] * (1 + rate / 1e9)
    host_s = scenario.pass_time_s * (1 + 1e5 * page_s)
    if throttle == "current":
        return host_s
    exits = (1 + values["contention"] * vcpus * (vcpus - 1)) / values["exit_bytes_per_s"] / vcpus
    return host_s / values["ratio"] + scenario.vm.memory_bytes * exits


@dataclass(frozen=True)
class MadeUp(Settings):
    """Settings whose migrations take a made-up time."""

    def migrate(self, scenarios, throttle):
        times = [made_up_time_s(scenario, throttle.name, fitted_values(self)) for scenario in scenarios]
        return SimpleNamespace(total_time_s=np.array(times))


@pytest.fixture
def table(monkeypatch):
    """Sets what the letter says: made-up times, some of them times a factor, by scenario."""

    def letter(factors=None):
        def time_s(throttle, unconverged):
            def of(row):
                from dqgym.scenario.suites.cover_letter import letter_scenario

                if throttle == "current" and math.isinf(unconverged(row)):
                    return math.inf
                return made_up_time_s(letter_scenario(row), throttle, TRUE) * (factors or {}).get(row.scenario, 1.0)

            return of

        times = {name: time_s(name, original) for name, original in fit.LETTER_TIME_S.items()}
        monkeypatch.setattr(fit, "LETTER_TIME_S", times)

    return letter


def errors_of(settings: Settings) -> np.ndarray:
    """Relative errors of the times that the fitted parameters give: these are what a table settles.

    Single parameters are not: the fit pulls those that the rows say little about towards the middle of their bounds.
    """
    from dqgym.scenario.suites.cover_letter import letter_scenario

    fitted = fitted_values(settings)
    scenarios = [letter_scenario(row) for row in letter_rows().values()]
    ratios = [
        made_up_time_s(scenario, throttle, fitted) / made_up_time_s(scenario, throttle, TRUE)
        for throttle in fit.LETTER_TIME_S
        for scenario in scenarios
    ]
    return np.abs(np.array(ratios) - 1.0)


@pytest.mark.slow
def test_the_times_behind_a_table_are_found_again(table):
    table()
    seen = []
    fitted = TableFit(MadeUp(), lambda evaluations, error: seen.append((evaluations, error))).fit()
    errors = errors_of(fitted)
    assert np.median(errors) < 0.02
    assert errors.max() < 0.10
    assert fitted.parameters.window_s == MadeUp().parameters.window_s, "what is not fitted stays"
    assert [evaluations for evaluations, _ in seen] == list(range(1, len(seen) + 1))
    assert seen[-1][1] < 0.1 * seen[0][1]


@pytest.mark.slow
def test_a_shape_held_out_does_not_pull_at_the_fit(table):
    table({"row-04": 3.0})  # the only row with 48 GB and 8 threads
    fitter = TableFit(MadeUp())
    folds = {fold.shape: fold for fold in fitter.leave_one_out(fitter.fit())}
    assert set(folds) == {(row.memory_gb, row.threads) for row in letter_rows().values()}
    without = folds[48, 8]
    assert np.median(errors_of(without.settings)) < 0.02
    for throttle in ("current", "dirty-quota"):
        assert without.errors[throttle] == {"row-04": pytest.approx(1 / 3 - 1, abs=0.02)}


@pytest.mark.slow
def test_every_converged_row_is_held_out_once_and_row_9_in_the_reading_that_fits(table):
    table()
    fitter = TableFit(MadeUp())
    held_out = [name for fold in fitter.leave_one_out(MadeUp()) for name in fold.errors["dirty-quota"]]
    assert sorted(held_out) == sorted(name for name in letter_rows() if name != "row-09")


def test_every_fitted_value_has_a_source():
    assert set(sources()) == {*list(TRUE)[:-1], "dirty-quota.ratio"}
