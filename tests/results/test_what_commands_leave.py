"""What the commands leave and print is loaded, as they are typed."""

import json

import pytest
from typer.testing import CliRunner

import dqgym
from dqgym.results.schema import KEY, VERSION
from experiments.cli.app import app

SMALL = ["--suite", "guest-runtime", "--count", "2"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> str:
    """Standard output of a command that must succeed."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_an_evaluation_and_a_comparison_of_it(here):
    printed = run(
        "evaluate", "none", "dirty-quota", "--no-baselines", *SMALL, "--repeat", "2", "--out", "one", "--json"
    )
    results = dqgym.load("one")
    assert json.loads(printed)[KEY] == json.loads((here / "one" / "summary.json").read_text())[KEY] == VERSION
    assert set(results.migrations["throttle"]) == {"none", "dirty-quota"}
    assert set(results.migrations["repetition"]) == {0, 1}
    assert set(results.migrations["backend"]) == {"model"}
    per_migration = results.vcpus.groupby(["scenario", "throttle", "seed", "preference"])["guest_runtime"]
    means = results.migrations.set_index(["scenario", "throttle", "seed", "preference"])["guest_runtime"]
    assert per_migration.mean().to_dict() == pytest.approx(means.to_dict())

    (here / "duel.json").write_text(run("compare", "none", "dirty-quota", "--from", "one", "--json"))
    duel = dqgym.load("duel.json")
    assert json.loads((here / "duel.json").read_text())[KEY] == VERSION
    assert set(duel.standings["throttle"]) == {"none", "dirty-quota"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "kind", "throttle"),
    [
        (["control", "default", *SMALL], "control report", "default"),
        (["simulate", "batch-job", "--throttle", "dirty-quota"], "migration", "dirty-quota"),
        (["migrate", "batch-job", "--backend", "model", "--throttle", "none"], "migration", "none"),
    ],
)
def test_what_a_command_prints_as_json(here, command, kind, throttle):
    (here / "printed.json").write_text(run(*command, "--json"))
    assert json.loads((here / "printed.json").read_text())[KEY] == VERSION
    results = dqgym.load("printed.json")
    assert results.kind == kind
    assert set(results.migrations["throttle"]) == {throttle}
    assert set(results.migrations["backend"]) == {"model"}
    assert results.migrations["total_time_s"].gt(0).all()


@pytest.mark.slow
def test_the_file_of_a_search(here):
    small = ["--suite", "guest-runtime", "--count", "2", "--trials", "2", "--preference", "0.2"]
    run("tune", "dirty-quota", *small, "--out", "mine.yaml")
    tuning = dqgym.load("mine.yaml").tuning
    assert set(tuning["option"]) == {"ratio"}
    assert tuning["trials"].tolist() == [2]
