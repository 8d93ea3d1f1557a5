"""The policy of a training run as a bundle that runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dqgym.controller.manifest import (
    MANIFEST_FILE,
    MAX_PARITY_DIFFERENCE,
    SCHEMA_VERSION,
    FileEntry,
    IntervalSpec,
    Manifest,
    NetworkSpec,
    ParityFigure,
)
from dqgym.controller.network import INPUT_NAME, ONNX_FORM, OUTPUT_NAME, load_network
from dqgym.errors import BadInputError, RunFailedError
from dqgym.references import is_reference
from experiments.folders import FolderKind, filling_folder, require_free
from experiments.foreign.sources import foreign_policy, is_zip
from experiments.reporting.tables import Table
from experiments.runs.run_directory import RunDirectory, package_versions

if TYPE_CHECKING:  # torch takes seconds to load, and what is wrong with the arguments is said before
    from experiments.policies import Exportable

NETWORK_FILE = "policy.onnx"
BUNDLE = FolderKind("policy bundle", (MANIFEST_FILE,))
BUNDLE_FOLDER = "bundle"
"""Default name of a bundle inside its run directory."""
RECORDED_PACKAGES = ("dqgym", "numpy", "onnx", "onnxruntime", "stable-baselines3", "torch")
OBSERVATIONS = 1000
"""Observations in each parity figure."""


def export_run(
    run_path: Path, out: Path | None = None, *, force: bool = False, observations: int = OBSERVATIONS
) -> Path:
    """Write the best policy of a run as a bundle; all of it or nothing.

    Args:
        run_path: the run directory.
        out: directory of the bundle; ``bundle`` inside the run directory when None.
        force: replace a bundle that lies there already.
        observations: how many observations each parity figure rests on.

    Returns:
        The directory of the bundle.

    Raises:
        BadInputError: there is no run or no trained policy, ``out`` exists or cannot be written.
        RunFailedError: the policy cannot be exported, or the exported form is not faithful.
    """
    from experiments.runs.trained_policy import load_trained_policy

    out = run_path / BUNDLE_FOLDER if out is None else out
    run = RunDirectory.open(run_path)
    require_free(out, force, BUNDLE)
    return write_bundle(load_trained_policy(run), _evaluation(run), out, force=force, observations=observations)


def export_policy(
    source: str, out: Path | None = None, *, force: bool = False, observations: int = OBSERVATIONS
) -> Path:
    """Write a policy as a bundle: the best one of a run, or one that another library trained.

    Args:
        source: a run directory, a zip of Stable-Baselines3, or ``module:factory``.
        out: directory of the bundle; None: ``bundle`` in the run, else ``NAME-bundle`` beside the zip, or here.
        force: as in ``export_run``, which this otherwise is.
        observations: likewise.
    """
    if not is_zip(source) and (Path(source).exists() or not is_reference(source)):
        return export_run(Path(source), out, force=force, observations=observations)
    path = Path(source)
    name = path.stem if is_zip(source) else source.rpartition(":")[2]
    out = path.with_name(f"{name}-{BUNDLE_FOLDER}") if out is None else out
    require_free(out, force, BUNDLE)
    policy = foreign_policy(source)
    if policy is None:
        raise BadInputError(f"{source} is no policy: it has no method predict(observations)")
    return write_bundle(policy, None, out, force=force, observations=observations)


def write_bundle(
    policy: Exportable,
    evaluation: dict[str, Any] | None,
    out: Path,
    *,
    force: bool = False,
    observations: int = OBSERVATIONS,
) -> Path:
    """Write a policy as a bundle; see ``export_run``. ``evaluation`` goes into the manifest as it is."""
    from dqgym.controller.bundle import read_bundle
    from experiments.bundles.onnx_export import actor_to_onnx

    require_free(out, force, BUNDLE)
    network = actor_to_onnx(policy.actor, policy.vcpus.slots)
    parity = _parity(policy, network, observations)
    with filling_folder(out) as draft:
        (draft / NETWORK_FILE).write_bytes(network)
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            name=policy.name,
            created_by=package_versions(RECORDED_PACKAGES),
            network=NetworkSpec(
                policy="per-vcpu" if policy.vcpus.slots is None else "mlp",
                form=ONNX_FORM,
                file=NETWORK_FILE,
                input_name=INPUT_NAME,
                output_name=OUTPUT_NAME,
            ),
            observation={**policy.encoder(policy.vcpus.widest).spec(), "vcpu_slots": policy.vcpus.slots},
            action=policy.action_spec.spec(),
            control_interval=IntervalSpec.of(policy.control_interval),
            preference=policy.preference,
            vcpus=policy.vcpus,
            training_config=policy.training_record(),
            evaluation=evaluation,
            files=(FileEntry.of(draft / NETWORK_FILE),),
            parity=tuple(parity),
        )
        (draft / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        read_bundle(draft)  # what cannot be read back must not be published
    return out


def bundle_document(bundle: Path) -> dict[str, Any]:
    """What an exported bundle holds and how faithful it is, as JSON."""
    from dqgym.controller.bundle import read_bundle

    manifest = read_bundle(bundle).manifest
    return {
        "bundle": str(bundle),
        "name": manifest.name,
        "files": [entry.model_dump(mode="json") for entry in manifest.files],
        "parity": [figure.model_dump(mode="json") for figure in manifest.parity],
    }


def bundle_table(bundle: Path) -> Table:
    """The same for a reader."""
    from dqgym.controller.bundle import read_bundle

    manifest = read_bundle(bundle).manifest
    return Table.of(
        f"{bundle}: {manifest.name}, {manifest.vcpus.low} .. {manifest.vcpus.high} vCPUs",
        ("form", "observations", "vCPU slots", "count", "largest difference"),
        [
            (
                figure.form,
                figure.source,
                str(figure.vcpus),
                str(figure.observations),
                f"{figure.max_abs_difference:.1e}",
            )
            for figure in manifest.parity
        ],
        [f"{entry.name}: {entry.size_bytes:,} bytes, SHA-256 {entry.sha256}" for entry in manifest.files],
        text_columns=2,
    )


def _parity(policy: Exportable, network: bytes, observations: int) -> list[ParityFigure]:
    from experiments.bundles.parity import observation_sets, parity_figure

    exported = load_network(network).act
    figures = [
        parity_figure(ONNX_FORM, policy.act, exported, chosen) for chosen in observation_sets(policy, observations)
    ]
    for figure in figures:
        # Written so that NaN fails, too.
        if not figure.max_abs_difference <= MAX_PARITY_DIFFERENCE:
            raise RunFailedError(
                f"the {figure.form} form differs from the trained network by {figure.max_abs_difference:g} over"
                f" {figure.observations} {figure.source} observations at {figure.vcpus} vCPU slots"
                f" (allowed: {MAX_PARITY_DIFFERENCE:g})"
            )
    return figures


def _evaluation(run: RunDirectory) -> dict[str, Any] | None:
    """The evaluation that chose the run's best policy; the history of the others stays behind."""
    if not run.evaluation_path.is_file():
        return None
    evaluation = run.read_evaluation()
    return {key: value for key, value in evaluation.items() if key != "history"}
