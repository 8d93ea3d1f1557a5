import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import dqgym
from dqgym.errors import BadInputError
from dqgym.results.rows_file import write_rows
from dqgym.results.schema import FRAMES, KEY, VERSION, stamped
from experiments.evaluation.control import ControlledMigration, ControlReport
from experiments.evaluation.duel import duel_of
from experiments.evaluation.results_folder import MOST_ROWS_AS_JSON
from experiments.results.comparisons import Comparisons
from experiments.results.rows import json_safe, strata_of
from experiments.results.statistics import Bootstrap
from experiments.results.summary import Origin, read_summary, summarise_evaluation
from tests.experiments.made_rows import make_row, make_rows

STORED = Path(__file__).parents[2] / "docs" / "evaluations"
ROWS = make_rows({("t", 1): [1.0, 1 / 3], ("t", 2): [2.0, 1e-9], ("none", None): [4.0, 5.0]})
TAKEOVER = {"suite": "s", "throttle": "t", "preference": 0.2, "reason": "no progress", "migrations": 1}


@pytest.fixture
def folder(tmp_path):
    """What `dqgym evaluate --backend kvm` leaves."""
    path = tmp_path / "mine"
    path.mkdir()
    summary = summarise_evaluation(
        Comparisons(strata_of(ROWS), Bootstrap()), "none", ["t"], Origin("dqgym evaluate", "kvm", "2026-11-29")
    )
    write_rows(path, ROWS)
    (path / "summary.json").write_text(summary.compact())
    statistics = summary.document()
    document = {
        "summary": statistics.pop("means"), "statistics": statistics, "rows": [json_safe(vars(row)) for row in ROWS],
        "takeovers": [TAKEOVER],
    }  # fmt: skip
    (path / "results.json").write_text(json.dumps(stamped(document)))
    return path


def rewritten(path: Path, **changes) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def test_an_evaluation_has_a_row_for_each_migration_and_each_vcpu(folder):
    results = dqgym.load(folder)
    assert results.kind == "evaluation"
    assert results.about["command"] == "dqgym evaluate"
    for name in ("suite", "scenario", "throttle", "seed", "preference", "total_time_s", "cost", "rounds", "converged"):
        assert results.migrations[name].tolist() == [getattr(row, name) for row in ROWS], name
    assert set(results.migrations["backend"]) == {"kvm"}
    assert set(results.migrations["source"]) == {"mine"}
    assert results.migrations["training_seed"].isna().tolist() == [row.training_seed is None for row in ROWS]
    assert results.migrations["vcpus"].tolist() == [2] * len(ROWS)
    assert results.vcpus["vcpu"].tolist() == [0, 1] * len(ROWS)
    assert results.vcpus["guest_runtime"].tolist() == [0.25, 0.75] * len(ROWS)
    assert results.vcpus["scenario"].tolist() == np.repeat([row.scenario for row in ROWS], 2).tolist()


def test_every_frame_has_the_columns_and_types_of_the_schema_with_rows_and_without(folder):
    for results in (dqgym.load(folder), dqgym.load(STORED)):
        for name, schema in FRAMES.items():
            frame = getattr(results, name)
            assert [(column, str(dtype)) for column, dtype in frame.dtypes.items()] == [
                (column.name, column.dtype) for column in schema.columns
            ], name


def test_its_statistics_are_those_of_the_summary(folder):
    results, summary = dqgym.load(folder), read_summary(folder)
    assert results.means["cost"].tolist() == [mean.cost for mean in summary.means]
    expected = {(one.suite, one.throttle): one.mean_ratio for one in summary.standings}
    against_none = results.standings[results.standings["opponent"] == "none"]
    found = {(one.suite, one.throttle): (one.mean_ratio, one.mean_ratio_low, one.mean_ratio_high)
             for one in against_none.itertuples()}  # fmt: skip
    assert found == {key: tuple(estimate) for key, estimate in expected.items()}
    assert results.fronts["time_over_t0"].tolist() == [time for front in summary.fronts for time in front.time_over_t0]
    assert results.takeovers.drop(columns="source").to_dict("records") == [TAKEOVER]


def test_a_comparison_of_two_throttles_is_in_the_standings_once():
    standings = dqgym.load(STORED / "default").standings
    assert not standings.duplicated(["suite", "preference", "throttle", "opponent"]).any()


def test_migrations_that_differ_in_their_seed_alone_are_numbered(tmp_path):
    write_rows(tmp_path, [make_row(seed=seed, throttle=throttle) for throttle in "ab" for seed in (7, 8, 9)])
    results = dqgym.load(tmp_path)
    assert results.migrations["repetition"].tolist() == [0, 1, 2, 0, 1, 2]
    assert results.migrations["backend"].isna().all()


def test_what_evaluate_prints_is_what_its_folder_holds(folder):
    printed = dqgym.load(folder / "results.json")
    for name, frame in dqgym.load(folder).frames.items():
        ours = frame.drop(columns="source")
        theirs = getattr(printed, name).drop(columns="source")
        numbers = ours.select_dtypes("number").columns
        assert theirs[numbers].to_numpy(float) == pytest.approx(ours[numbers].to_numpy(float), rel=1e-5, nan_ok=True)
        assert theirs.drop(columns=numbers).equals(ours.drop(columns=numbers)), name


def test_a_missed_deadline_and_a_compressed_file_are_read(tmp_path):
    path = write_rows(tmp_path, [make_row(downtime_s=float("nan"), converged=False)])
    with gzip.open(tmp_path / "results.csv.gz", "wb") as packed:
        packed.write(path.read_bytes())
    path.unlink()
    (row,) = dqgym.load(tmp_path).migrations.itertuples()
    assert np.isnan(row.downtime_s)
    assert not row.converged


def test_stored_evaluations_from_before_there_was_a_version_are_read():
    results = dqgym.load(STORED)
    assert results.kind == "several"
    assert set(results.means["source"]) == {path.name for path in STORED.iterdir()} == set(results.about)
    stored = json.loads((STORED / "kvm-lab" / "summary.json").read_text())
    assert KEY not in stored
    cost = stored["means"]["columns"].index("cost")
    of_kvm = results.means[results.means["source"] == "kvm-lab"]
    assert of_kvm["cost"].tolist() == [row[cost] for row in stored["means"]["rows"]]


def test_a_comparison_has_standings_and_pairs(tmp_path):
    duel = duel_of(ROWS, "t", "none")
    (tmp_path / "duel.json").write_text(json.dumps(duel.document()))
    results = dqgym.load(tmp_path / "duel.json")
    assert results.kind == "comparison"
    assert results.about["verdict"] == duel.verdict()
    assert results.pairs["ratio"].tolist() == [pair.ratio for pair in (*duel.gains, *duel.losses)]
    assert len(results.standings) == len(duel.standings) + len(duel.reverse)


def test_a_control_report_has_its_migrations_and_says_what_it_does_not_know(tmp_path):
    migration = ControlledMigration("a", True, 10.0, 2.0, 0.1, 0.5, 0.25, 3, ("late decision at 2 s: 1 s",))
    report = ControlReport("t", "dirty-quota", None, "model", 0.2, (migration,))
    (tmp_path / "report.json").write_text(json.dumps(report.document()))
    results = dqgym.load(tmp_path / "report.json")
    (row,) = results.migrations.to_dict("records")
    assert (row["scenario"], row["throttle"], row["backend"], row["rounds"]) == ("a", "t", "model", 3)
    assert row["takeovers"] == "late decision at 2 s: 1 s"
    assert results.migrations[["seed", "suite", "cost", "vcpus"]].isna().all(axis=None)
    assert results.vcpus.empty


def test_one_migration_has_a_row_for_each_preference(tmp_path):
    one = vars(make_row()) | {
        "cost": {"0.2": 2.5, "0.6": 3.5},
        "guest_runtime_per_vcpu": [0.25, 0.75],
        "backend": "kvm",
    }
    (tmp_path / "one.json").write_text(json.dumps(one))
    results = dqgym.load(tmp_path / "one.json")
    assert results.migrations["preference"].tolist() == [0.2, 0.6]
    assert results.migrations["cost"].tolist() == [2.5, 3.5]
    assert len(results.vcpus) == 4


def test_a_training_run_has_its_learning_curve(tmp_path):
    mean = read_summary(STORED / "kvm-lab").document()["means"][0]
    history = [{"frames": 10, "cost": 2.0}, {"frames": 20, "cost": 1.5}]
    document = {"frames": 20, "cost": 1.5, "summary": [mean], "history": history}
    (tmp_path / "evaluation.json").write_text(json.dumps(stamped(document)))
    (tmp_path / "meta.json").write_text('{"name": "mine", "seed": 3}')
    results = dqgym.load(tmp_path)
    assert results.kind == "training run"
    assert results.learning[["frames", "cost"]].to_dict("records") == history
    assert results.means["throttle"].tolist() == ["default"]
    assert (results.about["seed"], results.about["best"]) == (3, {"frames": 20, "cost": 1.5})


def test_tuned_options_are_a_row_each():
    path = Path(dqgym.__file__).parent / "throttles" / "rules" / "data" / "tuned.yaml"
    results = dqgym.load(path)
    rule = results.tuning[results.tuning["throttle"] == "tuned-rule"]
    assert rule["value"].notna().all()
    assert rule.groupby(["distribution", "preference", "option"]).size().eq(1).all()


def test_it_shows_what_it_is_and_the_size_of_each_frame(folder):
    lines = repr(dqgym.load(folder)).splitlines()
    assert lines[0] == f"evaluation: {folder}"
    assert f"  .migrations  6 rows x {len(FRAMES['migrations'].columns)} columns" in lines
    assert not any("learning" in line for line in lines)


def test_a_newer_schema_is_refused_in_one_line(folder):
    for name in ("summary.json", "results.json"):
        copy = folder.with_name(f"newer-{name}")
        shutil.copytree(folder, copy)
        rewritten(copy / name, **{KEY: VERSION + 1})
        with pytest.raises(
            BadInputError, match=rf"{name}: schema_version={VERSION + 1} is newer than this dqgym"
        ) as told:
            dqgym.load(copy)
        assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("version", ["2", 0, True, None])
def test_a_version_that_is_none_is_refused(folder, version):
    rewritten(folder / "summary.json", **{KEY: version})
    with pytest.raises(BadInputError, match=rf"schema_version={version!r} must be a whole number"):
        dqgym.load(folder)


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("summary.json", {"means": {"columns": ["suite"], "rows": [["s"]]}}, "damaged.*'throttle' is missing"),
        ("summary.json", {"fronts": 7}, "damaged"),
        ("summary.json", {"origin": None}, "damaged"),
        ("results.json", {"takeovers": [TAKEOVER | {"migrations": "many"}]}, "migrations='many' is no int64"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(folder, name, changes, problem):
    path = rewritten(folder / name, **changes)
    with pytest.raises(BadInputError, match=problem) as told:
        dqgym.load(folder)
    assert str(path) in str(told.value)
    assert len(str(told.value).splitlines()) == 1


def test_a_file_that_was_cut_off_is_named(folder):
    path = folder / "summary.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(BadInputError, match=r"summary\.json: not valid JSON"):
        dqgym.load(folder)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "is empty"),
        ({"manifest.json": "{}"}, r"policy bundle; dqgym\.read_bundle"),
        ({"meta.json": "{}", "config.yaml": ""}, "has not evaluated its policy yet"),
        ({"notes.txt": ""}, r"no folder of `dqgym evaluate` \(summary\.json, results\.csv\)"),
    ],
)
def test_a_folder_of_something_else_is_told_as_what_it_is(tmp_path, files, problem):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BadInputError, match=problem):
        dqgym.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("x.json", "[1, 2]", "not what a command writes"),
        ("x.json", "{", "not valid JSON"),
        ("x.yaml", "name: mine\nseed: 3\n", "no file with options that `dqgym tune` found"),
        ("x.yaml", "{}", "has no options that `dqgym tune` found"),
        ("results.csv", "suite\n", "load the folder that it lies in"),
    ],
)
def test_a_file_of_something_else_is_one_line(tmp_path, name, text, problem):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInputError, match=problem) as told:
        dqgym.load(tmp_path / name)
    assert len(str(told.value).splitlines()) == 1


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(BadInputError, match="nowhere: no such folder or file"):
        dqgym.load(tmp_path / "nowhere")


def test_without_pandas_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.setattr("dqgym.installed.find_spec", lambda name: None)
    with pytest.raises(BadInputError, match=r"dqgym\.load needs pandas, not installed here; .* 'dqgym\[pandas\]'"):
        dqgym.load(folder)


def test_more_rows_than_json_holds_come_from_the_csv(folder):
    assert len(ROWS) < MOST_ROWS_AS_JSON
    content = json.loads((folder / "results.json").read_text())
    del content["rows"]
    (folder / "results.json").write_text(json.dumps(content))
    assert len(dqgym.load(folder).migrations) == len(ROWS)
    assert dqgym.load(folder / "results.json").migrations.empty
