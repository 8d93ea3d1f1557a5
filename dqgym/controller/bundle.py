"""Reads a policy bundle: checks it, and runs its network with ONNX Runtime and NumPy alone.

Nothing on this path needs torch or Stable-Baselines3. Every fault of a bundle is one ``BundleError``
that names the file and what is wrong with it, raised before the first decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from dqgym.arrays import Float32Array
from dqgym.controller.manifest import MANIFEST_FILE, SCHEMA_VERSION, FileEntry, Manifest, sha256
from dqgym.controller.network import INPUT_NAME, OUTPUT_NAME, OnnxNetwork, load_network
from dqgym.controller.policy_throttle import PolicyThrottle
from dqgym.documents import parse_json
from dqgym.errors import BadInputError
from dqgym.files import read_bytes
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.encoder import Encoder, observation_size
from dqgym.telemetry.interval import ControlInterval


class BundleError(BadInputError):
    """A bundle that must not be run: says which file of it is wrong, and how."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"policy bundle {path}: {problem}")


@dataclass(frozen=True)
class Bundle:
    """A checked policy bundle: ``read_bundle`` makes it, ``throttle`` makes a policy of it that takes telemetry.

    Attributes:
        path: its directory.
        manifest: what the policy is, what it was trained for, and which files there are.
        network: runs it with ONNX Runtime.
    """

    path: Path
    manifest: Manifest
    network: OnnxNetwork

    def act(self, observation: Float32Array) -> Float32Array:
        """float32 [N, V] actions within -1 .. 1 for float32 [N, observation size] observations; deterministic."""
        return self.network.act(observation)

    def encoder(self, vcpu_slots: int) -> Encoder:
        """The encoder that the policy was trained with, for a number of vCPU slots.

        Raises:
            BadInputError: the policy does not serve that many slots.
        """
        self.manifest.vcpus.require_slots(vcpu_slots)
        return Encoder.from_spec({**self.manifest.observation, "vcpu_slots": vcpu_slots})

    def throttle(self, preference: float | None = None, survey: ControlInterval | None = None) -> PolicyThrottle:
        """The policy as a throttle: ``reset(facts)`` once, then ``act(telemetry)`` once for each control interval.

        Args:
            preference: c, what guest runtime is worth against time; None takes the manifest's default.
            survey: length of the survey that is made before each migration; None for none.

        Returns:
            It serves N migrations of V vCPU slots side by side. Put a ``Guard`` around it before it controls a guest.

        Raises:
            BadInputError: the policy was not trained for that preference.
        """
        return PolicyThrottle(
            name=self.manifest.name,
            act=self.act,
            encoder=self.encoder,
            action_spec=ActionSpec.from_spec(self.manifest.action),
            control_interval=self.manifest.control_interval.control_interval(),
            preference=self.manifest.preference.choose(preference),
            survey=survey,
        )


def read_bundle(path: Path | str) -> Bundle:
    """Read and check the bundle in a directory, such as ``SHIPPED_BUNDLE`` or what ``dqgym export`` wrote.

    Raises:
        BundleError: directory, manifest or a file is missing; the manifest is not valid or of an unknown schema;
            a file has not the size or the checksum of the manifest; the network does not fit the specification.
    """
    path = Path(path)
    if not path.is_dir():
        raise BundleError(path, "no such directory")
    manifest = _read_manifest(path)
    contents = {entry.name: _read_checked(path, entry) for entry in manifest.files}
    try:
        network = load_network(contents[manifest.network.file])
    except ValueError as error:
        raise BundleError(path, f"{manifest.network.file}: {error}") from error
    bundle = Bundle(path, manifest, network)
    _check_specifications(bundle)
    _check_network(bundle)
    return bundle


def _read_manifest(path: Path) -> Manifest:
    text = _read(path, MANIFEST_FILE)
    try:
        content = parse_json(text, MANIFEST_FILE)
    except BadInputError as error:
        raise BundleError(path, str(error)) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(path, f"{MANIFEST_FILE}: schema_version={version!r}, this reader knows {SCHEMA_VERSION} only")
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, detail['loc'])) or 'manifest'}: {detail['msg']}" for detail in error.errors()
        )
        raise BundleError(path, f"{MANIFEST_FILE}: {problems}") from error


def _read(path: Path, name: str) -> bytes:
    """A regular file of the bundle."""
    try:
        return read_bytes(path / name)
    except BadInputError as error:
        reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else str(error)
        raise BundleError(path, f"{name}: {reason}") from error


def _read_checked(path: Path, entry: FileEntry) -> bytes:
    """Return the very bytes that were checked, so that a file swapped after the check is never run."""
    content = _read(path, entry.name)
    if len(content) != entry.size_bytes:
        raise BundleError(path, f"{entry.name}: {len(content)} bytes, the manifest says {entry.size_bytes}")
    if (checksum := sha256(content)) != entry.sha256:
        raise BundleError(path, f"{entry.name}: SHA-256 is {checksum}, the manifest says {entry.sha256}")
    return content


def _check_specifications(bundle: Bundle) -> None:
    """Observations and actions must be ones that this version makes exactly as the manifest describes."""
    try:
        bundle.encoder(bundle.manifest.vcpus.widest)
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(bundle.path, f"{MANIFEST_FILE}: observation: {error}") from error
    try:
        ActionSpec.from_spec(bundle.manifest.action)
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(bundle.path, f"{MANIFEST_FILE}: action: {error}") from error


def _check_network(bundle: Bundle) -> None:
    file, served = bundle.manifest.network.file, bundle.manifest.vcpus
    for kind, found, name in (
        ("inputs", bundle.network.input_names, INPUT_NAME),
        ("outputs", bundle.network.output_names, OUTPUT_NAME),
    ):
        if found != [name]:
            raise BundleError(bundle.path, f"{file}: {kind} {found} must be [{name!r}]")
    # Symbolic dimensions do not tell how output and input hang together; running the network does.
    for slots in sorted({served.slots or served.low, served.widest}):
        for migrations in (1, 2):
            observation = np.zeros((migrations, observation_size(slots)), dtype=np.float32)
            _check_answer(bundle, observation, (migrations, slots))


def _check_answer(bundle: Bundle, observation: Float32Array, shape: tuple[int, int]) -> None:
    file = bundle.manifest.network.file
    try:
        action = bundle.act(observation)
    except Exception as error:  # ONNX Runtime's errors have no common base class of their own
        raise BundleError(bundle.path, f"{file}: does not take float32 {observation.shape}: {error}") from error
    if action.shape != shape or action.dtype != np.float32:
        raise BundleError(
            bundle.path,
            f"{file}: answers observations {observation.shape} with {action.dtype} {action.shape}, not float32 {shape}",
        )
