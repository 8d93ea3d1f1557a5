"""Real migrations against the model; the "real" ones here are the model's own, bent in a known way."""

import json
import math
from contextlib import closing
from dataclasses import replace

import pytest

from dqgym.backends.kvm.host.measure import FREE_BYTES_PER_S, HostCosts, LimitMet
from dqgym.backends.kvm.host.probe_guest import Rates
from dqgym.backends.model import ModelBackend
from dqgym.controller.run import run_all
from dqgym.model.parameters import DEFAULT_PARAMETERS, load_parameters, save_parameters
from dqgym.scenario.suites import get_suite
from experiments.calibration.host_comparison import HostCalibration, host_comparison
from experiments.evaluation.throttle_sources import throttle_source
from experiments.results.rows import rows_from_outcomes

MIB = 2.0**20
RATES = Rates(
    stores_per_s=2e6,
    logged_stores_per_s=1e5,
    ring_entries=256,
    granule_pages=192,
    ring_run_s=1.9e-3,
    ring_harvest_s=15e-6,
    ring_reset_s=5e-6,
    out_exit_s=5e-5,
    kick_s=5e-5,
)


def limit(commanded_mib, met_mib):
    return LimitMet(commanded_mib * MIB, met_mib * MIB, light_progress=1.0)


def real_rows(throttle, slower=1.0, repetitions=2):
    """Rows of the lab as the model gives them, with every time stretched."""
    scenarios = get_suite("kvm-lab").scenarios() * repetitions
    seeds = list(range(len(scenarios)))
    with closing(ModelBackend(vcpu_slots=8)) as backend:
        outcomes = run_all(backend, scenarios, throttle_source(throttle).make(0.2), seeds).outcomes
    names = [scenario.name for scenario in scenarios]
    rows = rows_from_outcomes(outcomes, "kvm-lab", names, throttle, seeds, [0.2])
    return [
        replace(row, total_time_s=row.total_time_s * slower, guest_runtime=row.guest_runtime - 0.05) for row in rows
    ]


def calibration(*throttles, **changes):
    rows = [row for throttle in throttles for row in real_rows(throttle, **changes)]
    return HostCalibration(
        DEFAULT_PARAMETERS, None, *host_comparison(rows, list(map(throttle_source, throttles)), DEFAULT_PARAMETERS)
    )


@pytest.mark.slow
def test_errors_are_those_that_were_put_in():
    summary = calibration("dirty-quota", "none", slower=1.25).summary()
    assert summary.pairs == 16
    assert summary.median_time_error == pytest.approx(0.2, abs=1e-6)  # model / host - 1 = 1 / 1.25 - 1
    assert summary.largest_time_error == pytest.approx(0.2, abs=1e-6)
    assert summary.median_runtime_error == pytest.approx(0.05, abs=1e-6)
    assert summary.wrong_verdicts == ()


@pytest.mark.slow
def test_a_migration_that_converges_in_one_of_the_two_only_is_a_wrong_verdict():
    rows = [replace(row, converged=False) if row.scenario == "quiet-guest" else row for row in real_rows("none")]
    pairs, _ = host_comparison(rows, [throttle_source("none")], DEFAULT_PARAMETERS)
    bent = HostCalibration(DEFAULT_PARAMETERS, None, pairs)
    assert bent.summary().wrong_verdicts == ("quiet-guest under none",)
    assert any(math.isinf(pair.time_s) for pair in pairs)
    assert json.loads(json.dumps(bent.document(), allow_nan=False))["pairs"][0]["time_s"] is None


def test_rankings_go_by_mean_cost_on_either_side():
    same = calibration("dirty-quota", "none", "auto-converge").rankings()
    assert [ranking.kendall_tau for ranking in same] == [1.0]
    assert same[0].host == same[0].model
    assert set(same[0].host) == {"dirty-quota", "none", "auto-converge"}
    dear = [replace(row, cost=row.cost * 100) for row in real_rows("dirty-quota")]
    rows, throttles = [*dear, *real_rows("none")], [throttle_source("dirty-quota"), throttle_source("none")]
    pairs, _ = host_comparison(rows, throttles, DEFAULT_PARAMETERS)
    (ranking,) = HostCalibration(DEFAULT_PARAMETERS, None, pairs).rankings()
    assert ranking.host == ("none", "dirty-quota")
    assert ranking.model == ("dirty-quota", "none")
    assert ranking.kendall_tau == -1.0


def test_throttles_that_nobody_named_are_left_out_and_said():
    rows = [*real_rows("none"), *(replace(row, throttle="a-policy") for row in real_rows("none"))]
    pairs, left_out = host_comparison(rows, [throttle_source("none")], DEFAULT_PARAMETERS)
    assert left_out == ("a-policy",)
    assert {pair.throttle for pair in pairs} == {"none"}
    assert "a-policy" in HostCalibration(DEFAULT_PARAMETERS, None, pairs, left_out).tables()[0].notes[-1]


def test_parameters_follow_from_what_was_measured(tmp_path):
    costs = HostCosts(RATES, 180 * MIB, (limit(8, 8.01), limit(96, 95.5)))
    parameters, sources = costs.parameters()
    assert parameters.write_bytes_per_s == pytest.approx(2e6 * 4096)
    assert parameters.fault_s == pytest.approx(1.92e-3 / 192 - 0.5e-6)
    assert parameters.overshoot_bytes == 192 * 4096
    assert parameters.ring_exit_s == pytest.approx(20e-6)
    assert parameters.exit_bytes_per_s == FREE_BYTES_PER_S
    assert set(sources) == set(parameters._fields)
    save_parameters(parameters, tmp_path / "host.yaml", sources)
    assert load_parameters(tmp_path / "host.yaml") == parameters


def test_a_limit_that_is_missed_gives_the_cost_of_exits():
    exits, natural = 50 * MIB, 180 * MIB
    met = 1.0 / (1.0 / (96 * MIB) + (1.0 - 96 * MIB / natural) / exits)
    costs = HostCosts(RATES, natural, (LimitMet(96 * MIB, met, 1.0),))
    assert costs.parameters()[0].exit_bytes_per_s == pytest.approx(exits)


def test_tables_show_limits_and_how_they_are_met():
    costs = HostCosts(RATES, 180 * MIB, (limit(8, 8.4), limit(96, 95.5)))
    (table,) = HostCalibration(DEFAULT_PARAMETERS, costs, ()).tables()
    assert table.rows[0] == ("8 MiB/s", "8.40 MiB/s", "+5.0%", "1.000")
