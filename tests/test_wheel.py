"""The wheel where users have it: installed outside of the checkout, in folders that cannot be written to."""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
SOURCES = ("agents", "configs", "dqgym", "experiments")
PLAIN = {"NUMBA_DISABLE_JIT": "1"}
"""For a few steps, compiling takes longer than it saves; that kernels are compiled here has a test of its own."""
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
TINY = (
    *("--set", "training={frames: 64, checkpoint_every: 64, evaluate_every: 64}"),
    *("--set", "environment={suites: {mixed: 1}, n_envs: 8, pool_size: 8, max_vcpus: 8}"),
    *("--set", "evaluation={suites: [mixed], count: 2, preferences: [0.2]}"),
    *("--set", "algorithm={kind: ppo, n_steps: 8, batch_size: 32, policy: {kind: per-vcpu, width: 8}}"),
)


def heed_modes() -> None:
    """Make root obey the modes of files, as everybody else does; for the process that is about to start."""
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "root cannot be made to obey the modes of files")


def set_writable(folder: Path, writable: bool) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o200 if writable else mode & ~0o222)


class Installation:
    """A virtual environment that holds dqgym from a wheel, a home directory, and a folder to work in.

    Only the last one, and the folder of temporary files, can be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.venv, self.home, self.temporary = (folder / name for name in ("venv", "home", "temporary"))
        self.work = folder / "work"
        for path in (self.home, self.temporary, self.work):
            path.mkdir()

    def run(self, program: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "NUMBA_CACHE", "XDG"))}
        return subprocess.run(
            [self.venv / "bin" / program, *map(str, arguments)],
            cwd=self.work,
            env={**kept, "HOME": str(self.home), "TMPDIR": str(self.temporary), **variables},
            capture_output=True,
            text=True,
            preexec_fn=heed_modes,
        )

    def dqgym(self, *arguments: object, **variables: str) -> str:
        """Standard output of a command that must succeed."""
        result = self.run("dqgym", *arguments, **variables)
        assert result.returncode == 0, result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy: building leaves files behind, and takes up what was left before
    for name in SOURCES:
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    alone = ("--no-deps", "--no-index")
    subprocess.run([*pip, "wheel", *alone, "--no-build-isolation", "-w", folder, source], check=True)
    (wheel,) = folder.glob("dqgym-*.whl")
    installed = Installation(folder)
    venv.create(installed.venv, symlinks=True)
    python = installed.venv / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", *alone, wheel], check=True)
    (site_packages,) = installed.venv.glob("lib/python*/site-packages")
    # What dqgym needs is that of the running environment; .pth files of other folders do not count, so that none of
    # them leads to the checkout.
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site_packages / "dependencies.pth").write_text("\n".join(others) + "\n")
    for path in (installed.venv, installed.home):
        set_writable(path, False)
    yield installed
    for path in (installed.venv, installed.home):
        set_writable(path, True)


@pytest.fixture(scope="module")
def run(installation):
    """A run directory, trained from a config that the wheel holds."""
    installation.dqgym("train", "quickstart", *TINY, "--run-dir", "run", "--json", **PLAIN)
    return "run"


@pytest.mark.slow
def test_it_is_installed_outside_of_the_checkout_where_nothing_can_be_written(installation):
    script = (
        "import dqgym, experiments, pathlib, sys\n"
        "print(dqgym.__file__, experiments.__file__)\n"
        "for folder in (pathlib.Path(dqgym.__file__).parent, pathlib.Path.home()):\n"
        "    try: (folder / 'new').write_text('')\n"
        "    except PermissionError: print('refused')"
    )
    result = installation.run("python", "-c", script)
    assert result.stderr == ""
    places, *refused = result.stdout.splitlines()
    assert all(Path(place).is_relative_to(installation.venv) for place in places.split())
    assert refused == ["refused", "refused"]


@pytest.mark.slow
def test_the_base_requires_what_a_controller_needs_and_all_else_is_an_extra(installation):
    required = json.loads(
        installation.run(
            "python", "-c", "import json; from importlib import metadata; print(json.dumps(metadata.requires('dqgym')))"
        ).stdout
    )
    base = {re.split("[<>=;]", one)[0] for one in required if "extra ==" not in one}
    assert base == {"numpy", "onnxruntime", "pydantic", "pyyaml", "rich", "typer"}
    train = {re.split("[<>=;]", one)[0] for one in required if re.search("extra == .train.", one)}
    assert {"torch", "stable-baselines3", "gymnasium", "numba"} <= train


@pytest.mark.slow
def test_commands_that_need_no_kernel(installation):
    assert "simulate" in installation.dqgym("--help")
    assert "cover-letter" in installation.dqgym("suites")
    listed = json.loads(installation.dqgym("configs", "--json"))
    assert {"quickstart", "batch-job"} <= {one["name"] for one in listed}
    assert all(Path(one["path"]).is_relative_to(installation.venv) for one in listed)


@pytest.mark.slow
def test_a_policy_is_trained_exported_run_and_compared(installation, run):
    assert json.loads(installation.dqgym("export", run, "--observations", 8, "--json", **PLAIN))["name"] == "quickstart"
    controlled = json.loads(
        installation.dqgym("control", f"{run}/bundle", "--scenario", "batch-job", "--json", **PLAIN)
    )
    assert [one["scenario"] for one in controlled["migrations"]] == ["batch-job"]
    evaluate = ("evaluate", run, "dirty-quota", "--no-baselines", "--suite", "streaming", "--count", 1)
    installation.dqgym(*evaluate, "--preference", 0.2, "--out", "report", **PLAIN)
    assert (installation.work / "report" / "results.json").is_file()


@pytest.mark.slow
def test_kernels_are_compiled_once_though_neither_package_nor_home_can_keep_them(installation):
    assert json.loads(installation.dqgym("simulate", "batch-job", "--json"))["scenario"] == "batch-job"
    kept = {path: path.stat().st_mtime_ns for path in installation.temporary.rglob("*.nb?")}
    assert kept
    installation.dqgym("simulate", "batch-job", "--json")
    assert {path: path.stat().st_mtime_ns for path in installation.temporary.rglob("*.nb?")} == kept
