"""The ONNX form of a policy's network, run by ONNX Runtime on one thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dqgym.arrays import Float32Array
from dqgym.errors import BadInputError

ONNX_FORM = "onnx"
INPUT_NAME = "observation"
OUTPUT_NAME = "action"


@dataclass(frozen=True)
class OnnxNetwork:
    """A loaded network with one input and one output."""

    session: Any
    """``onnxruntime.InferenceSession``."""

    @property
    def input_names(self) -> list[str]:
        """Names of the network's inputs."""
        return [value.name for value in self.session.get_inputs()]

    @property
    def output_names(self) -> list[str]:
        """Names of the network's outputs."""
        return [value.name for value in self.session.get_outputs()]

    def act(self, observation: Float32Array) -> Float32Array:
        """[N, V] actions within -1 .. 1 for [N, observation size] observations; deterministic."""
        actions: Float32Array = self.session.run(None, {INPUT_NAME: observation})[0]
        return actions


def load_network(content: bytes) -> OnnxNetwork:
    """The network in the bytes of an ONNX file.

    Raises:
        BadInputError: ONNX Runtime cannot load them.
    """
    import onnxruntime  # only who runs a network pays for loading it

    options = onnxruntime.SessionOptions()
    # One decision is microseconds of work: more threads only wait, and compete with the migration's own.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    try:
        return OnnxNetwork(onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]))
    except Exception as error:  # ONNX Runtime's errors have no common base class of their own
        raise BadInputError(f"ONNX Runtime cannot load the network: {error}") from error
