import ast
import json
import os
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from dqgym.errors import BadInputError, RunFailedError, RunInterruptedError
from experiments.cli import app as cli
from experiments.cli.app import COMMANDS, PANELS, app

HEAVY = ("torch", "numba", "matplotlib", "stable_baselines3", "onnxruntime", "scipy")
HELP_PAGES = [[], *([name] for name in COMMANDS), ["bench", "env"], ["bench", "train"], ["bench", "policy"]]


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def failing(monkeypatch):
    """Make ``dqgym suites`` raise a given error."""

    def install(error: BaseException) -> None:
        def suites_command() -> None:
            raise error

        holder = type("Module", (), {"suites_command": staticmethod(suites_command)})
        monkeypatch.setattr(cli, "import_module", lambda _: holder)

    return install


@pytest.mark.slow
def test_help_of_every_command_loads_no_heavy_library():
    script = f"""
import json, sys
from typer.testing import CliRunner
from experiments.cli.app import app
loaded = {{}}
for page in {HELP_PAGES!r}:
    result = CliRunner().invoke(app, [*page, "--help"])
    loaded[" ".join(page)] = [result.exit_code, [name for name in {HEAVY!r} if name in sys.modules]]
print(json.dumps(loaded))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == {" ".join(page): [0, []] for page in HELP_PAGES}


def test_help_lists_every_command_and_the_exit_codes():
    result = run("--help")
    assert result.exit_code == 0
    for name, entry in COMMANDS.items():
        assert name in result.stdout
        assert entry.summary in result.stdout
    assert "130 interrupted (Ctrl-C), 143 terminated" in " ".join(result.stdout.split())


def test_help_lists_commands_by_what_a_user_wants_to_do():
    panels = dict(re.findall(r"\u256d\u2500 (.+?) \u2500+\u256e\n(.+?)\u2570", run("--help").stdout, re.DOTALL))
    listed = {
        name: panel for panel, lines in panels.items() for name in re.findall(r"^\u2502 (\w+)", lines, re.MULTILINE)
    }
    assert listed.keys() == COMMANDS.keys()
    assert [listed[name] for name in ("train", "evaluate", "simulate", "throttles")] == list(PANELS.values())


@pytest.mark.parametrize("page", [[], ["suites"], ["bench"], ["bench", "env"]])
def test_h_is_short_for_help(page):
    assert run(*page, "-h").stdout == run(*page, "--help").stdout != ""


def test_help_alone_imports_no_command():
    script = (
        "import sys; from typer.testing import CliRunner; from experiments.cli.app import app;"
        "CliRunner().invoke(app, ['--help']);"
        "print(sorted(name for name in sys.modules if name.startswith(('experiments.', 'dqgym', 'numpy', 'gym'))))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = ast.literal_eval(result.stdout)
    assert [name for name in loaded if not name.startswith("experiments.cli")] == ["experiments.errors"]


def test_version_is_that_of_the_package():
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("dqgym 0.")


def test_an_unknown_command_is_told_the_nearest_one():
    result = run("trian")
    assert result.exit_code == 2
    assert "'train'" in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (BadInputError("memory: -1 is negative"), 2, "error: memory: -1 is negative"),
        (RunFailedError("no progress"), 1, "error: no progress"),
        (RunInterruptedError("go on with: dqgym train"), 130, "interrupted: go on with: dqgym train"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_expected_error_is_one_message_and_an_exit_code(failing, error, code, shown):
    failing(error)
    result = run("suites")
    assert result.exit_code == code
    assert result.stderr.strip() == shown
    assert result.stdout == ""


def test_a_library_that_fails_because_it_was_interrupted_counts_as_interrupted(failing):
    error = RuntimeError("cannot wind up")
    error.__context__ = ValueError("bad state")
    error.__context__.__context__ = KeyboardInterrupt()
    failing(error)
    result = run("suites")
    assert result.exit_code == 130
    assert result.stderr.strip() == "interrupted"


def test_debug_shows_where_an_error_came_from(failing):
    error = BadInputError("memory: -1 is negative")
    failing(error)
    result = run("--debug", "suites")
    assert result.exit_code == 1
    assert result.exception is error


@pytest.mark.parametrize(
    "error", [TypeError("a bug"), ValueError("a bug"), FileNotFoundError(2, "a bug"), RuntimeError("a bug")]
)
def test_a_bug_keeps_its_traceback(failing, error):
    failing(error)
    result = run("suites")
    assert result.exception is error
    assert result.exit_code == 1


def test_wrong_usage_and_asked_for_exit_codes_pass_through(failing):
    assert run("suites", "--no-such-option").exit_code == 2
    failing(typer.Exit(1))
    assert run("suites").exit_code == 1


@pytest.mark.slow
def test_a_reader_that_stops_reading_ends_the_command_without_a_word():
    script = "from experiments.cli.entry import main; import sys; sys.argv = ['dqgym', 'suites']; main()"
    readable, writable = os.pipe()
    os.close(readable)
    with os.fdopen(writable, "wb") as unread:
        result = subprocess.run([sys.executable, "-c", script], stdout=unread, stderr=subprocess.PIPE, check=False)
    assert result.stderr == b""
    assert result.returncode == 1
