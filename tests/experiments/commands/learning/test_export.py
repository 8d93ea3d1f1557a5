from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from agents.actor import load_actor
from dqgym.controller.bundle import read_bundle
from dqgym.controller.manifest import MANIFEST_FILE
from dqgym.errors import BadInputError, RunFailedError
from dqgym.telemetry.encoder import observation_size
from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES
from experiments.bundles import export
from experiments.bundles.export import BUNDLE_FOLDER, NETWORK_FILE, export_run
from experiments.bundles.parity import ObservationSet, parity_figure, random_observations
from experiments.cli.app import app
from tests.experiments.conftest import OBSERVATIONS
from tests.experiments.made_runs import EVALUATION, MLP_SLOTS, config, make_run


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 8, 33, 64])
def test_the_bundle_acts_as_the_trained_policy(per_vcpu_run: Path, per_vcpu_bundle: Path, slots: int) -> None:
    observations = random_observations(slots, 50, np.random.default_rng(7))
    module, act = load_actor(per_vcpu_run / "best_model.zip", config("per-vcpu").algorithm, slots)

    actions = read_bundle(per_vcpu_bundle).act(observations)

    assert actions.std() > 0.1  # the comparison would mean nothing for a policy that always says the same
    np.testing.assert_allclose(actions, act(observations), atol=1e-5)
    with torch.no_grad():
        np.testing.assert_allclose(actions, module(torch.from_numpy(observations)).numpy(), atol=1e-5)


@pytest.mark.slow
def test_the_manifest_tells_what_the_policy_is_and_where_it_comes_from(per_vcpu_bundle: Path) -> None:
    manifest = read_bundle(per_vcpu_bundle).manifest

    assert manifest.name == "untrained-per-vcpu"
    assert manifest.training_config == config("per-vcpu").model_dump(mode="json")
    assert manifest.evaluation == EVALUATION
    assert manifest.control_interval.pass_times == 0.04
    assert (manifest.preference.default, manifest.preference.low, manifest.preference.high) == (0.2, 0.1, 1.0)
    assert (manifest.vcpus.low, manifest.vcpus.high, manifest.vcpus.slots) == (1, 64, None)
    assert manifest.created_by["torch"] == torch.__version__
    names = [feature["name"] for feature in manifest.observation["global_features"]]
    assert names == [feature.name for feature in GLOBAL_FEATURES]


@pytest.mark.slow
def test_parity_is_measured_over_random_and_recorded_observations(per_vcpu_bundle: Path) -> None:
    figures = read_bundle(per_vcpu_bundle).manifest.parity

    assert [figure.vcpus for figure in figures if figure.source == "random"] == [1, 8, 32, 64]
    assert [figure.source for figure in figures].count("recorded") == 1
    assert all(figure.observations == OBSERVATIONS and figure.max_abs_difference <= 1e-5 for figure in figures)


@pytest.mark.slow
def test_the_network_is_plain_onnx_that_tells_nothing_about_the_exporting_machine(per_vcpu_bundle: Path) -> None:
    content = (per_vcpu_bundle / NETWORK_FILE).read_bytes()

    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    assert b".py" not in content
    assert {file.name for file in per_vcpu_bundle.iterdir()} == {NETWORK_FILE, MANIFEST_FILE}


@pytest.mark.slow
def test_an_mlp_policy_keeps_its_number_of_slots(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mlp", "mlp")

    bundle = read_bundle(export_run(run, observations=20))

    assert bundle.path == run / BUNDLE_FOLDER
    assert (bundle.manifest.vcpus.high, bundle.manifest.vcpus.slots) == (MLP_SLOTS, MLP_SLOTS)
    observations = random_observations(MLP_SLOTS, 20, np.random.default_rng(0))
    _, act = load_actor(run / "best_model.zip", config("mlp").algorithm, MLP_SLOTS)
    np.testing.assert_allclose(bundle.act(observations), act(observations), atol=1e-5)
    with pytest.raises(ValueError, match="vcpu_slots=4: the policy takes 8, no other number"):
        bundle.encoder(4)


def test_random_observations_lie_in_the_ranges_of_the_features_and_leave_absent_slots_empty() -> None:
    slots = 6
    observations = random_observations(slots, 200, np.random.default_rng(1))
    vcpus = observations[:, len(GLOBAL_FEATURES) :].reshape(200, len(VCPU_FEATURES), slots)

    assert observations.shape == (200, observation_size(slots))
    for column, feature in enumerate(GLOBAL_FEATURES):
        assert feature.low <= observations[:, column].min() < observations[:, column].max() <= feature.high
    present = vcpus[:, 0] == 1
    assert set(present.sum(axis=1)) == set(range(1, slots + 1))
    assert not vcpus.transpose(0, 2, 1)[~present].any()


def test_a_parity_figure_is_the_largest_difference() -> None:
    observations = ObservationSet("random", 2, np.zeros((5, observation_size(2)), dtype=np.float32))
    offsets = np.array([[0.0, -0.25], [0.125, 0.0], [0, 0], [0, 0], [0, 0]], dtype=np.float32)

    figure = parity_figure(
        "onnx",
        trained=lambda seen: np.zeros((len(seen), 2), dtype=np.float32),
        exported=lambda seen: offsets[: len(seen)],
        observations=observations,
    )

    assert (figure.form, figure.source, figure.vcpus, figure.observations) == ("onnx", "random", 2, 5)
    assert figure.max_abs_difference == 0.25


@pytest.mark.slow
def test_an_unfaithful_export_leaves_nothing_behind(
    per_vcpu_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MAX_PARITY_DIFFERENCE", -1.0)

    with pytest.raises(RunFailedError, match=r"onnx form differs from the trained network by .*allowed: -1"):
        export_run(per_vcpu_run, tmp_path / "bundle", observations=5)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def untouched_export(monkeypatch: pytest.MonkeyPatch, per_vcpu_bundle: Path) -> None:
    """Writing a bundle takes the network and the figures from the one that was exported before: torch is slow."""
    bundle = read_bundle(per_vcpu_bundle)
    content = (per_vcpu_bundle / NETWORK_FILE).read_bytes()
    monkeypatch.setattr("experiments.bundles.onnx_export.actor_to_onnx", lambda *_: content)
    monkeypatch.setattr(export, "_parity", lambda *_: list(bundle.manifest.parity))


@pytest.mark.slow
@pytest.mark.usefixtures("untouched_export")
def test_a_bundle_is_replaced_only_when_asked_to(per_vcpu_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    export_run(per_vcpu_run, out)
    (out / "note").write_text("mine")

    with pytest.raises(BadInputError, match=r"bundle exists: choose another --out, or replace it with --force"):
        export_run(per_vcpu_run, out)
    assert (out / "note").exists()
    export_run(per_vcpu_run, out, force=True)

    assert {file.name for file in out.iterdir()} == {NETWORK_FILE, MANIFEST_FILE}
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.slow
@pytest.mark.usefixtures("untouched_export")
def test_a_directory_that_is_no_bundle_is_never_replaced(per_vcpu_run: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(BadInputError, match="exists and is not a policy bundle"):
        export_run(per_vcpu_run, tmp_path, force=True)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("untouched_export")
@pytest.mark.parametrize("moment", ["while writing", "between the renames"])
def test_an_interruption_leaves_the_old_bundle(
    per_vcpu_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    out = tmp_path / "bundle"
    export_run(per_vcpu_run, out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    if moment == "while writing":

        def interrupt(path: Path) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("dqgym.controller.bundle.read_bundle", interrupt)
    else:
        rename = Path.rename

        def interrupted_rename(path: Path, target: Path) -> Path:
            if path.name == "new":
                raise KeyboardInterrupt
            return rename(path, target)

        monkeypatch.setattr("experiments.folders._exchanged", lambda one, other: False)
        monkeypatch.setattr(Path, "rename", interrupted_rename)

    with pytest.raises(KeyboardInterrupt):
        export_run(per_vcpu_run, out, force=True)

    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.slow
def test_a_run_without_a_trained_policy_is_refused(per_vcpu_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "meta.json"):
        (run / name).write_bytes((per_vcpu_run / name).read_bytes())

    with pytest.raises(BadInputError, match=r"has no best_model\.zip yet"):
        export_run(run, tmp_path / "bundle")


@pytest.mark.slow
@pytest.mark.usefixtures("untouched_export")
def test_the_command_prints_files_and_parity(per_vcpu_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"

    result = CliRunner().invoke(app, ["export", str(per_vcpu_run), "--out", str(out), "--json"])

    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed["bundle"] == str(out)
    assert printed["files"] == json.loads((out / MANIFEST_FILE).read_text())["files"]
    assert max(figure["max_abs_difference"] for figure in printed["parity"]) <= 1e-5
