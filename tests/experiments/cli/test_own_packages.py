"""Other packages of our names, in the folder in which Python was started and in the same environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]


def dqgym(folder: Path, *path: Path) -> subprocess.CompletedProcess:
    """`dqgym suites` as `python -m`, started in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "experiments.cli.entry", "suites"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def foreign(tmp_path):
    """A folder with a package of a given name, as a user or another distribution has it."""

    def make(name: str) -> Path:
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").write_text("raise SystemExit('a foreign package was imported')")
        return tmp_path

    return make


@pytest.mark.slow
@pytest.mark.parametrize("name", ["agents", "dqgym"])
def test_a_package_that_comes_before_ours_is_named_in_one_message(foreign, name):
    folder = foreign(name)
    result = dqgym(folder, CHECKOUT)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"error: dqgym needs its own package {name!r} in {CHECKOUT}, but Python finds")
    assert str(folder / name) in result.stderr


@pytest.mark.slow
def test_an_installed_package_that_comes_before_ours_is_named_too(foreign, tmp_path_factory):
    result = dqgym(tmp_path_factory.mktemp("elsewhere"), foreign("agents"), CHECKOUT)
    assert result.returncode == 2
    assert "needs its own package 'agents'" in result.stderr


@pytest.mark.slow
def test_folders_that_are_no_packages_do_no_harm(tmp_path):
    for name in ("agents", "configs", "dqgym"):  # the folder that holds a checkout has one called dqgym
        (tmp_path / name).mkdir()
    result = dqgym(tmp_path, CHECKOUT)
    assert result.returncode == 0
    assert "cover-letter" in result.stdout


@pytest.mark.slow
def test_a_distribution_with_a_package_agents_can_be_installed_over_ours_and_below(tmp_path):
    """As `openai-agents` is: its files and ours lie in one folder, whichever came last."""
    assert not (CHECKOUT / "agents" / "__init__.py").exists()  # ours would take the place of theirs
    for name in ("agents", "dqgym", "experiments"):
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "agents" / "__init__.py").write_text("from agents.theirs import Agent\n")
    (tmp_path / "agents" / "theirs.py").write_text("class Agent: pass\n")
    script = (
        "import agents, agents.config; from experiments.cli.own_packages import shadowed;"
        "print(shadowed(), agents.Agent.__module__, agents.config.__file__)"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert result.stderr == ""
    assert result.stdout.split() == ["None", "agents.theirs", str(tmp_path / "agents" / "config.py")]
