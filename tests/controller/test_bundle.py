from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dqgym.controller.bundle import BundleError, read_bundle
from dqgym.controller.manifest import MANIFEST_FILE, FileEntry, sha256
from dqgym.telemetry.encoder import Encoder, observation_size
from dqgym.telemetry.features import GLOBAL_FEATURES
from dqgym.throttles.base import Throttle
from tests.controller import bundle_maker
from tests.controller.bundle_maker import ACTION, MOST_VCPUS, NETWORK_FILE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return bundle_maker.write(tmp_path / "bundle")


def edit_manifest(path: Path, **changes: object) -> None:
    file = path / MANIFEST_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def observation(migrations: int, slots: int, present: int) -> np.ndarray:
    """Everything 0.5, but the first per-vCPU feature, which says which slots hold a vCPU."""
    start = len(GLOBAL_FEATURES)
    values = np.full((migrations, observation_size(slots)), 0.5, dtype=np.float32)
    values[:, start : start + slots] = np.arange(slots) < present
    return values


@pytest.mark.parametrize(("migrations", "slots", "present"), [(1, 1, 1), (3, 8, 5), (2, MOST_VCPUS, 2)])
def test_act_runs_the_network_on_any_number_of_migrations_and_vcpus(
    path: Path, migrations: int, slots: int, present: int
) -> None:
    actions = read_bundle(path).act(observation(migrations, slots, present))

    assert actions.dtype == np.float32
    np.testing.assert_array_equal(actions, np.tile(np.where(np.arange(slots) < present, ACTION, 0.0), (migrations, 1)))


def test_the_encoder_is_the_one_of_the_manifest_for_the_slots_asked_for(path: Path) -> None:
    bundle = read_bundle(path)

    assert bundle.encoder(5).spec() == Encoder(5).spec()
    with pytest.raises(ValueError, match=rf"vcpu_slots=17: the policy takes 1 \.\. {MOST_VCPUS}"):
        bundle.encoder(17)


def test_the_throttle_carries_name_and_interval_of_the_manifest(path: Path) -> None:
    bundle = read_bundle(path)
    throttle = bundle.throttle()

    assert isinstance(throttle, Throttle)
    assert throttle.name == "hand-made"
    assert throttle.control_interval.pass_times == 0.04


@pytest.mark.parametrize("preference", [0.01, 2.5, float("nan")])
def test_a_preference_outside_of_the_training_range_is_refused(path: Path, preference: float) -> None:
    with pytest.raises(ValueError, match=r"preference=.*trained for 0\.05 \.\. 2\.0"):
        read_bundle(path).throttle(preference)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere: no such directory"):
        read_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [MANIFEST_FILE, NETWORK_FILE])
def test_a_missing_file_is_named(path: Path, name: str) -> None:
    (path / name).unlink()

    with pytest.raises(BundleError, match=rf"{name}: No such file"):
        read_bundle(path)


def test_a_truncated_manifest_is_not_valid_json(path: Path) -> None:
    text = (path / MANIFEST_FILE).read_text()
    (path / MANIFEST_FILE).write_text(text[: len(text) // 2])

    with pytest.raises(BundleError, match=rf"{MANIFEST_FILE}: not valid JSON"):
        read_bundle(path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_an_unknown_schema_is_refused_before_anything_else_is_read(path: Path, version: object) -> None:
    edit_manifest(path, schema_version=version, entry_of_another_schema=1)

    with pytest.raises(BundleError, match=rf"schema_version={version!r}, this reader knows 1 only"):
        read_bundle(path)


def test_a_manifest_that_is_no_object_has_no_schema(path: Path) -> None:
    (path / MANIFEST_FILE).write_text("[1]")

    with pytest.raises(BundleError, match="schema_version=None"):
        read_bundle(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nmae": "x"}, "nmae: Extra inputs are not permitted"),
        ({"preference": {"default": 3.0, "low": 0.05, "high": 2.0}}, r"preference: .*default=3\.0 must lie within"),
        ({"vcpus": {"low": 4, "high": 2, "slots": None}}, "vcpus: .*high=2 must not be below low=4"),
        ({"vcpus": {"low": 1, "high": 8, "slots": 4}}, "vcpus: .*slots=4 must not be below high=8"),
        ({"vcpus": {"low": 1, "high": 8, "slots": 8}}, r"vcpus\.slots=8 and observation\.vcpu_slots=None differ"),
        ({"parity": []}, "parity: "),
        (
            {"files": [{"name": "../other.onnx", "size_bytes": 1, "sha256": "0" * 64}]},
            r"files\.0\.name: .*'\.\./other\.onnx' must be the plain name",
        ),
        ({"files": []}, r"network\.file='policy\.onnx' is not among the files"),
        (
            {
                "parity": [
                    {"form": "onnx", "observations": 9, "source": "random", "vcpus": 1, "max_abs_difference": 0.002}
                ]
            },
            r"parity: onnx is 0\.002 away from the trained network \(allowed: 1e-05\)",
        ),
    ],
)
def test_a_wrong_entry_of_the_manifest_is_named(path: Path, changes: dict[str, object], message: str) -> None:
    edit_manifest(path, **changes)

    with pytest.raises(BundleError, match=rf"{MANIFEST_FILE}: .*{message}"):
        read_bundle(path)


def test_one_flipped_bit_is_a_wrong_checksum(path: Path) -> None:
    content = bytearray((path / NETWORK_FILE).read_bytes())
    expected = sha256(bytes(content))
    content[len(content) // 2] ^= 1
    (path / NETWORK_FILE).write_bytes(content)

    with pytest.raises(BundleError, match=rf"{NETWORK_FILE}: SHA-256 is [0-9a-f]+, the manifest says {expected}"):
        read_bundle(path)


def test_a_truncated_file_has_a_wrong_size(path: Path) -> None:
    content = (path / NETWORK_FILE).read_bytes()
    (path / NETWORK_FILE).write_bytes(content[:-7])

    with pytest.raises(BundleError, match=rf"{len(content) - 7} bytes, the manifest says {len(content)}"):
        read_bundle(path)


def test_bytes_that_are_no_network_are_refused(tmp_path: Path) -> None:
    path = bundle_maker.write(tmp_path / "bundle", content=b"no network")

    with pytest.raises(BundleError, match=rf"{NETWORK_FILE}: ONNX Runtime cannot load"):
        read_bundle(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"input_name": "state"}, r"inputs \['state'\] must be \['observation'\]"),
        ({"output_name": "q"}, r"outputs \['q'\] must be \['action'\]"),
    ],
)
def test_a_network_with_other_inputs_or_outputs_is_refused(tmp_path: Path, names: dict[str, str], message: str) -> None:
    path = bundle_maker.write(tmp_path / "bundle", content=bundle_maker.network(**names))

    with pytest.raises(BundleError, match=message):
        read_bundle(path)


def test_a_network_that_answers_in_another_shape_is_refused(tmp_path: Path) -> None:
    transposed = bundle_maker.network(feature_axis=2)
    path = bundle_maker.write(tmp_path / "bundle", content=transposed)

    with pytest.raises(BundleError, match=rf"{NETWORK_FILE}: answers observations .* not float32 \(1, 1\)"):
        read_bundle(path)


def test_an_encoder_that_this_version_does_not_have_is_refused(path: Path) -> None:
    edit_manifest(path, observation={**Encoder(1).spec(), "version": 99, "vcpu_slots": None})

    with pytest.raises(BundleError, match=rf"{MANIFEST_FILE}: observation: .*99"):
        read_bundle(path)


def test_a_file_entry_is_what_the_reader_checks(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"abc")

    entry = FileEntry.of(tmp_path / "x.bin")

    assert entry.size_bytes == 3
    # SHA-256 of "abc": FIPS 180-2, appendix B.1.
    assert entry.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.slow
def test_reading_and_running_a_bundle_imports_neither_torch_nor_stable_baselines3(path: Path) -> None:
    code = """
import sys
import numpy as np
sys.modules.update({"torch": None, "stable_baselines3": None})  # importing them raises
from dqgym.controller.bundle import read_bundle
bundle = read_bundle(sys.argv[1])
from dqgym.telemetry.encoder import observation_size
print(bundle.act(np.zeros((1, observation_size(4)), dtype=np.float32)).tolist())
"""
    result = subprocess.run([sys.executable, "-c", code, os.fspath(path)], capture_output=True, text=True, check=False)

    assert (result.stdout.strip(), result.stderr) == ("[[0.0, 0.0, 0.0, 0.0]]", "")
