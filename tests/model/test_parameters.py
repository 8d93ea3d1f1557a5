"""Files of model parameters."""

from pathlib import Path

import pytest
import yaml

from dqgym.errors import BadInputError
from dqgym.model.parameters import (
    BOUNDS,
    DEFAULT_FILE,
    DEFAULT_PARAMETERS,
    UNITS,
    ModelParameters,
    ParameterError,
    load_parameters,
    load_throttle_options,
    save_parameters,
)

DEFAULT_CONTENT = yaml.safe_load(DEFAULT_FILE.read_text())


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_every_parameter_of_the_package_has_a_unit_and_a_source() -> None:
    assert list(DEFAULT_CONTENT) == list(DEFAULT_PARAMETERS._fields)
    for name, entry in DEFAULT_CONTENT.items():
        assert entry["unit"] == UNITS[name]
        assert name.endswith({"bytes/s": "_bytes_per_s", "s": "_s", "bytes": "_bytes", "1": ""}[entry["unit"]])
        assert len(entry["source"]) > 10


def test_saved_parameters_load_with_their_sources(tmp_path: Path) -> None:
    path = tmp_path / "fitted.yaml"
    parameters = DEFAULT_PARAMETERS._replace(fault_s=1.25e-7, contention=0.0)
    sources = {"fault_s": "measured", "dirty-quota.ratio": "guessed"}
    save_parameters(parameters, path, sources, {"dirty-quota": {"ratio": 1.75}})
    assert load_parameters(path) == parameters
    assert load_throttle_options(path) == {"dirty-quota": {"ratio": 1.75}}
    content = yaml.safe_load(path.read_text())
    assert content["fault_s"]["source"] == "measured"
    assert content["window_s"]["source"] == DEFAULT_CONTENT["window_s"]["source"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "fitted.yaml", "old")

    def fail(self: Path, target: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(BadInputError, match="disk full"):
        save_parameters(DEFAULT_PARAMETERS, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_without_throttles_has_no_options() -> None:
    assert load_throttle_options(DEFAULT_FILE) == {}


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("falt_s", {"value": 1, "unit": "s"}, "unknown parameter 'falt_s'.*did you mean 'fault_s'"),
        ("fault_s", None, "fault_s: missing"),
        ("fault_s", 1e-6, "fault_s: 1e-06 must be a mapping with the keys value, unit, source"),
        ("fault_s", {"value": 1e-6}, "fault_s: .* must be a mapping with the keys"),
        ("fault_s", {"value": 1e-6, "unit": "us"}, "fault_s.unit: 'us' must be 's'"),
        ("fault_s", {"value": -1.0, "unit": "s"}, "fault_s.value: -1.0 must not be negative"),
        ("window_s", {"value": 0, "unit": "s"}, "window_s.value: 0 must be positive"),
        ("fault_s", {"value": "fast", "unit": "s"}, "fault_s.value: 'fast' must be a finite number"),
        ("fault_s", {"value": True, "unit": "s"}, "fault_s.value: True must be a finite number"),
        ("throttles", ["dirty-quota"], "throttles: must be a mapping of throttles to their options"),
        ("throttles", {"dirty-quota": {"ratio": 2}}, "throttles.dirty-quota.ratio: 2 must be a mapping"),
    ],
)
def test_a_bad_entry_is_an_error_that_names_it(tmp_path: Path, name: str, entry: object, message: str) -> None:
    path = written(tmp_path / "bad.yaml", {**DEFAULT_CONTENT, name: entry})
    with pytest.raises(ParameterError, match=message) as caught:
        (load_parameters(path), load_throttle_options(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [("- 1", "must be a mapping with the parameters"), ("[", "valid YAML")]
)
def test_a_file_that_holds_no_parameters_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        load_parameters(written(tmp_path / "bad.yaml", content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"cannot read the parameters .*none\.yaml"):
        load_parameters(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ModelParameters._fields)
def test_a_parameter_is_within_its_bounds(name: str, tmp_path: Path) -> None:
    path = tmp_path / "parameters.yaml"
    for end, factor in zip(BOUNDS[name], (0.999, 1.001), strict=True):
        save_parameters(DEFAULT_PARAMETERS._replace(**{name: end}), path)
        if end > 0:
            assert load_parameters(path)._asdict()[name] == end
            save_parameters(DEFAULT_PARAMETERS._replace(**{name: end * factor}), path)
            with pytest.raises(ParameterError, match=rf"{name}\.value: .* must be from"):
                load_parameters(path)
