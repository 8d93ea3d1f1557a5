"""docs/extending.md: its code is put into copies of the checkout, its commands run there, its places are counted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dqgym.jit.compile import _STAMP
from tests.docs.pages import Block, read_page
from tests.docs.runner import ROOT

PAGE = ROOT / "docs" / "extending.md"
PACKAGES = ("dqgym", "agents", "experiments", "configs")
FEATURE = "an observation feature"
"""It changes kernels, which all others leave as they are."""
MOST_PLACES = {
    "a throttle": 2, "a workload pattern": 1, "a suite": 2, "a backend": 2, "an algorithm": 3, FEATURE: 3
}  # fmt: skip
REDUCED = {
    "dqgym train": "--set training.frames=256 --set environment.n_envs=4 --set environment.suites='{guest-runtime: 1}'"
    " --set evaluation.suites='[guest-runtime]'"
}
"""What is added to commands that begin so. Everything here has 8 vCPU slots: kernels are compiled for each number."""

NEW_THROTTLE = """
from dqgym.throttles.registry import make_throttle, throttle_names
from dqgym.throttles.styles import SPARE_STYLES
from experiments.reporting.plots import throttle_styles

assert "fixed-cap" in throttle_names()
assert make_throttle("fixed-cap", run_share=0.5).name == "fixed-cap"
assert throttle_styles(["p", "fixed-cap"], ["p"])["fixed-cap"] in SPARE_STYLES
"""
NEW_PATTERN = """
from dqgym.backends.registry import make_backend
from dqgym.controller.loop import run_migrations
from dqgym.scenario import scenario_from_yaml
from dqgym.throttles.registry import make_throttle

scenario = scenario_from_yaml('''
name: small
vm: {memory: 256 MiB}
workload:
- {vcpus: 1, pattern: counters, working_set: 128 MiB, write_rate: 20 MiB/s}
- {vcpus: 5, pattern: read-only}
link: {kind: constant, bandwidth: 64 MiB/s}
''')
times = [
    run_migrations(make_backend(name), [scenario], make_throttle("none"), [0]).total_time_s[0]
    for name in ("model", "reference")
]
assert abs(times[0] / times[1] - 1) < 0.05, times
"""
OLD_POLICY = """
from dqgym.controller.bundle import read_bundle
from dqgym.controller.shipped import SHIPPED_BUNDLE

read_bundle(SHIPPED_BUNDLE)
"""


@dataclass(frozen=True)
class Change:
    """What a block does to one file: a new file, or texts of an old one that others take the place of."""

    path: str
    content: str | None
    replaced: tuple[tuple[str, str], ...] = ()

    def make(self, root: Path) -> None:
        """Make it in a checkout, where each text that is replaced must stand once."""
        file = root / self.path
        if self.content is not None:
            assert not file.exists()
            file.write_text(self.content, encoding="utf-8")
            return
        text = file.read_text(encoding="utf-8")
        for old, new in self.replaced:
            assert text.count(old) == 1, f"{self.path} has {text.count(old)} times:\n{old}"
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")


def change_of(block: Block) -> Change | None:
    """The change that a block is; None for what is run."""
    first, _, rest = block.text.partition("\n")
    if block.language == "python" and (path := re.fullmatch(r"# (\S+\.py)", first)):
        return Change(path[1], rest + "\n")
    if block.language == "diff":
        hunks = [hunk.splitlines() for hunk in rest.split("\n@@\n")]
        return Change(first.removeprefix("--- "), None, tuple((side(hunk, "-"), side(hunk, "+")) for hunk in hunks))
    return None


def side(hunk: list[str], sign: str) -> str:
    """The text before (``-``) or after (``+``) a hunk."""
    return "".join(line[1:] + "\n" for line in hunk if not line or line[0] in (" ", sign))


def sections() -> dict[str, list[Block]]:
    """The blocks of each section, by its heading in small letters."""
    text = PAGE.read_text(encoding="utf-8")
    headings = {at: line[3:].lower() for at, line in enumerate(text.splitlines(), 1) if line.startswith("## ")}
    found: dict[str, list[Block]] = {heading: [] for heading in headings.values()}
    for block in read_page("docs/extending.md", text).blocks():
        found[headings[max(at for at in headings if at < block.line)]].append(block)
    return found


def changes(what: str) -> list[Change]:
    """All of a section."""
    return [change for block in sections()[what] if (change := change_of(block)) is not None]


def copy_of_checkout(folder: Path) -> Path:
    """The packages, without what was compiled of them."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def share_kernels(root: Path) -> None:
    """Let a copy in which no kernel has changed use those of the checkout, and keep what it compiles there."""
    for package in PACKAGES:
        for source in {path.parent for path in (ROOT / package).rglob("*.py")}:
            kept = source / "__pycache__"
            kept.mkdir(exist_ok=True)
            (root / source.relative_to(ROOT) / "__pycache__").symlink_to(kept)
    compiled = root / "dqgym" / "jit" / "compile.py"
    text = compiled.read_text(encoding="utf-8")
    assert "_STAMP = _package_stamp()" in text
    compiled.write_text(text.replace("_STAMP = _package_stamp()", f"_STAMP = {_STAMP!r}"), encoding="utf-8")


def run(words: list[str], root: Path) -> str:
    """What a command says that finds its packages in a copy of the checkout; it must succeed."""
    environment = os.environ | {
        "PYTHONPATH": str(root),
        "PYTHONDONTWRITEBYTECODE": "1",  # what is compiled of changed files is not the checkout's
        "COLUMNS": "200",
        "MPLBACKEND": "Agg",
        "NO_COLOR": "1",
    }
    ended = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def run_python(code: str, root: Path) -> str:
    return run([sys.executable, "-c", code], root)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the checkout with all of the page in it but the feature."""
    root = copy_of_checkout(tmp_path_factory.mktemp("extended"))
    share_kernels(root)
    for what in sections():
        if what != FEATURE:
            for change in changes(what):
                change.make(root)
    yield root
    shutil.rmtree(root)


def test_every_extension_takes_as_many_places_as_the_page_says_and_no_more_than_it_may():
    said = re.findall(r"^\| (an? .+?) \| `.+` \| (\d) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(said).keys() == MOST_PLACES.keys() == sections().keys()
    for what, places in said:
        assert int(places) == len({change.path for change in changes(what)}) <= MOST_PLACES[what]


@pytest.mark.slow
@pytest.mark.parametrize("what", [what for what in MOST_PLACES if what != FEATURE])
def test_the_commands_of_a_section_run_in_a_checkout_that_has_its_code(what, extended):
    commands = [command for block in sections()[what] if block.language == "" for command in block.text.splitlines()]
    for command in commands:
        more = next((words for begin, words in REDUCED.items() if command.startswith(begin)), "")
        entry = f"{sys.executable} -c 'from experiments.cli.entry import main; main()'"
        run(["bash", "-c", f"{entry} {command.removeprefix('dqgym ')} {more}"], extended)


@pytest.mark.slow
def test_a_new_throttle_is_a_baseline_in_a_style_that_is_no_policys(extended):
    run_python(NEW_THROTTLE, extended)


@pytest.mark.slow
def test_a_new_pattern_is_played_alike_by_the_model_and_by_its_reference(extended):
    run_python(NEW_PATTERN, extended)


@pytest.mark.slow
def test_a_new_feature_is_observed_and_a_policy_without_it_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # for a few steps, compiling takes longer than it saves
    root = copy_of_checkout(tmp_path / "checkout")
    for change in changes(FEATURE):
        change.make(root)
    (shown,) = [block for block in sections()[FEATURE] if block.language == "python"]
    run_python(shown.text, root)
    with pytest.raises(AssertionError, match="vcpu_features is"):
        run_python(OLD_POLICY, root)
