"""``dqgym bench env --against``: two trees, each in a process of its own, and nothing left behind."""

import json
import shutil
import subprocess
import sys

import pytest

from dqgym.errors import BadInputError
from experiments.bench import comparison
from experiments.bench.comparison import NEW, OLD, Worker, compare_with
from experiments.bench.env_rate import Sampling
from experiments.bench.source_tree import CHECKOUT, describe_checkout, revision_of, tree_of

SHORT = Sampling(repeats=3, sample_s=0.001)
OF_A_CHECKOUT = pytest.mark.skipif(
    not (CHECKOUT / ".git").exists() or shutil.which("git") is None, reason="not a Git checkout"
)


@pytest.fixture
def repository(tmp_path):
    """With two commits of one file."""
    folder = tmp_path / "repository"
    folder.mkdir()
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for command in (("init", "-q"), *((number, "commit") for number in ("1", "2"))):
        if command[-1] == "commit":
            (folder / "file").write_text(command[0])
            subprocess.run(["git", "-C", folder, "add", "file"], check=True)
            command = (*identity, "commit", "-q", "-m", command[0])
        subprocess.run(["git", "-C", folder, *command], check=True)
    return folder


@pytest.mark.slow
def test_another_revision_lies_in_a_folder_that_goes(repository):
    with tree_of(revision_of("HEAD~1", repository), repository) as tree:
        assert (tree / "file").read_text() == "1"
        assert (repository / "file").read_text() == "2"
    assert not tree.parent.exists()
    (repository / "file").write_text("3")
    assert describe_checkout(repository).endswith("-dirty")


@pytest.mark.slow
def test_a_revision_that_is_not_there_is_named(repository):
    for name in ("HEAD~2", "nothing", "--all"):
        with pytest.raises(BadInputError, match=f"--against {name}: no commit of .*allowed"):
            revision_of(name, repository)


def test_it_needs_a_checkout(tmp_path):
    with pytest.raises(BadInputError, match=r"--against HEAD: only for dqgym that runs from a Git checkout"):
        revision_of("HEAD", tmp_path)


class Told:
    """A worker that steps at a given rate, and knows some suites."""

    def __init__(self, rate, suites):
        self.rate, self.suites, self.calls = rate, suites, []

    def call(self, name, *arguments):
        self.calls.append((name, *arguments))
        if name == "make":
            known = arguments[1] in (*self.suites, None)
            return None if known else {"problem": f"unknown suite {arguments[1]}"}
        return [1000, 1000 / self.rate] if name == "sample" else None


def test_ratios_are_those_of_medians_and_suites_that_one_tree_lacks_are_left_out():
    workers = {NEW: Told(3e6, ["mixed", "phases"]), OLD: Told(1e6, ["mixed"])}
    (result,), left_out = comparison._of_size(workers, ["mixed", "phases"], 16, 8, SHORT)
    assert (result["suite"], result["n_envs"], result["vcpus"]) == ("mixed", 16, 8)
    assert result["ratio"] == pytest.approx(3.0)
    assert result["ratio_quartiles"] == pytest.approx([3.0, 3.0])
    assert result["share_of_cartpole"] == pytest.approx(1.0)
    assert left_out == ["phases with 8 vCPU slots, against: unknown suite phases"]
    assert {call[0] for call in workers[OLD].calls} == {"make", "sample", "drop"}


@OF_A_CHECKOUT
@pytest.mark.slow
def test_a_commit_is_compared_with_the_checkout(monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # for a few steps, compiling takes longer than it saves
    document = compare_with("HEAD", ["guest-runtime", "no-such"], [2], [8], SHORT)
    assert document["revision"] == revision_of("HEAD")
    (result,) = document["results"]
    assert result["ratio"] > 0
    assert len(document["left_out"]) == 2


@OF_A_CHECKOUT
@pytest.mark.slow
def test_an_interruption_leaves_no_process_and_no_folder(monkeypatch):
    started, trees = [], []

    class Interrupted(Worker):
        def __init__(self, tree, kernels):
            super().__init__(tree, kernels)
            started.append(self._process)
            trees.append(tree)

        def call(self, name, *arguments):
            raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "Worker", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare_with("HEAD", ["mixed"], [2], [8], SHORT)
    assert [process.poll() is not None for process in started] == [True, True]
    assert [tree.exists() for tree in trees] == [True, False]


@pytest.mark.slow
def test_a_worker_refuses_a_tree_that_is_not_the_one_it_imports(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-P", comparison.stepping_worker.__file__, str(tmp_path)],
        input=json.dumps(["drop", "x"]), capture_output=True, text=True, env={"PYTHONPATH": str(CHECKOUT)}, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert f"not of {tmp_path}" in ended.stderr
