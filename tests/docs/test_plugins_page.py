"""docs/plugins.md: its files are saved as a reader saves them, and its commands run there, section by section."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import torch
from torch import nn

from dqgym.telemetry.encoder import observation_size
from tests.docs.commands import BIN
from tests.docs.pages import Block, read_page
from tests.docs.runner import ROOT

PAGE = ROOT / "docs" / "plugins.md"
BLOCKS = read_page("docs/plugins.md", PAGE.read_text(encoding="utf-8")).blocks()
SLOTS = 4


def saved(folder: Path) -> None:
    """Save every file of the page, and install its entry points by hand."""
    for block in BLOCKS:
        if block.language == "python":
            name, _, text = block.text.partition("\n")
            (folder / name.removeprefix("# ")).write_text(text, encoding="utf-8")
    (toml,) = [block.text for block in BLOCKS if block.language == "toml"]
    install(folder / "installed", "my-plugins", tomllib.loads(toml)["project"]["entry-points"])


def install(folder: Path, distribution: str, groups: dict[str, dict[str, str]]) -> None:
    """What pip leaves of a distribution without modules, in a folder that is to be on the path."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in one.items()) for group, one in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


def run(command: str, folder: Path, *path: Path) -> str:
    """What a command prints; it must succeed."""
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "COLUMNS": "200",
        "MPLBACKEND": "Agg",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def commands(heading: str) -> list[str]:
    """Those of a section."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    begin = lines.index(f"## {heading}")
    end = next((at for at in range(begin + 1, len(lines)) if lines[at].startswith("## ")), len(lines))
    own: list[Block] = [block for block in BLOCKS if block.language == "" and begin < block.line <= end]
    return [command for block in own for command in block.text.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reader")
    saved(path)
    return path


@pytest.mark.slow
def test_an_own_throttle_stands_in_a_report_beside_the_baselines(folder):
    describe, evaluate = commands("A throttle")
    assert re.search(r"my_throttles:FixedCap +run_share +0\.3 .*of the time, for every vCPU", run(describe, folder))
    report = run(evaluate, folder)
    assert "my_throttles:FixedCap:run_share=0.5" in report
    assert "dirty-quota" in report
    assert "my_throttles:FixedCap" in (folder / "results" / "fixed-cap" / "report.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_own_throttle_is_registered_and_run_from_python(folder):
    quota, cap, looser = run("python compare_caps.py", folder).splitlines()
    runtimes = [int(re.search(r"(\d+)%", line)[1]) for line in (cap, looser)]
    assert quota.startswith("dirty-quota")
    assert runtimes[0] == 30
    assert runtimes[0] < runtimes[1] <= 50


@pytest.mark.slow
def test_an_own_suite_with_an_own_pattern_is_listed_compared_and_simulated(folder):
    listed, compared, simulated = (run(command, folder) for command in commands("A suite and a workload pattern"))
    assert "4 x my_suites:COUNTERS" in listed
    assert "my_throttles:FixedCap costs" in compared or "No difference" in compared
    assert "converged" in simulated


@pytest.mark.slow
def test_an_own_backend_runs_migrations(folder):
    (command,) = commands("A backend")
    assert re.search(r"\d+ decisions", run(command, folder))


@pytest.mark.slow
def test_what_a_distribution_installs_is_known_by_name_on_the_command_line(folder):
    throttles, suites, evaluate = commands("Names for what is installed")
    installed = (folder, folder / "installed")
    assert "Every vCPU runs a fixed share of the time." in run(throttles, folder, *installed)
    assert "1-gigabit" in run(suites, folder, *installed)
    assert "fixed-cap:run_share=0.5" in run(evaluate, folder, *installed)


@pytest.mark.slow
def test_a_policy_of_stable_baselines3_is_evaluated_exported_and_controls_migrations(folder):
    train, evaluate, export, control = commands("A policy of Stable-Baselines3")
    run(train, folder)
    assert "my_ppo" in run(evaluate, folder)
    assert "my_ppo-bundle" in run(export, folder)
    assert re.search(r"mixed-0-3 +yes", run(control, folder))


@pytest.mark.slow
def test_a_checkpoint_of_cleanrl_is_compared_and_exported(folder):
    actor = nn.Sequential(nn.Linear(observation_size(SLOTS), 64), nn.Tanh(), nn.Linear(64, SLOTS))
    torch.save(actor.state_dict(), folder / "actor.pt")
    compare, export = commands("A policy of another library")
    assert "A = my_policies:CleanRlPolicy" in run(compare, folder)
    assert "1 .. 4 vCPUs" in run(export, folder)
