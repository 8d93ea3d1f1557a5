"""Suites of the user's own, wherever a command, a config or an environment takes one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gymnasium as gym
import pytest
import yaml
from typer.testing import CliRunner, Result

import dqgym.envs
from dqgym.controller.bundle import read_bundle
from dqgym.errors import BadInputError
from dqgym.model.parameters import DEFAULT_PARAMETERS
from dqgym.results.rows_file import read_rows
from dqgym.scenario.suites import get_suite
from dqgym.throttles.rules.tuned import read_tuned
from experiments.calibration.host_comparison import host_comparison
from experiments.cli.app import app
from experiments.evaluation.evaluation import draw_tasks
from experiments.evaluation.session import Session
from experiments.evaluation.throttle_sources import throttle_source
from experiments.kept_suites import kept_suites
from experiments.runs.config import load_config
from experiments.runs.suites import kept_config, same_training
from experiments.tuning.distribution import draw_distribution, parse_suites

SCENARIO = """
name: {name}
vm: {{memory: {memory}}}
workload:
- {{vcpus: {vcpus}, pattern: uniform, working_set: 16 MiB, write_rate: 30 MiB/s}}
link: {{kind: constant, bandwidth: 64 MiB/s}}
dirty_log: {{clear_chunk: 4 KiB}}
"""
SAMPLER = """
sampler:
  vm: {memory: {log_uniform: [64 MiB, 256 MiB]}}
  workload:
  - {vcpus: {uniform: [1, 4]}, pattern: uniform, memory_share: 0.2, pressure: {uniform: [0.5, 2]}}
  link: {kind: constant, bandwidth: 64 MiB/s}
"""
CONFIG = """
name: own
environment: {suites: {drawn.yaml: 2, guests: 1, noisy-neighbour: 1}, n_envs: 4, pool_size: 8, max_vcpus: 8}
algorithm: {kind: ppo, n_steps: 8, batch_size: 16, policy: {width: 8}}
training: {frames: 64, checkpoint_every: 32, evaluate_every: 64}
evaluation: {suites: [drawn.yaml, guests/], count: 2}
"""


def dqgym_command(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def told(*arguments: object) -> str:
    result = dqgym_command(*arguments)
    assert result.exit_code == 2, result.output
    return result.stderr


def done(*arguments: object) -> str:
    result = dqgym_command(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a scenario, a folder of two of other sizes, a sampler, a config that names them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "db.yaml").write_text(SCENARIO.format(name="database", memory="128 MiB", vcpus=2))
    (tmp_path / "guests").mkdir()
    for name, memory, vcpus in (("small", "64 MiB", 1), ("large", "4 GiB", 8)):
        (tmp_path / "guests" / f"{name}.yaml").write_text(SCENARIO.format(name=name, memory=memory, vcpus=vcpus))
    (tmp_path / "drawn.yaml").write_text(SAMPLER)
    (tmp_path / "own.yaml").write_text(CONFIG)
    return tmp_path


def test_suites_describes_a_file_a_folder_and_a_sampler(folder: Path) -> None:
    found = [json.loads(done("suites", name, "--json")) for name in ("db.yaml", "guests/", "drawn.yaml")]
    assert [(one["name"], one["kind"], one["source"]) for one in found] == [
        ("db", "fixed", "db.yaml"), ("guests", "fixed", "guests"), ("drawn", "sampler", "drawn.yaml")
    ]  # fmt: skip
    assert [scenario["name"] for scenario in found[1]["scenarios"]] == ["large", "small"]
    assert len(found[2]["scenarios"]) == 8
    assert json.loads(done("suites", "mixed", "--json"))["source"] is None
    assert "database" in done("suites", "db.yaml")


def test_wrong_names_are_told_with_the_nearest(folder: Path) -> None:
    assert "did you mean 'db.yaml'?" in told("suites", "bd.yaml")
    assert "did you mean 'mixed'?" in told("evaluate", "none", "--suite", "mixd", "--out", "r")
    assert "did you mean 'small'?" in told("simulate", "guests:smal")
    assert "guests is a folder: name one of its scenarios as guests:NAME" in told("simulate", "guests")
    assert "a suite, not a scenario: it has 'sampler'" in told("simulate", "drawn.yaml")
    assert "its scenarios have no lasting names" in told("simulate", "drawn.yaml:drawn-0-0")
    shutil.copy("db.yaml", "phases.yaml")
    assert "its name, 'phases', is that of a suite that comes with dqgym" in told("suites", "phases.yaml")


def test_two_suites_of_one_name_are_refused_and_one_that_is_named_twice_is_taken_once(folder: Path) -> None:
    assert [task.suite for task in draw_tasks(["db.yaml", "./db.yaml", "guests", "guests/"], None, 0)] == [
        "db", "guests"
    ]  # fmt: skip
    (folder / "guests" / "db.yaml").write_text(SCENARIO.format(name="other", memory="1 GiB", vcpus=1))
    with pytest.raises(BadInputError, match=r"db.yaml and guests/db.yaml: both are called 'db'"):
        draw_tasks(["db.yaml", "guests/db.yaml"], None, 0)
    assert "both are called 'db'" in told("evaluate", "--suite", "db.yaml", "--suite", "guests/db.yaml", "--out", "r")


@pytest.mark.slow
def test_throttles_side_by_side_on_one_scenario_of_ones_own(folder: Path) -> None:
    output = done("evaluate", "none", "auto-converge", "default", "--no-baselines", "--suite", "db.yaml", "--out", "r")
    assert "db: one migration" in output
    assert "The intervals have no width" in output
    assert {row.suite for row in read_rows(folder / "r")} == {"db"}
    assert {row.throttle for row in read_rows(folder / "r")} == {"none", "auto-converge", "default"}
    assert (folder / "r" / "tradeoff-db.png").is_file()
    assert (folder / "r" / "timeline-db.png").is_file()
    assert kept_suites(folder / "r")["db"].scenarios() == get_suite("db.yaml").scenarios()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["model", "reference"])
def test_suites_of_mixed_sizes_are_evaluated_together(backend: str, folder: Path) -> None:
    (folder / "guests" / "large.yaml").write_text(SCENARIO.format(name="large", memory="192 MiB", vcpus=8))
    output = done(
        "evaluate", "none", "dirty-quota", "--no-baselines", "--preference", "0.2", "--count", "2", "--repeat", "2",
        "--suite", "guests", "--suite", "drawn.yaml", "--suite", "db.yaml", "--backend", backend, "--out", "r",
        "--json",
    )  # fmt: skip
    rows = json.loads(output)["rows"]
    counts = {suite: sum(row["suite"] == suite for row in rows) for suite in ("guests", "drawn", "db")}
    assert counts == {"guests": 8, "drawn": 8, "db": 4}
    assert sorted({len(row["guest_runtime_per_vcpu"]) for row in rows if row["suite"] == "guests"}) == [1, 8]
    assert sorted(kept_suites(folder / "r")) == ["db", "drawn", "guests"]


def test_a_resumed_evaluation_notices_that_a_suite_has_changed(folder: Path) -> None:
    def setting() -> dict[str, object]:
        tasks = tuple(draw_tasks(["db.yaml"], None, 0))
        return Session((), tasks, (0.2,), None, "model", lambda slots: None, {}, "").setting()  # type: ignore[arg-type, return-value]

    before = setting()
    path = folder / "db.yaml"
    path.write_text("# another comment\n" + path.read_text())
    assert setting() == before
    path.write_text(path.read_text().replace("128 MiB", "129 MiB"))
    changed = setting()
    assert {key for key in before if before[key] != changed[key]} == {"digest of scenarios"}


@pytest.mark.slow
def test_compare_takes_them_now_and_from_results(folder: Path) -> None:
    duel = json.loads(done("compare", "none", "stop-and-copy", "--suite", "db.yaml", "--suite", "guests", "--json"))
    assert {one["suite"] for one in duel["standings"]} >= {"db", "guests"}


@pytest.mark.slow
def test_compare_finds_the_rows_of_a_file_in_results(folder: Path) -> None:
    done("evaluate", "none", "stop-and-copy", "--no-baselines", "--suite", "db.yaml", "--suite", "guests", "--out", "r")
    for name in ("db.yaml", "db", "./db.yaml"):
        duel = json.loads(done("compare", "none", "stop-and-copy", "--from", "r", "--suite", name, "--json"))
        assert {one["suite"] for one in duel["standings"]} == {"db"}


@pytest.mark.slow
def test_simulate_takes_a_scenario_of_a_folder_and_of_a_list(folder: Path) -> None:
    assert json.loads(done("simulate", "guests:small", "--json"))["scenario"] == "small"
    assert json.loads(done("simulate", "db.yaml:database", "--json"))["scenario"] == "database"


@pytest.mark.slow
def test_control_takes_them(folder: Path) -> None:
    report = json.loads(done("control", "default", "--suite", "guests/", "--json"))
    assert [one["scenario"] for one in report["migrations"]] == ["large", "small"]
    report = json.loads(done("control", "default", "--scenario", "guests:small", "--json"))
    assert [one["scenario"] for one in report["migrations"]] == ["small"]
    drawn = json.loads(done("control", "default", "--suite", "drawn.yaml", "--count", "2", "--json"))
    assert [one["scenario"] for one in drawn["migrations"]] == ["drawn-0-0", "drawn-0-1"]


def test_a_distribution_to_tune_on_may_be_of_them(folder: Path) -> None:
    distribution = draw_distribution(parse_suites(["drawn.yaml=2", "guests/"]), None, 3, 7)
    assert distribution.name == "drawn+guests"
    assert distribution.weights == {"drawn": 2.0, "guests": 1.0}
    assert distribution.suite_of == ("drawn",) * 6 + ("guests",) * 2
    before = distribution.digest
    (folder / "drawn.yaml").write_text(SAMPLER.replace("0.2", "0.3"))
    assert draw_distribution(parse_suites(["drawn.yaml=2", "guests/"]), None, 3, 7).digest != before
    with pytest.raises(BadInputError, match="named twice"):
        draw_distribution(parse_suites(["guests", "guests/"]), None, 3, 7)


@pytest.mark.slow
def test_tune_takes_them_and_notes_their_names(folder: Path) -> None:
    pytest.importorskip("optuna")
    done("tune", "tuned-rule", "--suite", "drawn.yaml", "--preference", "0.2", "--count", "2", "--trials", "2",
         "--out", "tuned.yaml")  # fmt: skip
    ((entry,),) = (entries.values() for entries in read_tuned(folder / "tuned.yaml").values())
    assert entry[0].suites == {"drawn": 1.0}


def test_environments_take_them_and_notice_that_a_file_has_changed(folder: Path) -> None:
    def memories(**keywords: object) -> set[int]:
        env = gym.make("dqgym/Migration-v0", pool_size=4, **keywords)
        return {one.vm.memory_bytes for one in env.unwrapped.options.scenarios}  # type: ignore[attr-defined]

    assert dqgym.envs
    assert memories(suite="db.yaml") == {128 * 2**20}
    assert len(memories(suite={"drawn.yaml": 1, "guests/": 1})) == 4
    (folder / "db.yaml").write_text(SCENARIO.format(name="database", memory="1 GiB", vcpus=2))
    assert memories(suite="db.yaml") == {2**30}
    with pytest.raises(BadInputError, match="no such file"):
        gym.make("dqgym/Migration-v0", suite="nowhere.yaml")


@pytest.mark.slow
def test_the_vector_environment_takes_them(folder: Path) -> None:
    envs = gym.make_vec("dqgym/Migration-v0", num_envs=2, suite={"guests": 1, "db.yaml": 2}, pool_size=6)
    observation, _ = envs.reset(seed=0)
    assert observation.shape[0] == 2
    envs.close()


def test_paths_in_a_config_are_relative_to_it_and_those_of_set_to_the_current_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    shutil.copy("db.yaml", elsewhere)
    monkeypatch.chdir(elsewhere)
    config = load_config(Path("../own.yaml"), ["environment.suites.db.yaml=3"])
    assert config.environment.suites == {"../drawn.yaml": 2, "../guests": 1, "noisy-neighbour": 1, "db.yaml": 3}
    assert config.evaluation.suites == ["../drawn.yaml", "../guests"]
    with pytest.raises(BadInputError, match=r"own.yaml: environment.suites: cannot read suite drawn.yaml: no such"):
        load_config(Path("../own.yaml"), ["environment.suites={drawn.yaml: 1}"])


def test_a_config_is_refused_where_two_suites_have_one_name(folder: Path) -> None:
    (folder / "guests" / "drawn.yaml").write_text(SCENARIO.format(name="other", memory="1 GiB", vcpus=1))
    with pytest.raises(BadInputError, match="both are called 'drawn'"):
        load_config(Path("own.yaml"), ["environment.suites={drawn.yaml: 1, guests/drawn.yaml: 1}"])
    with pytest.raises(BadInputError, match="both are called 'drawn'"):
        load_config(Path("own.yaml"), ["evaluation.suites=[guests/drawn.yaml]"])
    with pytest.raises(BadInputError, match="named twice"):
        load_config(Path("own.yaml"), ["environment.suites={guests: 1, guests/: 1}"])


@pytest.mark.slow
def test_a_kept_config_is_the_same_training_until_a_file_changes(folder: Path) -> None:
    settings = load_config(Path("own.yaml"))
    text, files = kept_config(settings)
    assert yaml.safe_load(text)["environment"]["suites"] == {
        "suites/drawn.yaml": 2.0, "suites/guests": 1.0, "noisy-neighbour": 1.0
    }  # fmt: skip
    assert [name for name, _ in files] == ["drawn.yaml", "guests/large.yaml", "guests/small.yaml"]
    run = folder / "run"
    (run / "suites" / "guests").mkdir(parents=True)
    (run / "config.yaml").write_text(text)
    for name, content in files:
        (run / "suites" / name).write_text(content)
    kept = load_config(run / "config.yaml")
    assert kept_config(kept) == (text, files)
    assert same_training(kept, settings)
    (folder / "drawn.yaml").write_text(SAMPLER.replace("0.2", "0.3"))
    assert not same_training(kept, load_config(Path("own.yaml")))


@pytest.mark.slow
def test_a_run_is_resumed_evaluated_and_exported_after_its_files_are_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done("train", "own.yaml", "--run-dir", "run")
    assert "was finished already" in done("train", "own.yaml", "--run-dir", "run", "--reuse")
    run = folder / "run"
    for unneeded in ("final_model.zip", "best_model.zip"):
        (run / unneeded).unlink()
    expected = get_suite("drawn.yaml").scenarios(3, 5)
    (folder / "drawn.yaml").write_text("gone")
    shutil.rmtree("guests")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    (run / "evaluation.json").unlink()
    for checkpoint in sorted((run / "checkpoints").iterdir())[1:]:
        shutil.rmtree(checkpoint) if checkpoint.is_dir() else checkpoint.unlink()
    assert json.loads(done("train", "--resume", run, "--json"))["frames"] == 64
    assert kept_suites(run)["drawn"].scenarios(3, 5) == expected
    done("evaluate", run, "none", "--no-baselines", "--suite", run / "suites" / "guests", "--out", "r")
    assert {row.throttle for row in read_rows(Path("r"))} == {"own", "none"}
    done("export", run, "--observations", "20")
    training = read_bundle(run / "bundle").manifest.training_config
    assert training["environment"]["suites"] == {"drawn": 2.0, "guests": 1.0, "noisy-neighbour": 1.0}


@pytest.mark.slow
def test_real_migrations_of_ones_own_suite_are_compared_with_the_model(folder: Path) -> None:
    done("evaluate", "none", "--no-baselines", "--suite", "db.yaml", "--preference", "0.2", "--out", "r")
    (folder / "db.yaml").unlink()
    rows = read_rows(folder / "r")
    none = [throttle_source("none")]
    pairs, left_out = host_comparison(rows, none, DEFAULT_PARAMETERS, kept_suites(folder / "r"))
    assert [(pair.suite, pair.scenario, pair.time_error) for pair in pairs] == [("db", "database", 0.0)]
    assert left_out == ()
    with pytest.raises(BadInputError, match="unknown suite 'db'"):
        host_comparison(rows, none, DEFAULT_PARAMETERS)
