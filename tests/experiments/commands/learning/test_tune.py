import pytest
from typer.testing import CliRunner

from dqgym.errors import BadInputError
from dqgym.scenario.suites import get_suite
from dqgym.throttles.rules.contextual_weights import read_contextual
from dqgym.throttles.rules.tuned import TRAINING, read_tuned, tuned_entries
from experiments.cli.app import app
from experiments.commands.learning.tune import TUNING_SEED
from experiments.tuning import evolution
from experiments.tuning.distribution import Distribution, draw_distribution, parse_suites, training_suites

SMALL = ("tuned-rule", "--suite", "stationary", "--count", 8, "--trials", 9)


def run(*arguments):
    return CliRunner().invoke(app, ["tune", *map(str, arguments)])


def test_suites_have_the_weights_that_the_text_says_and_without_any_those_of_training():
    assert parse_suites(["mixed=2", "phases"]) == {"mixed": 2.0, "phases": 1.0}
    assert parse_suites(None) == parse_suites([]) == training_suites()
    for text in ("mixed=two", "mixed=0", "mixed=-1", "mixed=nan", "mixed=inf"):
        with pytest.raises(BadInputError, match=text):
            parse_suites([text])


def test_the_shipped_opponent_was_tuned_on_what_the_shipped_policy_is_trained_on():
    assert all(entry.suites == training_suites() for entry in tuned_entries("tuned-rule", TRAINING))


def test_a_distribution_has_so_many_scenarios_of_each_suite_and_all_of_a_fixed_one():
    distribution = draw_distribution({"mixed": 1.5, "cover-letter": 2.0}, None, 4, 7)
    assert distribution.name == "mixed+cover-letter"
    assert distribution.suite_of == ("mixed",) * 6 + ("cover-letter",) * len(get_suite("cover-letter").scenarios())
    assert draw_distribution(training_suites(), None, 1, 7).name == "training"
    assert draw_distribution({"mixed": 1.0}, "mine", 1, 7).name == "mine"
    with pytest.raises(ValueError, match="'mixed'"):
        draw_distribution({"mixd": 1.0}, None, 1, 7)


def test_tuned_options_are_no_worse_than_the_defaults_and_the_file_says_how_they_came_about(tmp_path):
    out = tmp_path / "new" / "tuned.yaml"
    result = run(*SMALL, "--preference", 0.6, "--preference", 0.2, "--out", out)
    assert result.exit_code == 0, result.output
    entries = read_tuned(out)["tuned-rule"]["stationary"]
    assert [entry.preference for entry in entries] == [0.2, 0.6]
    for entry in entries:
        assert (entry.suites, entry.scenarios, entry.seed, entry.trials) == ({"stationary": 1.0}, 8, TUNING_SEED, 9)
        assert set(entry.options) == {"free_rounds", "quota_fraction", "working_set_threshold", "floor"}
        assert f"{entry.cost:.4f}" in result.stdout
    assert "default" in result.stdout
    assert [path.name for path in out.parent.iterdir()] == ["tuned.yaml"]


@pytest.mark.slow
def test_results_go_beside_what_the_file_holds_in_place_of_the_same(tmp_path):
    out = tmp_path / "tuned.yaml"
    for extra in (("--preference", 0.6), ("--preference", 0.2, "--name", "mine"), ("--preference", 0.2),
                  ("--preference", 0.2, "--trials", 5)):  # fmt: skip
        assert run(*SMALL, *extra, "--out", out).exit_code == 0
    content = read_tuned(out)["tuned-rule"]
    assert {name: [(one.preference, one.trials) for one in entries] for name, entries in content.items()} == {
        "stationary": [(0.2, 5), (0.6, 9)],
        "mine": [(0.2, 9)],
    }


@pytest.mark.slow
def test_an_interrupted_search_says_how_to_go_on_and_then_ends_like_one_that_was_not(tmp_path, monkeypatch):
    migrate, calls = Distribution.migrate, []

    def interrupted(self, throttle):
        calls.append(throttle)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return migrate(self, throttle)

    arguments = (*SMALL, "--preference", 0.2, "--out", tmp_path / "tuned.yaml")
    with monkeypatch.context() as patched:
        patched.setattr(Distribution, "migrate", interrupted)
        stopped = run(*arguments)
    assert stopped.exit_code == 130
    assert "--resume" in stopped.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".tuned.yaml.trials"]
    other = run(*arguments, "--resume", "--seed", 8)
    assert other.exit_code == 2
    assert "of another search" in other.stderr
    assert run(*arguments, "--resume").exit_code == 0
    assert run(*SMALL, "--preference", 0.2, "--out", tmp_path / "whole.yaml").exit_code == 0
    assert read_tuned(tmp_path / "tuned.yaml") == read_tuned(tmp_path / "whole.yaml")


def test_the_contextual_rule_is_tuned_into_a_file_of_its_own(tmp_path, monkeypatch):
    usual = evolution.Evolution
    monkeypatch.setattr(evolution, "Evolution", lambda *values: usual(*values, scenarios_per_weight=10, pairs=10))
    out = tmp_path / "network.yaml"
    result = run("contextual-rule", "--suite", "stationary", "--count", 8, "--trials", 2, "--preference", 0.2,
                 "--out", out)  # fmt: skip
    assert result.exit_code == 0, result.output
    content = read_contextual(out)
    assert content.steps == 2
    assert set(content.costs) == set(content.tuned_costs) == {0.2}
    assert f"{content.costs[0.2]:.4f}" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["network.yaml"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("tuned-rul",), "cannot tune 'tuned-rul' (did you mean 'tuned-rule'?)"),
        (("stop-and-copy",), "can: tuned-rule, contextual-rule, dirty-limit"),
        (("tuned-rule", "--suite", "mixd"), "'mixed'"),
        (("tuned-rule", "--suite", "mixed=lots"), "SUITE or SUITE=WEIGHT"),
        (("tuned-rule", "--seed", "0"), "evaluations draw their migrations with it"),
        (("tuned-rule", "--seed", "1000003"), "evaluations draw their migrations with it"),
        (("tuned-rule", "--preference", "0"), "preference"),
        (("tuned-rule", "--count", "1", "--resume"), "nothing to resume"),
        (("contextual-rule", "--count", "1", "--resume"), "nothing to resume"),
    ],
)
def test_bad_input_is_explained_and_leaves_nothing_behind(tmp_path, arguments, named):
    result = run(*arguments, "--out", tmp_path / "tuned.yaml")
    assert result.exit_code == 2
    assert named in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_something_else_is_not_overwritten(tmp_path):
    out = tmp_path / "notes.yaml"
    out.write_text("mine: 1")
    assert run(*SMALL, "--out", out).exit_code == 2
    assert out.read_text() == "mine: 1"
