import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dqgym.errors import BadInputError
from experiments.cli.app import app
from experiments.extras import MODULES, require_extra, requirements

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


@pytest.fixture
def without(monkeypatch):
    """Hide modules from those who look for them."""

    def hide(*names):
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *rest: None if name in names else find(name, *rest)
        )

    return hide


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["tune", "tuned-rule"], "optuna"),
        (["export", "nowhere"], "onnxscript"),
        (["export", "nowhere"], "onnx"),
        (["bench", "policy"], "onnx"),
    ],
)
def test_a_missing_package_is_told_before_any_work_with_what_pip_is_to_install(without, arguments, missing):
    without(missing)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    remedy = rf"\S+ -m pip install '{missing}[<>=]\S+'"
    said = rf"error: dqgym [a-z ]+ needs {missing}, not installed here; install with: {remedy}"
    assert re.fullmatch(said, result.stderr.strip())


def test_help_needs_no_extra(without):
    without("optuna", "onnx", "onnxscript")
    assert CliRunner().invoke(app, ["tune", "--help"]).exit_code == 0
    assert CliRunner().invoke(app, ["export", "--help"]).exit_code == 0


def test_nothing_is_raised_where_all_is_installed():
    for extra in MODULES:
        require_extra(extra, "the test")


def test_all_that_is_missing_is_named_at_once(without):
    without("onnx", "onnxscript")
    with pytest.raises(BadInputError, match="needs onnx and onnxscript") as error:
        require_extra("export", "dqgym export")
    assert len(re.findall(r"'onnx(?:script)?[<>=]", str(error.value))) == 2


@pytest.mark.parametrize("extra", sorted(MODULES))
def test_the_modules_are_those_of_the_project_file(extra):
    declared = {re.split(r"[<>=]", requirement)[0] for requirement in PROJECT["optional-dependencies"][extra]}
    assert declared == set(MODULES[extra]) == set(requirements(extra))
