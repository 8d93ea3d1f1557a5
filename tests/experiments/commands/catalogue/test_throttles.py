import json

import pytest
from typer.testing import CliRunner

from dqgym.throttles.table import rows
from experiments.cli.app import app


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_every_throttle_is_listed_with_its_options():
    listed = {throttle["name"]: throttle for throttle in json.loads(run("throttles", "--json").stdout)}
    assert list(listed) == [row.name for row in rows()]
    options = {option["short"]: option for option in listed["auto-converge"]["options"]}
    # The defaults of QEMU's migration parameters (qapi/migration.json).
    assert {name: options[name]["default"] for name in ("trigger", "initial", "increment", "max", "tail_slow")} == {
        "trigger": 50, "initial": 20, "increment": 10, "max": 99, "tail_slow": False
    }  # fmt: skip
    assert options["initial"]["qemu"] == "cpu-throttle-initial"
    assert options["initial"]["unit"] == "%"
    table = run("throttles").stdout
    assert all(name in table for name in (*listed, "cpu-throttle-tailslow"))
    assert listed["auto-converge"]["source"].startswith("QEMU")


def test_one_throttle_is_shown_alone():
    shown = run("throttles", "dirty-limit").stdout
    assert "vcpu-dirty-limit" in shown
    assert "auto-converge" not in shown


def test_an_unknown_throttle_is_an_error_that_names_the_nearest():
    result = run("throttles", "auto-convrge")
    assert result.exit_code == 2
    assert "'auto-converge'" in result.output


@pytest.mark.slow
def test_one_throttle_with_several_settings_is_compared_in_one_evaluation(tmp_path):
    settings = ["auto-converge:initial=50,increment=20", "auto-converge", "dirty-limit:limit=100 MiB/s,period=500 ms"]
    arguments = ["--no-baselines", "--suite", "guest-runtime", "--out", str(tmp_path / "results"), "--json"]
    result = run("evaluate", *settings, *arguments)
    assert result.exit_code == 0, result.output
    summaries = json.loads(result.stdout)["summary"]
    assert {summary["throttle"] for summary in summaries} == set(settings)
    times = {summary["throttle"]: summary["time_over_t0"] for summary in summaries}
    assert len(set(map(str, times.values()))) == len(settings)
