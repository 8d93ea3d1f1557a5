"""The manifest of a policy bundle: all that one must know to run the network next to it.

A bundle is one directory: the network in one or more forms, and ``manifest.json``. The manifest says how observations
are made (the encoder's table and constants), what actions mean, which migrations and preferences the policy serves,
how it was trained, and which bytes belong to it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePath
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from dqgym.cost import FAST
from dqgym.errors import BadInputError
from dqgym.telemetry.interval import ControlInterval

MANIFEST_FILE = "manifest.json"
SCHEMA_VERSION = 1
"""Goes up whenever a reader of the version before would misread a bundle."""
MAX_PARITY_DIFFERENCE = 1e-5
"""Largest difference between an action of an exported form and the trained network's; actions are within -1 .. 1."""

JsonObject = dict[str, JsonValue]


class _Record(BaseModel):
    """Frozen, and strict about unknown keys: what a reader does not know, it must not ignore."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class IntervalSpec(_Record):
    """The control interval, ``max(least_s, pass_times * T0)``."""

    least_s: float = Field(ge=0)
    pass_times: float = Field(ge=0)

    @classmethod
    def of(cls, interval: ControlInterval) -> Self:
        """The record of an interval."""
        return cls(least_s=interval.least_s, pass_times=interval.pass_times)

    def control_interval(self) -> ControlInterval:
        """The interval itself."""
        return ControlInterval(least_s=self.least_s, pass_times=self.pass_times)


class PreferenceSpec(_Record):
    """The preferences that the policy was trained for: what guest runtime is worth against time."""

    default: float
    low: float = Field(ge=0)
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.default <= self.high:
            raise BadInputError(f"default={self.default} must lie within low={self.low} .. high={self.high}")
        return self

    @classmethod
    def between(cls, low: float, high: float) -> Self:
        """Those from ``low`` to ``high``; the default is the nearest to ``FAST``."""
        return cls(default=min(max(FAST, low), high), low=low, high=high)

    def choose(self, preference: float | None) -> float:
        """The preference asked for, or the default for None; ValueError where the policy was not trained for it."""
        if preference is None:
            return self.default
        if not self.low <= preference <= self.high:
            raise BadInputError(f"preference={preference}: the policy was trained for {self.low} .. {self.high}")
        return preference


class VcpuSpec(_Record):
    """The numbers of vCPUs that the policy serves."""

    low: int = Field(ge=1)
    high: int
    slots: int | None
    """vCPU slots that the network's shape fixes; absent vCPUs are padding. None: any number of slots up to ``high``."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high < self.low:
            raise BadInputError(f"high={self.high} must not be below low={self.low}")
        if self.slots is not None and self.slots < self.high:
            raise BadInputError(f"slots={self.slots} must not be below high={self.high}")
        return self

    @property
    def widest(self) -> int:
        """The largest number of vCPU slots that the network takes."""
        return self.high if self.slots is None else self.slots

    def require_slots(self, slots: int) -> None:
        """ValueError where the network does not take that many vCPU slots."""
        if slots > self.widest or (self.slots is not None and slots != self.slots):
            taken = f"1 .. {self.high}" if self.slots is None else f"{self.slots}, no other number"
            raise BadInputError(f"vcpu_slots={slots}: the policy takes {taken}")


class NetworkSpec(_Record):
    """The network: [N, observation size] float32 in, [N, vCPU slots] float32 within -1 .. 1 out."""

    policy: str
    """``per-vcpu``: shared weights, any number of vCPUs; ``mlp``: one network over all features."""
    form: str
    """``onnx``."""
    file: str
    input_name: str
    output_name: str


class FileEntry(_Record):
    """One file of the bundle and what it must contain."""

    name: str
    size_bytes: int = Field(ge=0)
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @field_validator("name")
    @classmethod
    def _inside_the_bundle(cls, name: str) -> str:
        if name != PurePath(name).name or name == MANIFEST_FILE:
            raise BadInputError(f"{name!r} must be the plain name of a file beside {MANIFEST_FILE}")
        return name

    @classmethod
    def of(cls, path: Path) -> Self:
        """The record of a file on disk."""
        content = path.read_bytes()
        return cls(name=path.name, size_bytes=len(content), sha256=sha256(content))


class ParityFigure(_Record):
    """The distance of one exported form from the trained network over a set of observations."""

    form: str
    observations: int = Field(ge=1)
    source: str
    """``random``: made up within the features' ranges; ``recorded``: met while the policy ran migrations."""
    vcpus: int = Field(ge=1)
    """vCPU slots of the observations."""
    max_abs_difference: float = Field(ge=0)


class Manifest(_Record):
    """Content of ``manifest.json``."""

    schema_version: int
    name: str
    created_by: dict[str, str]
    """Versions of the packages that wrote the bundle."""
    network: NetworkSpec
    observation: JsonObject
    """``Encoder.spec()``: every feature with name, unit, range and how it is made; the encoder's constants. Its
    ``vcpu_slots`` is null where the policy takes any number of them."""
    action: JsonObject
    """``ActionSpec.spec()``: what an action of -1 .. 1 means."""
    control_interval: IntervalSpec
    preference: PreferenceSpec
    vcpus: VcpuSpec
    training_config: JsonObject
    """The resolved config of the training run."""
    evaluation: JsonObject | None = None
    """Summary of the evaluation of the trained policy, where there was one."""
    files: tuple[FileEntry, ...]
    parity: tuple[ParityFigure, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _slots_agree(self) -> Self:
        if self.observation.get("vcpu_slots") != self.vcpus.slots:
            raise BadInputError(
                f"vcpus.slots={self.vcpus.slots} and observation.vcpu_slots={self.observation.get('vcpu_slots')} differ"
            )
        return self

    @model_validator(mode="after")
    def _network_is_listed(self) -> Self:
        names = [entry.name for entry in self.files]
        if self.network.file not in names:
            raise BadInputError(f"network.file={self.network.file!r} is not among the files {names}")
        return self

    @model_validator(mode="after")
    def _network_is_faithful(self) -> Self:
        for figure in self.parity:
            if figure.max_abs_difference > MAX_PARITY_DIFFERENCE:
                raise BadInputError(
                    f"parity: {figure.form} is {figure.max_abs_difference:g} away from the trained network"
                    f" (allowed: {MAX_PARITY_DIFFERENCE:g})"
                )
        return self


def sha256(content: bytes) -> str:
    """Checksum in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
