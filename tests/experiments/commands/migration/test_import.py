"""``dqgym import`` and ``dqgym record`` as a user calls them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dqgym.scenario import load_scenario
from experiments.cli.app import app

LOG = Path(__file__).parents[4] / "examples" / "logs" / "virt-launcher.log"


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.slow
def test_a_log_becomes_a_scenario_file_and_json_says_how(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("import", "kubevirt", str(LOG), "--throttle", "auto-converge", "--vcpus", "4", "--writers", "1",
                 "--downtime", "500 ms", "--name", "mine", "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    scenario = load_scenario("mine.yaml")
    assert (scenario.vcpus, scenario.limits.downtime_s) == (4, 0.5)
    assert [group.pattern for group in scenario.workload] == ["sequential", "read-only"]
    document = json.loads(result.stdout)
    assert document["scenario"] == "mine.yaml"
    assert document["replay"]["total_time_s"] == pytest.approx(document["log"]["total_time_s"], rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kube-virt", str(LOG)], "unknown format 'kube-virt' (did you mean 'kubevirt'?)"),
        (["kubevirt", "nothing.log"], "cannot read the log nothing.log"),
        (["kubevirt", str(LOG), "--throttle", "autoconverge"], "did you mean 'auto-converge'"),
        (["kubevirt", str(LOG), "--downtime", "300"], "--downtime '300'"),
        (["kubevirt", str(LOG), "--vcpus", "1", "--writers", "2"], "2 writers of 1 vCPUs"),
    ],
)
def test_wrong_uses_are_one_message_and_leave_nothing(tmp_path: Path, monkeypatch, arguments, message) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("import", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not list(tmp_path.iterdir())


def test_a_recording_of_no_monitor_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("record", "--qmp", "nothing.sock")
    assert result.exit_code == 2
    assert "cannot use the monitor nothing.sock" in " ".join(result.output.split())
    assert not list(tmp_path.iterdir())
