import json

import pytest
from typer.testing import CliRunner

from dqgym.errors import BadInputError
from dqgym.scenario import load_scenario
from experiments.cli.app import app
from experiments.named_files import ALL, SCENARIOS, TRAINING_CONFIGS, summary
from experiments.runs.config import load_config


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_every_name_is_that_of_one_file_which_says_what_it_is():
    names = [name for files in ALL for name in files.names()]
    assert len(set(names)) == len(names)
    assert {"quickstart", "default", "batch-job"} <= set(names)
    assert all(len(summary(files.path(name))) > 20 for files in ALL for name in files.names())


def test_all_are_valid_and_named_like_their_files():
    assert all(load_config(TRAINING_CONFIGS.path(name)).name == name for name in TRAINING_CONFIGS.names())
    assert all(load_scenario(SCENARIOS.path(name)).name == name for name in SCENARIOS.names())


def test_the_list_has_every_name():
    listed = json.loads(run("configs", "--json").stdout)
    assert [one["name"] for one in listed] == [name for files in ALL for name in files.names()]
    table = run("configs").stdout
    assert all(one["name"] in table for one in listed)


def test_a_printed_scenario_is_one_that_can_be_migrated(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(run("configs", "batch-job").stdout)
    assert load_scenario(path) == load_scenario(SCENARIOS.path("batch-job"))


def test_an_unknown_name_is_told_the_nearest_one():
    result = run("configs", "batchjob")
    assert result.exit_code == 2
    assert "did you mean 'batch-job'?" in result.stderr


def test_a_file_of_ones_own_comes_before_ours_and_a_folder_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phased").mkdir()
    assert SCENARIOS.find("phased") == SCENARIOS.path("phased")
    (tmp_path / "mixed").write_text("name: mine")
    assert SCENARIOS.find("mixed").read_text() == "name: mine"


@pytest.mark.parametrize("wrong", ["quikstart", "quickstart.yml", "nowhere/quickstart.yaml"])
def test_what_is_neither_file_nor_name_is_told_the_nearest_name_and_where_all_are_listed(wrong):
    with pytest.raises(BadInputError) as error:
        TRAINING_CONFIGS.find(wrong)
    assert str(error.value).startswith(f"cannot read config {wrong}: no such file")
    assert "did you mean 'quickstart'?" in str(error.value)
    assert "`dqgym configs`" in str(error.value)


@pytest.mark.parametrize("command", ["train", "simulate"])
def test_a_name_that_no_file_can_have_is_one_message(command):
    result = run(command, "a" * 300)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: cannot read")
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_commands_take_names():
    assert "name: quickstart" in run("train", "quickstart", "--show-config").stdout
    assert json.loads(run("simulate", "streaming", "--json").stdout)["scenario"] == "streaming"
