import json

import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from dqgym.scenario import load_scenario, save_scenario
from dqgym.scenario.suites import get_suite
from experiments.cli.app import app


def run(*arguments):
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)])


def test_result_is_one_object_with_the_outcome():
    result = json.loads(run("cover-letter:row-03", "--throttle", "none", "--json").stdout)
    assert result["converged"] is True  # the workload of this row is slower than the link
    assert result["time_over_t0"] == pytest.approx(result["total_time_s"] / (32e9 / (640 * 2**20)))
    assert 1.0 <= result["time_over_t0"] < 1.3
    assert result["guest_runtime"] > 0.98
    assert len(result["guest_runtime_per_vcpu"]) == 6
    assert result["worst_vcpu_runtime"] == min(result["guest_runtime_per_vcpu"])
    assert result["bytes_sent"] >= 32e9 * 0.99
    assert result["rounds"] >= 1
    assert result["max_throttle_percent"] == 0.0
    assert set(result["cost"]) == {"0.2", "0.6"}


@pytest.mark.slow
def test_an_unconverged_migration_has_no_downtime_and_ends_at_its_deadline():
    result = json.loads(run("cover-letter:row-12", "--throttle", "none", "--json").stdout)
    assert result["converged"] is False
    assert result["downtime_s"] is None
    assert result["time_over_t0"] == pytest.approx(20.0, rel=1e-3)
    assert result["cost"]["0.2"] == pytest.approx(40.0, rel=0.05)  # twice the deadline, nobody stalled


def test_a_file_gives_what_the_suite_gives(tmp_path):
    (scenario,) = (one for one in get_suite("cover-letter").scenarios() if one.name == "row-02")
    path = tmp_path / "one.yaml"
    save_scenario(scenario, path)
    assert load_scenario(path) == scenario
    assert run(path, "--json").stdout == run("cover-letter:row-02", "--json").stdout


@pytest.mark.slow
def test_trace_and_plot_are_written(tmp_path):
    trace, plot = tmp_path / "trace.json", tmp_path / "plot.png"
    result = json.loads(run("cover-letter:row-02", "--json", "--trace", trace, "--plot", plot).stdout)
    recorded = json.loads(trace.read_text())
    assert recorded["time_s"][-1] == pytest.approx(result["total_time_s"], rel=0.02)
    assert len(recorded["run_share"][0]) == 4
    assert imread(plot).ndim == 3
    assert {path.name for path in tmp_path.iterdir()} == {"trace.json", "plot.png"}


@pytest.mark.slow
def test_panel_says_what_happened():
    text = run("cover-letter:row-12", "--throttle", "none").stdout
    assert "row-12 under none" in text
    assert "missed its deadline" in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("cover-letter:row_05",), "'row-05'"),
        (("cover-leter:row-05",), "'cover-letter'"),
        (("mixed:mixed-0-0",), "sampler"),
        (("missing.yaml",), "missing.yaml"),
        (("cover-letter:row-05", "--throttle", "dirty-qota"), "'dirty-quota'"),
    ],
)
def test_bad_input_is_an_error_that_says_what_would_do(arguments, named):
    result = run(*arguments)
    assert result.exit_code == 2
    assert named in result.output


@pytest.mark.parametrize("option", ["--trace", "--plot"])
def test_a_file_that_cannot_be_written_is_named(tmp_path, option):
    path = tmp_path / "none" / "time-line.png"
    result = run("cover-letter:row-03", "--throttle", "none", option, path)
    assert result.exit_code == 2
    assert f"cannot write {path}: No such file or directory" in result.output
