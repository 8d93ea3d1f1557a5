"""What holds for the help of every command: words instead of types, examples that are right, names to complete."""

import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from dqgym.scenario.suites import get_suite
from experiments.cli.app import COMMANDS, app
from experiments.cli.examples import EXAMPLES
from experiments.evaluation.scenario_sources import find_scenario
from experiments.named_files import SCENARIOS, TRAINING_CONFIGS

PAGES = [*([name] for name in COMMANDS), ["bench", "env"], ["bench", "train"], ["bench", "policy"]]
TYPES = re.compile(r"<\w+|list\[|\b(TEXT|INTEGER|FLOAT|BOOLEAN|DIRECTORY|bool|str|int range)\b")


def command_of(words):
    """The command that words name."""
    command = typer.main.get_command(app)
    for word in words:
        context = command.make_context("dqgym", [word], resilient_parsing=True)
        command = command.resolve_command(context, [word])[1]
    return command


def parameters_of(page):
    command = command_of(page)
    return command.get_params(command.context_class(command, info_name=page[-1]))


def shown(page, width, monkeypatch):
    monkeypatch.setenv("TERMINAL_WIDTH", str(width))
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", width)
    result = CliRunner().invoke(app, [*page, "--help"])
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("page", [[], *PAGES], ids=" ".join)
def test_help_says_what_is_wanted_and_no_types(page, monkeypatch):
    text = shown(page, 160, monkeypatch).replace("<name>-<seed>-<time>", "").replace("<time>", "")
    assert TYPES.search(text) is None


@pytest.mark.parametrize("page", PAGES, ids=" ".join)
@pytest.mark.parametrize("width", [80, 120])
def test_help_fits_into_the_width(page, width, monkeypatch):
    assert max(map(len, shown(page, width, monkeypatch).splitlines())) <= width


@pytest.mark.parametrize("page", PAGES, ids=" ".join)
def test_what_may_be_repeated_says_so_and_a_switch_wants_nothing(page):
    for one in parameters_of(page):
        if getattr(one, "multiple", False):
            assert "repeat for more" in one.help.lower(), one.name
        assert (one.metavar == "") == bool(getattr(one, "is_flag", False)), one.name


def test_every_command_has_one_to_three_examples():
    assert EXAMPLES.keys() == {" ".join(page) for page in PAGES}
    assert {len(examples) for examples in EXAMPLES.values()} <= {1, 2, 3}


@pytest.mark.parametrize("page", PAGES, ids=" ".join)
def test_examples_end_the_help_in_lines_that_can_be_copied(page, monkeypatch):
    text = shown(page, 80, monkeypatch)
    lines = [line.strip() for line in text.partition("Examples:")[2].splitlines()]
    assert [line for line in lines if line] == list(EXAMPLES[" ".join(page)])


@pytest.mark.parametrize("example", [one for examples in EXAMPLES.values() for one in examples])
def test_every_example_is_understood(example):
    program, *words = shlex.split(example.partition(" > ")[0])
    assert program == "dqgym"
    depth = 2 if words[0] == "bench" else 1
    command = command_of(words[:depth])
    command.make_context(words[depth - 1], words[depth:])


def test_what_examples_name_is_there():
    said = " ".join(one for examples in EXAMPLES.values() for one in examples)
    for name in re.findall(r"\b[a-z-]+:row-\d+|kvm-lab:[a-z-]+", said):
        assert find_scenario(name)
    for name in re.findall(r"--suite ([a-z-]+)", said):
        assert get_suite(name)
    for name in re.findall(r"simulate ([a-z]+) ", said):
        assert SCENARIOS.find(name)
    for name in re.findall(r"train ([a-z][a-z-]+)", said):
        assert name == "train" or TRAINING_CONFIGS.find(name)


@pytest.mark.parametrize(
    "example", ["dqgym simulate streaming --thrttle none", "dqgym evaluate --count none", "dqgym bench env --vcpus 65"]
)
def test_an_example_that_is_wrong_is_found(example):
    with pytest.raises(Exception, match=r"--thrttle|whole number|at most 64"):
        test_every_example_is_understood(example)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("evaluate --count none", "'--count': none must be a whole number"),
        ("evaluate --count 0", "'--count': 0 must be at least 1"),
        ("evaluate --preference 1 --preference x", "'--preference': x must be a number"),
        ("bench env --vcpus 65", "'--vcpus': 65 must be at most 64"),
        ("bench env --sample-s 0", "'--sample-s': 0 must be at least 0.001"),
        ("evaluate --out README.md", "'--out': dir 'README.md' is a file"),
        ("evaluate --suite", "'--suite' requires an argument"),
        ("evaluate --sute x", "No such option: --sute (Possible options: --out, --suite, --survey)"),
        ("compare a b --json=1", "'--json' does not take a value"),
        ("compare a", "Missing argument 'B'"),
        ("results page.md", "Missing option '--from'"),
        ("bench env extra", "unexpected extra argument"),
        ("simulate streaming --preference inf", "'--preference': inf must be a finite number"),
        ("evaluate --preference 1 --preference -inf", "'--preference': -inf must be at least 0"),
        ("compare a b --preference inf", "'--preference': inf must be a finite number"),
        ("suits", "No such command 'suits'"),
        ("bench polcy", "No such command 'polcy'"),
    ],
)
def test_wrong_uses_are_told_with_the_option_the_value_and_what_is_allowed(words, said, monkeypatch):
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 160)
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("\u2502", " ").split())
