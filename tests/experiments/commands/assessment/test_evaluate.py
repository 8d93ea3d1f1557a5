import csv
import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from dqgym.backends.model import ModelBackend
from dqgym.controller.guard import Guard
from dqgym.controller.loop import run_migrations
from dqgym.controller.manifest import VcpuSpec
from dqgym.errors import BadInputError
from dqgym.results.rows_file import read_rows
from dqgym.telemetry.command import free_command
from dqgym.telemetry.interval import ControlInterval
from dqgym.throttles.registry import make_throttle, throttle_names
from experiments.cli.app import app
from experiments.evaluation import throttle_sources
from experiments.evaluation.evaluation import Task, draw_task, evaluate, trace_migration
from experiments.evaluation.throttle_sources import ThrottleSource, choose_opponent, guarded, line_up, throttle_source
from experiments.results.summary import read_summary


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def small_task(*rows):
    task = draw_task("cover-letter", None, 0)
    return Task(task.suite, *zip(*((s, i) for s, i in zip(task.scenarios, task.seeds, strict=True) if s.name in rows),
                                 strict=True))  # fmt: skip


def model(vcpu_slots):
    return ModelBackend(vcpu_slots=vcpu_slots)


def quiet(suite, throttle):
    return None


class CappingPolicy:
    """Lets every vCPU run for 1 / (1 + 10 * preference) of the time, or fails where the preference is 9."""

    control_interval = ControlInterval(least_s=0.0, pass_times=0.04)
    name = "policy"

    def __init__(self, preference):
        self._preference = preference

    def reset(self, facts):
        self._command = free_command(facts)
        self._command.run_share_cap[:] = 1 / (1 + 10 * self._preference)

    def act(self, telemetry):
        if self._preference == 9:
            raise ArithmeticError("no idea")
        return self._command


POLICY = ThrottleSource("policy", True, lambda preference: guarded(CappingPolicy(preference)))


def test_a_baseline_runs_once_and_is_costed_at_each_preference_and_a_policy_runs_at_each():
    evaluation = evaluate([POLICY, throttle_source("stop-and-copy")], [small_task("row-02")], [0.2, 0.6], model, quiet)
    fast, gentle, baseline_fast, baseline_gentle = evaluation.rows
    assert (fast.throttle, fast.preference, gentle.preference) == ("policy", 0.2, 0.6)
    assert fast.max_throttle_percent == pytest.approx(100 * (1 - 1 / 3), abs=0.1)
    assert gentle.max_throttle_percent == pytest.approx(100 * (1 - 1 / 7), abs=0.1)
    assert baseline_fast.total_time_s == baseline_gentle.total_time_s
    assert baseline_fast.guest_runtime == baseline_gentle.guest_runtime
    assert baseline_gentle.cost - baseline_fast.cost == pytest.approx(0.4 * 5.3, rel=0.05)


@pytest.mark.slow
def test_all_throttles_migrate_the_same_scenarios_with_the_same_seeds():
    task = draw_task("noisy-neighbour", 3, 5)
    evaluation = evaluate([throttle_source("none"), throttle_source("stop-and-copy")], [task], [0.2], model, quiet)
    none, other = (
        [(row.scenario, row.seed) for row in evaluation.rows if row.throttle == name]
        for name in ("none", "stop-and-copy")
    )
    assert none == other == [(scenario.name, 5 + i) for i, scenario in enumerate(task.scenarios)]


def test_rows_are_what_the_control_loop_gives():
    task = small_task("row-02", "row-08")
    evaluation = evaluate([throttle_source("dirty-quota")], [task], [0.2], model, quiet)
    with closing(ModelBackend()) as backend:
        outcomes = run_migrations(backend, task.scenarios, make_throttle("dirty-quota"), task.seeds)
    np.testing.assert_array_equal([row.total_time_s for row in evaluation.rows], outcomes.total_time_s)
    np.testing.assert_array_equal([row.guest_runtime for row in evaluation.rows], outcomes.guest_runtime)


def test_where_the_guard_takes_over_it_is_told_and_the_fallback_finishes():
    evaluation = evaluate([POLICY], [small_task("row-02", "row-08")], [9.0], model, quiet)
    (takeover,) = evaluation.takeovers
    assert (takeover.throttle, takeover.reason, takeover.migrations) == ("policy", "policy failed", 2)
    assert all(row.converged for row in evaluation.rows)


def test_a_policy_that_does_not_serve_a_scenario_is_refused_before_anything_runs():
    narrow = ThrottleSource("narrow", True, POLICY.make, VcpuSpec(low=1, high=4, slots=4))
    with pytest.raises(BadInputError, match=r"'row-03' has 6 vCPUs, policy 'narrow' serves 1 \.\. 4"):
        evaluate([throttle_source("none"), narrow], [small_task("row-02", "row-03")], [0.2], model, quiet)
    served = evaluate([narrow], [small_task("row-02")], [0.2], model, quiet)
    assert len(served.rows) == 1


@pytest.mark.slow
def test_trace_of_a_migration_ends_when_the_migration_does():
    task = small_task("row-02", "row-08")
    trace = trace_migration(throttle_source("current"), task, 1, 0.2, model)
    evaluation = evaluate([throttle_source("current")], [task], [0.2], model, quiet)
    assert trace.time_s[-1] == pytest.approx(evaluation.rows[1].total_time_s, rel=0.01)


def test_line_up_puts_every_baseline_once_beside_the_named():
    assert [one.name for one in line_up(["dirty-quota", "dirty-quota"], True)] == [
        "dirty-quota", *(name for name in throttle_names() if name != "dirty-quota"),
    ]  # fmt: skip
    assert {one.name for one in line_up([], True)} == set(throttle_names())
    assert [one.name for one in line_up(["none"], False)] == ["none"]


def policy(name, training_seed):
    return replace(POLICY, name=name, training_seed=training_seed)


@pytest.mark.parametrize(
    ("seeds", "names"),
    [
        ([1, 2], ["main", "main"]),
        ([1, 2, 1], ["main", "main", "main (2)"]),
        ([1, 1, 1], ["main", "main (2)", "main (3)"]),
        ([None, 2], ["main", "main (2)"]),
    ],
)
def test_policies_of_one_name_are_one_method_unless_their_seeds_are_the_same(monkeypatch, seeds, names):
    sources = {f"run-{k}": policy("main", seed) for k, seed in enumerate(seeds)}
    monkeypatch.setattr(throttle_sources, "throttle_source", sources.__getitem__)
    assert [one.name for one in line_up(list(sources), False)] == names


def test_a_policy_named_like_a_baseline_does_not_pass_for_it(monkeypatch):
    of_a_name = throttle_sources.throttle_source
    monkeypatch.setattr(
        throttle_sources, "throttle_source", lambda source: policy("none", 1) if source == "run" else of_a_name(source)
    )
    assert [one.name for one in line_up(["run", "none"], False)] == ["none", "none (2)"]


@pytest.mark.slow
def test_training_seeds_of_runs_and_bundles_come_from_their_configs(per_vcpu_run, per_vcpu_bundle):
    for source in (per_vcpu_run, per_vcpu_bundle):
        one = throttle_source(str(source))
        assert (one.name, one.training_seed) == ("untrained-per-vcpu", 3)  # tests/experiments/made_runs.py


def test_rows_of_a_policy_have_its_training_seed_and_those_of_a_baseline_none():
    seeds = [policy("main", 4), policy("main", 5), throttle_source("none")]
    evaluation = evaluate(seeds, [small_task("row-02")], [0.2], model, quiet)
    assert [(row.throttle, row.training_seed) for row in evaluation.rows] == [("main", 4), ("main", 5), ("none", None)]


@pytest.mark.parametrize(
    ("names", "wanted", "chosen"),
    [
        (["none", "dirty-quota", "tuned-rule"], None, "tuned-rule"),
        (["none", "dirty-quota"], None, "dirty-quota"),
        (["none", "current"], None, "none"),
        (["none", "dirty-quota"], "none", "none"),
        ([], None, None),
        ([], "main", "main"),
    ],
)
def test_statistics_compare_with_whom_one_wants_else_with_the_tuned_rule_or_dirty_quota(names, wanted, chosen):
    competing = [policy("main", 1), *map(throttle_source, names)]
    assert choose_opponent(competing, wanted) == chosen


def test_a_guarded_policy_is_behind_the_guard():
    assert isinstance(POLICY.make(0.2), Guard)


@pytest.mark.slow
def test_command_writes_rows_report_and_pictures_and_prints_the_same_as_json(tmp_path):
    out = tmp_path / "new" / "results"
    result = run("--suite", "cover-letter", "--count", "2", "--out", out, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document == json.loads((out / "results.json").read_text())
    assert len(document["rows"]) == len(throttle_names()) * 2 * 2
    assert len(document["summary"]) == len(throttle_names()) * 2
    assert {row["throttle"] for row in document["rows"]} == set(throttle_names())
    assert {one["throttle"] for one in document["statistics"]["standings"]} == set(throttle_names())
    assert document["statistics"]["origin"]["backend"] == "model"
    with (out / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(document["rows"])
    report = (out / "report.md").read_text()
    pictures = {path.name for path in out.glob("*.png")}
    assert pictures == {
        "fronts.png", "tradeoff-cover-letter.png", "timeline-cover-letter.png", "cover-letter-rows.png",
    }  # fmt: skip
    assert all(f"({picture})" in report for picture in pictures)
    assert "The letter's fifteen configurations" in report
    files = {"results.csv", "results.json", "summary.json", "report.md"}
    assert {path.name for path in out.iterdir()} == pictures | files
    assert read_summary(out).opponent == "tuned-rule"


@pytest.mark.slow
def test_same_seed_same_rows(tmp_path):
    arguments = ("none", "--no-baselines", "--suite", "noisy-neighbour", "--count", 3, "--json")
    documents = [
        json.loads(run(*arguments, "--seed", seed, "--out", tmp_path / str(k)).stdout)
        for k, seed in enumerate((1, 1, 2))
    ]
    assert documents[0] == documents[1] != documents[2]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("dirty-qota",), "'dirty-quota'"),
        (("--suite", "mixd"), "'mixed'"),
        (("--no-baselines",), "--no-baselines"),
        (("none", "--no-baselines", "--opponent", "non"), "'non' does not compete (did you mean 'none'?)"),
        (("{tmp}",), "neither a training run"),
    ],
)
def test_bad_input_is_an_error_and_leaves_nothing_behind(tmp_path, arguments, named):
    out = tmp_path / "out"
    result = run(*(argument.format(tmp=tmp_path) for argument in arguments), "--out", out)
    assert result.exit_code == 2
    assert named in result.output
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_evaluated(tmp_path, monkeypatch):
    def evaluated(*arguments, **options):
        raise AssertionError

    monkeypatch.setattr("experiments.evaluation.evaluation.run_all", evaluated)
    (tmp_path / "file").write_text("mine")
    result = run("none", "--no-baselines", "--suite", "cover-letter", "--out", tmp_path / "file" / "out")
    assert result.exit_code == 2
    assert f"cannot write {tmp_path / 'file' / 'out'}: " in result.output


def interrupt(*arguments, **options):
    raise KeyboardInterrupt


def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.evaluation.evaluation.run_all", interrupt)
    result = run("none", "--no-baselines", "--suite", "cover-letter", "--count", 2, "--out", tmp_path / "out")
    assert result.exit_code == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "where", ["experiments.evaluation.evaluation.run_migrations", "experiments.evaluation.pictures.tradeoff_figure"]
)
def test_an_interruption_after_a_run_leaves_that_run_alone_and_says_how_to_go_on(tmp_path, monkeypatch, where):
    arguments = ["none", "--no-baselines", "--suite", "cover-letter", "--count", 2, "--out", tmp_path / "out"]
    with monkeypatch.context() as patched:
        patched.setattr(where, interrupt)
        result = run(*arguments)
    assert result.exit_code == 130
    assert "1 of 1 runs are kept" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".out.journal"]
    assert run(*arguments, "--resume").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_a_second_evaluation_takes_another_folder_or_replaces_all_of_the_first(tmp_path):
    out = tmp_path / "out"
    arguments = ("--no-baselines", "--count", 2, "--out", out)
    assert run("none", "--suite", "cover-letter", *arguments).exit_code == 0
    kept = {path.name: path.read_bytes() for path in out.iterdir()}
    refused = run("stop-and-copy", "--suite", "kvm-lab", *arguments)
    assert refused.exit_code == 2
    assert refused.stderr.strip() == f"error: {out} exists: choose another --out, or replace it with --force"
    assert {path.name: path.read_bytes() for path in out.iterdir()} == kept

    assert run("stop-and-copy", "--suite", "kvm-lab", *arguments, "--force").exit_code == 0
    document = json.loads((out / "results.json").read_text())
    assert {row["throttle"] for row in document["rows"]} == {"stop-and-copy"}
    assert "tradeoff-cover-letter.png" in kept
    assert {path.name for path in out.glob("*.png")} == {"fronts.png", "tradeoff-kvm-lab.png", "timeline-kvm-lab.png"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_no_evaluation_is_not_replaced_even_by_force(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    result = run("none", "--no-baselines", "--suite", "cover-letter", "--count", 2, "--out", tmp_path, "--force")
    assert result.exit_code == 2
    assert f"{tmp_path} exists and is not a folder of `dqgym evaluate`" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_an_interrupted_replacement_is_gone_on_with_and_leaves_the_old_folder_until_then(tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = ("none", "--no-baselines", "--suite", "cover-letter", "--count", 2, "--out", out)
    assert run(*arguments, "--seed", 1).exit_code == 0
    old = (out / "results.json").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("experiments.evaluation.pictures.tradeoff_figure", interrupt)
        assert run(*arguments, "--seed", 2, "--force").exit_code == 130
    assert (out / "results.json").read_bytes() == old
    assert run(*arguments, "--seed", 2, "--resume").exit_code == 0
    assert (out / "results.json").read_bytes() != old
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_scenarios_with_more_vcpus_are_left_out_so_that_a_policy_of_few_slots_can_run(monkeypatch, tmp_path):
    narrow = ThrottleSource("narrow", True, POLICY.make, VcpuSpec(low=1, high=4, slots=4))
    of_a_name = throttle_sources.throttle_source
    chosen = lambda source, survey=None: narrow if source == "run" else of_a_name(source)  # noqa: E731
    monkeypatch.setattr(throttle_sources, "throttle_source", chosen)
    arguments = ("run", "--no-baselines", "--suite", "cover-letter", "--suite", "mixed", "--count", 3, "--json")
    refused = run(*arguments, "--out", tmp_path / "all")
    assert refused.exit_code == 2
    assert "policy 'narrow' serves 1 .. 4; --max-vcpus 4 leaves larger ones out" in refused.stderr

    document = json.loads(run(*arguments, "--max-vcpus", 4, "--out", tmp_path / "small").stdout)
    assert {row["suite"] for row in document["rows"]} == {"cover-letter", "mixed"}
    assert max(len(row["guest_runtime_per_vcpu"]) for row in document["rows"]) <= 4


def test_a_suite_without_small_scenarios_says_from_how_many_vcpus_it_has_some():
    result = run("none", "--no-baselines", "--suite", "guest-runtime", "--max-vcpus", 4)
    assert result.exit_code == 2
    assert "suite 'guest-runtime' has no scenario with 4 vCPUs or fewer, only from 7" in result.stderr


@pytest.mark.slow
def test_rows_that_are_many_are_in_the_compressed_file_alone(tmp_path, monkeypatch):
    arguments = ["none", "stop-and-copy", "--no-baselines", "--suite", "cover-letter", "--count", 2]
    arguments += ["--out", tmp_path, "--force"]
    assert run(*arguments).exit_code == 0
    monkeypatch.setattr("dqgym.results.rows_file.MOST_ROWS_PLAIN", 7)
    monkeypatch.setattr("experiments.evaluation.results_folder.MOST_ROWS_AS_JSON", 7)
    assert run(*arguments).exit_code == 0
    assert "rows" not in json.loads((tmp_path / "results.json").read_text())
    assert not (tmp_path / "results.csv").exists()
    assert len(read_rows(tmp_path, ["none", "stop-and-copy"])) == 8
