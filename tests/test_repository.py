"""The files around the code name what is there: versions, programs, scripts."""

import os
import re
import tomllib
from pathlib import Path

import yaml

from experiments.cli.app import COMMANDS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(path: str) -> dict:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_citation_has_version_and_licence_of_the_project():
    citation = read("CITATION.cff")
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


def test_the_hooks_run_tools_that_set_up_installs():
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    programs = [Path(hook["entry"].split()[0]) for hook in repository["hooks"]]
    installed = {re.split(r"[\[>=<]", requirement)[0] for requirement in PROJECT["optional-dependencies"]["dev"]}
    assert {program.parent for program in programs} == {Path(".venv/bin")}
    assert {program.name for program in programs} == {"ruff", "mypy"} <= installed


def test_the_workflow_runs_the_script_that_is_there():
    workflow = read(".github/workflows/checks.yml")
    (script,) = [step["run"] for step in workflow["jobs"]["all"]["steps"] if "run" in step]
    assert os.access(ROOT / script, os.X_OK)


def test_each_form_asks_for_something_in_fields_of_different_names():
    forms = [path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(forms) == 2
    for path in forms:
        fields = [field["id"] for field in read(str(path.relative_to(ROOT)))["body"]]
        assert len(set(fields)) == len(fields) > 0


def test_the_changelog_lists_every_command():
    (listed,) = re.findall(r"The command `dqgym`: (.*?)\.\n", (ROOT / "CHANGELOG.md").read_text(), re.DOTALL)
    assert set(re.findall(r"`(\w+)`", listed)) == set(COMMANDS)
