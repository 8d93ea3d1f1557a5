from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.errors import BadInputError
from dqgym.scenario import load_scenario, scenario_to_yaml
from dqgym.scenario.suites import describe, get_suite, name_of
from dqgym.throttles.registry import make_throttle

FIELD = Path(str(files("dqgym.scenario").joinpath("data/field")))
FIELD_FILES = sorted(FIELD.glob("*.yaml"))
SCENARIO = """
name: {name}
vm: {{memory: 1 GiB}}
workload: [{{vcpus: 2, pattern: uniform, working_set: 64 MiB, write_rate: 50 MiB/s}}]
link: {{kind: constant, bandwidth: 100 MiB/s}}
"""
SAMPLER = """
sampler:
  vm: {memory: {log_uniform: [1 GiB, 4 GiB]}}
  workload: [{vcpus: {uniform: [1, 4]}, pattern: uniform, memory_share: 0.2, pressure: {uniform: [0.5, 2]}}]
  link: {kind: constant, bandwidth: 100 MiB/s}
"""


def scenario(path: Path, name: str | None = None) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(SCENARIO.format(name=name or path.stem))
    return path


def listed(*names: str) -> str:
    blocks = [SCENARIO.format(name=name).strip().replace("\n", "\n  ") for name in names]
    return "scenarios:\n" + "".join(f"- {block}\n" for block in blocks)


def message(text: object) -> str:
    with pytest.raises(BadInputError) as caught:
        get_suite(str(text))
    return str(caught.value)


def test_a_scenario_file_is_a_fixed_suite_of_one_called_like_the_file(tmp_path: Path) -> None:
    path = scenario(tmp_path / "db.yaml", "my-database")
    suite = get_suite(str(path))
    assert (suite.name, suite.kind, suite.source) == ("db", "fixed", str(path))
    assert suite.scenarios() == [load_scenario(path)]
    assert describe(str(path)) == f"db (fixed, 1 scenarios): The scenario of {path}."


def test_a_folder_is_a_fixed_suite_of_all_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        scenario(tmp_path / "guests" / f"{name}.yaml", f"of-{name}")
    (tmp_path / "guests" / "d.yml").write_text(listed("night", "day"))
    (tmp_path / "guests" / "notes.txt").write_text("not a scenario")
    for text in ("guests", "guests/"):
        suite = get_suite(str(tmp_path / text))
        assert suite.name == "guests"
        assert [one.name for one in suite.scenarios()] == ["of-a", "of-b", "of-c", "night", "day"]


def test_a_file_with_a_list_is_a_fixed_suite_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "nights.yaml"
    path.write_text("description: Two of\n  them.\n" + listed("late", "early"))
    suite = get_suite(str(path))
    assert [one.name for one in suite.scenarios()] == ["late", "early"]
    assert suite.description == "Two of them."


def test_a_bare_name_is_a_folder_where_there_is_one_and_no_suite_comes_with_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scenario(tmp_path / "guests" / "a.yaml")
    scenario(tmp_path / "phases" / "a.yaml")
    assert get_suite("guests").source == "guests"
    assert get_suite("phases").source is None
    assert name_of("guests") == "guests"
    assert name_of("phases") == "phases"
    assert "its name, 'phases', is that of a suite that comes with dqgym" in message("./phases")


@pytest.mark.parametrize("file", ["mixed.yaml", "cover-letter.yml"])
def test_a_file_called_like_a_suite_that_comes_with_dqgym_is_refused(file: str, tmp_path: Path) -> None:
    assert "call the file or folder otherwise" in message(scenario(tmp_path / file, "x"))


@pytest.mark.parametrize("file", ["my db.yaml", "all.yaml", "-x.yaml", "é.yaml", "a" * 90 + ".yaml", ".yaml"])
def test_a_file_whose_name_no_suite_can_have_is_refused(file: str, tmp_path: Path) -> None:
    assert "cannot be the name of a suite" in message(scenario(tmp_path / file, "x"))


def test_every_fault_of_a_folder_is_told_at_once_with_its_file(tmp_path: Path) -> None:
    guests = tmp_path / "guests"
    scenario(guests / "a.yaml", "same")
    scenario(guests / "b.yaml", "same")
    scenario(guests / "c.yaml").write_text("name: c\nvm: {memory: 1 GB}\nlnk: {}")
    (guests / "d.yaml").write_text("name: [")
    (guests / "e.yaml").write_text(SAMPLER)
    (guests / "f.yaml").write_text("")
    told = message(guests)
    assert f"{guests / 'c.yaml'}: unknown key 'lnk' (did you mean 'link'?)" in told
    assert f"{guests / 'd.yaml'}: not valid YAML" in told
    assert f"{guests / 'e.yaml'}: a sampler is a suite of its own" in told
    assert f"{guests / 'f.yaml'}: must be a mapping" in told
    assert f"{guests / 'a.yaml'}, {guests / 'b.yaml'}: 2 scenarios are called 'same'" in told


def test_an_empty_folder_and_a_missing_file_are_errors_with_the_nearest_name(tmp_path: Path) -> None:
    assert "there is no file *.yaml in it" in message(f"{tmp_path}/")
    scenario(tmp_path / "database.yaml")
    assert "no such file or folder (did you mean 'database.yaml'?)" in message(tmp_path / "databse.yaml")
    assert "no such file" in message("nowhere\0.yaml")
    assert "no such file" in message("a" * 5000 + "/")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("scenarios: []", "scenarios: must be a list of scenarios"),
        ("scenarios: 3", "scenarios: must be a list of scenarios"),
        (listed("a", "a"), "2 scenarios are called 'a'"),
        (listed("a") + "sampler: {}", "unknown key 'scenarios'"),
        (listed("a") + "descripton: x", "unknown key 'descripton' (did you mean 'description'?)"),
        (listed("a") + "description: 3", "description: 3: must be text"),
        (listed("a").replace("1 GiB", "1 GiB, pge: 4 KiB"), "scenarios[0]: vm: unknown key 'pge'"),
        (listed("a").replace("1 GiB", "128M"), "scenarios[0]: vm.memory"),
        ("just text", "must be a mapping"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_an_error_that_names_the_field(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert told in message(path)
    assert str(path) in message(path)


def test_what_was_read_is_the_same_suite_where_it_is_written_again(tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    (tmp_path / "trace.csv").write_text("time_s,bandwidth_bytes_per_s\n0,1e8\n5,2e8\n")
    traced = scenario(tmp_path / "guests" / "a.yaml")
    recording = "{kind: trace, file: ../trace.csv}"
    traced.write_text(traced.read_text().replace("{kind: constant, bandwidth: 100 MiB/s}", recording))
    (tmp_path / "guests" / "b.yml").write_text(listed("x", "y"))
    scenario(tmp_path / "one.yml")
    (tmp_path / "nights.yaml").write_text(listed("late", "early"))
    (tmp_path / "drawn.yaml").write_text(SAMPLER)
    for name in ("guests", "one.yml", "nights.yaml", "drawn.yaml"):
        suite = get_suite(str(tmp_path / name))
        for path, text in suite.files:
            (copies / path).parent.mkdir(parents=True, exist_ok=True)
            (copies / path).write_text(text)
        top = suite.files[0][0].split("/")[0]
        again = get_suite(str(copies / top))
        assert again.scenarios(1) == suite.scenarios(1)
        assert replace(again, source=None, description="") == replace(suite, source=None, description="")


def test_two_readings_of_a_file_are_equal_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "drawn.yaml"
    path.write_text(SAMPLER)
    first = get_suite(str(path))
    assert get_suite(str(path)) == first
    assert hash(get_suite(str(path))) == hash(first)
    path.write_text(SAMPLER.replace("4 GiB", "5 GiB"))
    assert get_suite(str(path)) != first


@pytest.mark.parametrize("path", FIELD_FILES, ids=lambda path: path.stem)
def test_a_scenario_of_the_field_is_a_suite_and_migrates(path: Path) -> None:
    (one,) = get_suite(str(path)).scenarios()
    assert scenario_to_yaml(one) == scenario_to_yaml(load_scenario(path))
    outcomes = run_migrations(ModelBackend(vcpu_slots=64), [one], make_throttle("none"), [0])
    assert 0 < outcomes.total_time_s[0] <= one.deadline_s * 1.01


def test_the_scenarios_of_the_field_are_one_suite() -> None:
    suite = get_suite(str(FIELD))
    assert suite.name == "field"
    assert len(suite.scenarios()) == len(FIELD_FILES) == 27
    outcomes = run_migrations(ModelBackend(vcpu_slots=64), suite.scenarios(), make_throttle("none"), range(27))
    assert outcomes.converged.any()
    assert not outcomes.converged.all()
