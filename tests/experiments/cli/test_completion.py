"""The shells' side of completion: what they ask the command for."""

import json
import os
import subprocess
import sys

import pytest

from experiments.cli.completion import OF_COMMANDS, OF_PARAMETERS

HEAVY = ("torch", "numba", "matplotlib", "stable_baselines3", "onnxruntime", "scipy")
SCRIPT = f"""
import atexit, json, sys
atexit.register(lambda: print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]), file=sys.stderr))
from experiments.cli.entry import main
sys.argv = ["dqgym"]
main()
"""


def asked(**environment):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    *said, heavy = result.stderr.splitlines()
    assert said == []
    assert json.loads(heavy) == []
    return result.stdout


def in_bash(line):
    words = line.split(" ")
    return asked(_DQGYM_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)).split()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "among"),
    [
        ("dqgym ev", {"evaluate"}),
        ("dqgym evaluate --su", {"--suite", "--survey"}),
        ("dqgym evaluate --suite ", {"mixed", "cover-letter", "phases"}),
        ("dqgym evaluate runs/first tuned", {"tuned-rule"}),
        ("dqgym evaluate --backend ", {"model", "reference", "kvm"}),
        ("dqgym train q", {"quickstart"}),
        ("dqgym simulate str", {"streaming"}),
        ("dqgym simulate streaming --throttle dirty", {"dirty-limit", "dirty-quota"}),
        ("dqgym control def", {"default"}),
        ("dqgym configs s", {"sac-mlp", "streaming"}),
        ("dqgym bench ", {"env", "train", "policy"}),
        ("dqgym bench env --v", {"--vcpus"}),
    ],
)
def test_bash_completes_commands_options_and_names(line, among):
    completed = in_bash(line)
    assert among <= set(completed)
    assert all(one.startswith(line.split(" ")[-1]) for one in completed)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["dqgym evaluate ./mine", "dqgym simulate --trace ", "dqgym evaluate --count "])
def test_files_and_numbers_are_left_to_the_shell(line):
    assert in_bash(line) == []


@pytest.mark.slow
def test_zsh_and_fish_complete_too():
    assert "tuned-rule" in asked(_DQGYM_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="dqgym compare tuned")
    fish = {"_DQGYM_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": "dqgym compare tuned"}
    assert asked(**fish, _TYPER_COMPLETE_FISH_ACTION="get-args", _TYPER_COMPLETE_WORD_TO_COMPLETE="tuned").startswith(
        "tuned-rule"
    )


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell):
    script = asked(_DQGYM_COMPLETE=f"source_{shell}")
    assert "_DQGYM_COMPLETE" in script
    assert "dqgym" in script


def test_names_are_completed_of_parameters_that_there_are():
    from experiments.cli.app import COMMANDS

    commands = {name: entry.load() for name, entry in COMMANDS.items()}
    own = {(name, one.name) for name, command in commands.items() for one in command.params}
    assert {name for _, name in own} >= OF_PARAMETERS.keys()
    assert own >= OF_COMMANDS.keys()
    for names in (*OF_PARAMETERS.values(), *OF_COMMANDS.values()):
        assert list(names())
