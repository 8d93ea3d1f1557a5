import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dqgym.errors import BadInputError
from experiments.cli.app import COMMANDS, app
from experiments.extras import MODULES, missing_module, require_extra

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
LIGHT = f"""
import sys

class Hide:
    hidden = {sorted(module for modules in MODULES.values() for module in modules)} + ["llvmlite"]

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.hidden:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hide())
"""
"""A process in which no extra is installed."""
OWN_LOOP = """
from dqgym.backends.model import ModelBackend
from dqgym.controller.bundle import read_bundle
from dqgym.controller.guard import Guard, GuardOptions
from dqgym.controller.loop import run_migrations
from dqgym.controller.shipped import SHIPPED_BUNDLE
from dqgym.scenario.suites import get_suite
from dqgym.throttles.registry import make_throttle

policy = read_bundle(SHIPPED_BUNDLE).throttle(0.2)
guard = Guard(policy, make_throttle("dirty-quota"), GuardOptions())
print(run_migrations(ModelBackend(), get_suite("cover-letter").scenarios(1, seed=0), guard, [0]).converged.all())
"""
COMMAND_LINE = """
from experiments.cli.entry import main

sys.argv = ["dqgym", *sys.argv[1:]]
main()
"""
WORK = {
    "suites": ["suites"],
    "throttles": ["throttles"],
    "configs": ["configs"],
    "control": ["control", "default", "--scenario", "batch-job"],
    "simulate": ["simulate", "batch-job"],
    "show-config": ["train", "quickstart", "--show-config"],
    "version": ["--version"],
}
NEED_MORE = {
    "train": ["train", "quickstart", "--run-dir", "run"],
    "evaluate": ["evaluate", "default", "--suite", "streaming", "--count", "1"],
    "tune": ["tune", "tuned-rule"],
    "tune a contextual rule": ["tune", "contextual-rule"],
    "export": ["export", "nowhere"],
    "bench env": ["bench", "env"],
    "bench train": ["bench", "train"],
    "bench policy": ["bench", "policy"],
    "calibrate": ["calibrate"],
    "picture": ["simulate", "batch-job", "--plot", "line.png"],
    "picture of a real migration": ["migrate", "batch-job", "--plot", "line.png"],
}


def lightly(script, *arguments, cwd):
    """Run a script where no extra is installed."""
    path = f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
    return subprocess.run(
        [sys.executable, "-c", LIGHT + path + script, *arguments], cwd=cwd, capture_output=True, text=True
    )


@pytest.fixture
def without(monkeypatch):
    """Hide modules from those who look for them."""

    def hide(*names):
        find = importlib.util.find_spec
        monkeypatch.setattr(
            "dqgym.installed.find_spec", lambda name, *rest: None if name in names else find(name, *rest)
        )

    return hide


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        (["tune", "tuned-rule"], "optuna", "tune"),
        (["export", "nowhere"], "onnx", "export"),
        (["bench", "policy"], "onnx", "export"),
        (["train", "quickstart"], "torch", "train"),
    ],
)
def test_a_missing_package_is_told_before_any_work_with_what_pip_is_to_install(without, arguments, missing, extra):
    without(missing)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    remedy = rf"\S+ -m pip install 'dqgym\[{extra}\]'"
    said = rf"error: dqgym [a-z ]+ needs {missing}, not installed here; install with: {remedy}"
    assert re.fullmatch(said, result.stderr.strip())


def test_help_needs_no_extra(without):
    without("optuna", "onnx")
    assert CliRunner().invoke(app, ["tune", "--help"]).exit_code == 0
    assert CliRunner().invoke(app, ["export", "--help"]).exit_code == 0


def test_nothing_is_raised_where_all_is_installed():
    for extra in MODULES:
        require_extra(extra, "the test")


def test_all_that_is_missing_is_named_at_once(without):
    without("numba", "torch")
    with pytest.raises(BadInputError, match="needs numba and torch, not installed"):
        require_extra("train", "dqgym train")


def test_an_import_that_failed_for_another_reason_is_no_missing_extra():
    assert missing_module(ModuleNotFoundError("No module named 'typo'", name="typo")) is None
    assert missing_module(ImportError("cannot import name 'x' from 'torch'", name="torch")) is None
    assert "dqgym[train]" in str(missing_module(ModuleNotFoundError("No module", name="torch.nn")))


@pytest.mark.parametrize("extra", sorted(MODULES))
def test_the_modules_are_those_of_the_project_file(extra):
    declared = {re.split(r"[<>=]", requirement)[0] for requirement in PROJECT["optional-dependencies"][extra]}
    assert declared - {"dqgym[train]"} == {module.replace("_", "-") for module in MODULES[extra]}
    assert ("dqgym[train]" in declared) == (extra in ("export", "tune"))


def test_the_base_has_nothing_of_an_extra():
    base = {re.split(r"[<>=]", requirement)[0] for requirement in PROJECT["dependencies"]}
    assert base == {"numpy", "onnxruntime", "pydantic", "pyyaml", "rich", "typer"}


@pytest.mark.slow
def test_a_bundle_is_run_behind_its_guard_without_any_extra(tmp_path):
    result = lightly(OWN_LOOP, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "True"


@pytest.mark.slow
@pytest.mark.parametrize("name", WORK)
def test_commands_of_the_base_need_no_extra(name, tmp_path):
    result = lightly(COMMAND_LINE, *WORK[name], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", NEED_MORE)
def test_other_commands_say_in_one_line_what_to_install_before_they_write_anything(name, tmp_path):
    result = lightly(COMMAND_LINE, *NEED_MORE[name], cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    said = r"error: .* needs [\w, ]+, not installed here; install with: \S+ -m pip install 'dqgym\[\w+\]'"
    assert re.fullmatch(said, result.stderr.strip())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_every_command_has_its_help_without_any_extra(tmp_path):
    script = f"""
import json
from typer.testing import CliRunner
from experiments.cli.app import app
print(json.dumps([CliRunner().invoke(app, [name, "--help"]).exit_code for name in {list(COMMANDS)!r}]))
"""
    result = lightly(script, cwd=tmp_path)
    assert json.loads(result.stdout) == [0] * len(COMMANDS)
