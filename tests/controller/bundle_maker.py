"""A small policy bundle made by hand, without torch: every vCPU that exists has the same action."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dqgym.controller.manifest import MANIFEST_FILE, SCHEMA_VERSION, sha256
from dqgym.telemetry.action import ActionSpec
from dqgym.telemetry.encoder import Encoder
from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES

MOST_VCPUS = 16
NETWORK_FILE = "policy.onnx"
ACTION = 0.25


def network(
    input_name: str = "observation", output_name: str = "action", feature_axis: int = 1, gain: float = ACTION
) -> bytes:
    """``gain`` where feature 0 of a vCPU says that it exists, else 0; any number of migrations and vCPU slots."""
    pytest.importorskip("onnx", reason="a bundle by hand needs the extra `export`")
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "start": np.array([len(GLOBAL_FEATURES)], dtype=np.int64),
        "end": np.array([np.iinfo(np.int64).max], dtype=np.int64),
        "axis": np.array([1], dtype=np.int64),
        "shape": np.array([0, len(VCPU_FEATURES), -1], dtype=np.int64),
        "first": np.array(0, dtype=np.int64),
        "gain": np.array(gain, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Slice", [input_name, "start", "end", "axis"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["features"]),
        helper.make_node("Gather", ["features", "first"], ["present"], axis=feature_axis),
        helper.make_node("Mul", ["present", "gain"], [output_name]),
    ]
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["migrations", "size"])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, ["migrations", "vcpus"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def manifest(content: bytes) -> dict[str, Any]:
    """The manifest of a bundle that holds ``content`` as its network."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": "hand-made",
        "created_by": {"tests": "1"},
        "network": {
            "policy": "per-vcpu",
            "form": "onnx",
            "file": NETWORK_FILE,
            "input_name": "observation",
            "output_name": "action",
        },
        "observation": {**Encoder(1).spec(), "vcpu_slots": None},
        "action": ActionSpec().spec(),
        "control_interval": {"least_s": 0.0, "pass_times": 0.04},
        "preference": {"default": 0.2, "low": 0.05, "high": 2.0},
        "vcpus": {"low": 1, "high": MOST_VCPUS, "slots": None},
        "training_config": {"name": "none"},
        "evaluation": None,
        "files": [{"name": NETWORK_FILE, "size_bytes": len(content), "sha256": sha256(content)}],
        "parity": [
            {"form": "onnx", "observations": 1, "source": "random", "vcpus": 8, "max_abs_difference": 0.0},
        ],
    }


def write(path: Path, content: bytes | None = None, **changes: Any) -> Path:
    """Write a bundle with its network's bytes and some top-level entries of the manifest replaced."""
    content = network() if content is None else content
    path.mkdir()
    (path / NETWORK_FILE).write_bytes(content)
    (path / MANIFEST_FILE).write_text(json.dumps({**manifest(content), **changes}))
    return path
