import os
import subprocess
import sys

import pytest

from dqgym.errors import BadInputError
from experiments.runs.run_directory import RunDirectory, RunMeta, default_run_path, describe_run, git_revision


@pytest.fixture
def meta() -> RunMeta:
    return describe_run("tiny", seed=7)


def create(path, meta):
    return RunDirectory.create(path, "name: tiny\n", "dqgym train tiny.yaml", meta)


def test_a_new_run_holds_its_config_command_and_meta_data(tmp_path, meta):
    run = create(tmp_path / "deep" / "run", meta)

    assert sorted(os.listdir(run.path)) == ["checkpoints", "command.txt", "config.yaml", "meta.json", "tensorboard"]
    assert run.config_path.read_text() == "name: tiny\n"
    assert run.command_path.read_text() == "dqgym train tiny.yaml\n"
    assert RunDirectory.open(run.path).read_meta() == meta
    assert not run.finished
    assert os.listdir(run.path.parent) == ["run"]


def test_meta_data_say_where_the_numbers_come_from(meta):
    assert meta.seed == 7
    assert meta.python == ".".join(map(str, sys.version_info[:3]))
    assert meta.packages["numpy"] == __import__("numpy").__version__
    assert meta.packages["torch"].startswith("2.")


def test_an_empty_directory_is_taken(tmp_path, meta):
    path = tmp_path / "run"
    path.mkdir()
    assert create(path, meta).read_meta() == meta


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_nothing_that_exists_is_overwritten(tmp_path, meta, kind):
    path = tmp_path / "run"
    if kind == "file":
        path.write_text("precious")
    else:
        path.mkdir()
        (path / "precious.txt").write_text("precious")
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(BadInputError, match="exists and is not an empty directory"):
        create(path, meta)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_that_cannot_be_written_whole_leaves_nothing_behind(tmp_path, meta, monkeypatch):
    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(RunDirectory, "write_meta", fail)
    with pytest.raises(OSError, match="no space"):
        create(tmp_path / "run", meta)
    assert os.listdir(tmp_path) == []


def test_opening_something_else_names_what_is_missing(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(BadInputError, match=r"not a training run: meta\.json missing"):
        RunDirectory.open(tmp_path)


def test_a_run_is_finished_when_its_final_model_is_there(tmp_path, meta):
    run = create(tmp_path / "run", meta)
    run.final_model_path.write_bytes(b"zip")
    assert run.finished


def test_setting_aside_keeps_the_run_and_makes_room(tmp_path, meta):
    run = create(tmp_path / "run", meta)
    aside = run.set_aside()
    assert not run.path.exists()
    assert RunDirectory.open(aside).read_meta() == meta
    assert aside.name.startswith("run-20")


def test_the_default_path_tells_name_and_seed():
    path = default_run_path("ppo-mlp", 3)
    assert path.parent.name == "runs"
    assert path.name.startswith("ppo-mlp-3-20")


def test_the_git_revision_is_that_of_the_source_tree(meta):
    result = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=os.path.dirname(__file__), capture_output=True, text=True, check=False
    )
    revision = result.stdout.strip()
    if result.returncode != 0:
        assert meta.git_revision is None
    else:
        assert meta.git_revision in (revision, f"{revision}-dirty")


def test_a_repository_around_the_package_is_not_taken_for_its_own(tmp_path):
    package = tmp_path / "venv" / "dqgym"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "of something else")
    assert git_revision(package) is None
    git("add", "-f", ".")
    git("commit", "-m", "of the package")
    assert len(git_revision(package)) == 40
