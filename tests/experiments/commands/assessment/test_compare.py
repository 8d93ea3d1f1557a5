import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from dqgym.errors import BadInputError
from dqgym.results.rows_file import write_rows
from experiments.cli.app import app
from experiments.evaluation.duel import duel_of
from tests.experiments.made_rows import make_rows


def run(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def costs(ratio, noise=0.01, migrations=40):
    """Of a method whose training seeds cost ``ratio`` times as much as the rule, give or take ``noise``."""
    rng = np.random.default_rng(1)
    rule = rng.gamma(4.0, size=migrations)
    own = ratio * rule * np.exp(rng.normal(0, noise, (2, migrations)))
    return {("main", 1): own[0].tolist(), ("main", 2): own[1].tolist(), ("rule", None): rule.tolist()}


@pytest.mark.parametrize(
    ("ratio", "noise", "verdict"),
    [
        (0.982, 0.001, r"main costs 1\.8 % \[1\.8, 1\.8\] less than rule\."),
        (1.25, 0.001, r"main costs 25\.\d % \[2\d\.\d, 25\.\d\] more than rule\."),
        (1.0, 0.1, r"No difference can be shown: main costs [+-]\d\.\d % \[-\d\.\d, \+\d\.\d\] against rule\."),
    ],
)
def test_the_verdict_says_who_is_cheaper_by_how_much_or_that_nothing_can_be_shown(ratio, noise, verdict):
    text = duel_of(make_rows(costs(ratio, noise)), "main", "rule").verdict()
    assert re.match(verdict, text), text
    assert "over 80 migrations and 2 training seeds" in text


def test_the_verdict_names_suites_on_which_it_is_otherwise():
    rows = [
        row for suite, ratio in (("u", 0.7), ("v", 0.8), ("w", 1.1)) for row in make_rows(costs(ratio), suite=suite)
    ]
    text = duel_of(rows, "main", "rule").verdict()
    assert text.startswith("main costs 13.")
    assert " w: main costs 9." in text
    assert " u: " not in text
    assert " v: " not in text


def test_either_direction_tells_the_same_story():
    rows = make_rows(costs(0.9))
    there, back = duel_of(rows, "main", "rule"), duel_of(rows, "rule", "main")
    assert there.standings == back.reverse
    assert there.reverse == back.standings


def test_the_ten_largest_gains_and_losses_are_there_and_none_is_both():
    rule = [20.0] * 25
    own = [20.0 + step for step in range(-12, 13)]
    duel = duel_of(make_rows({("a", None): own, ("b", None): rule}), "a", "b")
    assert [pair.ratio for pair in duel.gains] == pytest.approx([(20 - step) / 20 for step in range(12, 2, -1)])
    assert [pair.ratio for pair in duel.losses] == pytest.approx([(20 + step) / 20 for step in range(12, 2, -1)])
    assert (duel.gains[0].scenario, duel.losses[0].scenario) == ("m0", "m24")
    few = duel_of(make_rows({("a", None): [1.0, 2.0, 3.0], ("b", None): [2.0, 2.0, 2.0]}), "a", "b")
    assert [pair.scenario for pair in few.gains] == ["m0"]
    assert [pair.scenario for pair in few.losses] == ["m2"]


def test_a_pair_is_the_mean_over_training_seeds():
    duel = duel_of(make_rows({("a", 1): [1.0], ("a", 2): [2.0], ("b", None): [3.0]}), "a", "b")
    (pair,) = duel.gains
    assert (pair.own_cost, pair.other_cost, pair.ratio) == (1.5, 3.0, 0.5)


def test_stored_results_are_compared_as_they_are(tmp_path):
    rows = [row for suite in "uv" for c in (0.2, 0.6) for row in make_rows(costs(0.9), suite=suite, preference=c)]
    write_rows(tmp_path, rows)
    result = run("main", "rule", "--from", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["standings"] == json.loads(json.dumps(duel_of(rows, "main", "rule").document()))["standings"]
    assert len(document["standings"]) == 9
    chosen = json.loads(run("main", "rule", "--from", tmp_path, "--suite", "u", "--preference", 0.6, "--json").stdout)
    assert [(one["suite"], one["preference"]) for one in chosen["standings"]] == [("u", 0.6)]


def test_without_json_there_are_tables_and_the_verdict_last(tmp_path):
    write_rows(tmp_path, make_rows(costs(0.9)))
    lines = run("main", "rule", "--from", tmp_path).stdout.strip().splitlines()
    assert lines[0].startswith("A = main against B = rule")
    assert lines[-1].startswith("main costs ")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("rule", "rule"), "A and B are both 'rule'"),
        (("main", "rules"), "no throttle 'rules' in it; there are: main, rule"),
        (("main", "rule", "--suite", "x"), "--suite x: not in {folder}; there are: s"),
        (("main", "rule", "--preference", "0.3"), "--preference 0.3: not in {folder}; there are: 0.2"),
        (("main", "rule", "--count", "3"), "--count, --max-vcpus, --seed and --host decide what runs"),
        (("main", "rule", "--seed", "0"), "--count, --max-vcpus, --seed and --host decide what runs"),
    ],
)
def test_what_cannot_be_compared_is_named(tmp_path, arguments, problem):
    write_rows(tmp_path, make_rows(costs(0.9)))
    result = run(*arguments, "--from", tmp_path)
    assert result.exit_code == 2
    assert problem.format(folder=tmp_path) in result.stderr


def test_throttles_of_other_migrations_are_not_compared(tmp_path):
    rows = make_rows({("a", None): [1.0, 2.0], ("b", None): [1.0]})
    with pytest.raises(BadInputError, match="must have the same migrations"):
        duel_of(rows, "a", "b")


@pytest.mark.slow
def test_two_baselines_run_on_the_model_and_differ_as_in_an_evaluation(tmp_path):
    options = [*map(str, ("--suite", "kvm-lab", "--count", 2, "--seed", 3, "--preference", 0.2)), "--json"]
    document = json.loads(run("none", "stop-and-copy", *options).stdout)
    (standing,) = document["standings"]
    command = ["evaluate", "none", "stop-and-copy", "--no-baselines", "--opponent", "stop-and-copy"]
    evaluated = CliRunner().invoke(app, [*command, *options, "--out", str(tmp_path)])
    assert standing == json.loads(evaluated.stdout)["statistics"]["standings"][0]
