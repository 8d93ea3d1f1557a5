import json

import pytest
from typer.testing import CliRunner

from dqgym.scenario.suites import suite_names
from experiments.cli.app import app


def run(*arguments):
    return CliRunner().invoke(app, ["suites", *arguments])


def test_every_suite_is_listed_with_its_kind():
    listed = {suite["name"]: suite for suite in json.loads(run("--json").stdout)}
    assert list(listed) == suite_names()
    assert listed["cover-letter"]["kind"] == "fixed"
    assert listed["mixed"]["kind"] == "sampler"
    table = run().stdout
    assert all(name in table for name in listed)


def test_a_fixed_suite_is_described_with_all_its_scenarios():
    described = json.loads(run("cover-letter", "--json").stdout)
    scenarios = {scenario["name"]: scenario for scenario in described["scenarios"]}
    assert len(scenarios) == 16
    assert scenarios["row-05"]["vcpus"] == 6
    assert scenarios["row-05"]["pass_time_s"] == pytest.approx(32e9 / (640 * 2**20))


def test_a_sampler_is_described_with_examples_that_depend_on_the_seed():
    first, again, other = (run("noisy-neighbour", "--json", "--seed", seed).stdout for seed in ("1", "1", "2"))
    assert first == again != other
    assert {scenario["vcpus"] for scenario in json.loads(first)["scenarios"]} == {32}


def test_an_unknown_suite_is_an_error_that_names_the_nearest():
    result = run("cover-leter")
    assert result.exit_code == 2
    assert "'cover-letter'" in result.output
