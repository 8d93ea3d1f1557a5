"""Print what the base package and ``dqgym[train]`` weigh, and how long their imports and a first command take.

    python .ci/sizes.py [--folder FOLDER] [OPTION OF PIP...]

Builds the wheel and installs it twice, each in a virtual environment of its own: with torch this downloads some
hundred MB. FOLDER keeps both environments for the next time; else they are deleted.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
SOURCES = ("agents", "configs", "dqgym", "experiments", "pyproject.toml", "README.md", "LICENSE")
INSTALLS = {"dqgym": "", "dqgym[train]": "[train]"}
REPEATS = 5
LARGEST = 8
MB = 1e6
DECISION = """
import time
from dqgym.backends.model import ModelBackend
from dqgym.controller.bundle import read_bundle
from dqgym.controller.shipped import SHIPPED_BUNDLE
from dqgym.scenario.suites import get_suite

backend = ModelBackend()
telemetry = backend.start(get_suite("cover-letter").scenarios(1, seed=0), [0])
throttle = read_bundle(SHIPPED_BUNDLE).throttle(0.2)
throttle.reset(backend.facts)
throttle.act(telemetry)
"""
PROGRAMS = {
    "python -c pass": ("python", "-c", "pass"),
    "import dqgym": ("python", "-c", "import dqgym"),
    "import read_bundle": ("python", "-c", "from dqgym.controller.bundle import read_bundle"),
    "first decision": ("python", "-c", DECISION),
    "dqgym --help": ("dqgym", "--help"),
    "dqgym control default --scenario batch-job": ("dqgym", "control", "default", "--scenario", "batch-job"),
}
"""What is timed, as whole processes."""


def main() -> None:
    """Make both environments, measure, print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="keeps the two environments")
    arguments, pip_options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        wheel = build_wheel(Path(temporary))
        found = {name: measure(folder / name, f"{wheel}{extra}", pip_options) for name, extra in INSTALLS.items()}
    print_times(found)
    for name, (_, sizes) in found.items():
        print(f"\n{name}: {sum(sizes.values()):.0f} MB; the largest:")
        for package in sorted(sizes, key=sizes.get, reverse=True)[:LARGEST]:
            print(f"  {sizes[package]:6.1f} MB  {package}")


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout, built from a copy: building leaves files behind, and takes up what was left."""
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        path = CHECKOUT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source)
    run(
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "wheel",
        "--no-deps",
        "-w",
        folder,
        source,
    )
    (wheel,) = folder.glob("dqgym-*.whl")
    return wheel


def measure(folder: Path, requirement: str, pip_options: list[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of each program, and MB of each package that pip put there."""
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    pip = (folder / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", "--upgrade", "--force-reinstall", "--no-deps", requirement.partition("[")[0])
    run(*pip, "install", *pip_options, requirement)
    return {name: fastest_s(folder, program) for name, program in PROGRAMS.items()}, sizes_mb(folder)


def fastest_s(folder: Path, program: tuple[str, ...]) -> float:
    """The fastest of some runs; one before them fills caches (compiled kernels, byte code)."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        run(folder / "bin" / program[0], *program[1:], cwd=folder, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def sizes_mb(folder: Path) -> dict[str, float]:
    """MB of the files of each installed package, those of pip and setuptools left out."""
    script = """
import json, os
from importlib import metadata

sizes = {}
for package in metadata.distributions():
    files = {os.path.realpath(package.locate_file(file)) for file in package.files or ()}
    sizes[package.name] = sum(os.path.getsize(file) for file in files if os.path.exists(file))
print(json.dumps(sizes))
"""
    said = run(folder / "bin" / "python", "-c", script, cwd=folder, stdout=subprocess.PIPE).stdout
    return {name: size / MB for name, size in json.loads(said).items() if name not in ("pip", "setuptools")}


def print_times(found: dict[str, tuple[dict[str, float], dict[str, float]]]) -> None:
    """A table of Markdown: a row for the size and each program, a column for each installation."""
    print("| |", " | ".join(f"`{name}`" for name in found), "|")
    print("|---|", "|".join("---:" for _ in found), "|", sep="")
    print("| installed |", " | ".join(f"{sum(sizes.values()):.0f} MB" for _, sizes in found.values()), "|")
    for program in PROGRAMS:
        print(f"| `{program}` |", " | ".join(f"{1000 * times[program]:.0f} ms" for times, _ in found.values()), "|")


def run(*command: object, **options: object) -> subprocess.CompletedProcess:
    """Run a command that must succeed."""
    return subprocess.run([*map(str, command)], check=True, text=True, **options)


if __name__ == "__main__":
    main()
