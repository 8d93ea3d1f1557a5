import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from dqgym.errors import RunFailedError
from experiments.bundles.onnx_export import actor_to_onnx

EXPORT_WITHOUT_ONNXSCRIPT = """
import sys
sys.modules["onnxscript"] = None
from torch import nn
from dqgym.telemetry.encoder import observation_size
from experiments.bundles.onnx_export import actor_to_onnx
print(len(actor_to_onnx(nn.Linear(observation_size(2), 2), 2)) > 0)
"""


class _Decides(nn.Module):
    def forward(self, observations: Tensor) -> Tensor:
        return observations[:, :2] if observations.sum() > 0 else -observations[:, :2]


class _Fails(nn.Module):
    def forward(self, observations: Tensor) -> Tensor:
        raise KeyError("no such thing")


class _NoOperator(nn.Module):
    def forward(self, observations: Tensor) -> Tensor:
        return torch.linalg.svdvals(observations)[:2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "reason"),
    [(_Decides(), "boolean"), (_Fails(), "no such thing"), (_NoOperator(), "svd")],
)
def test_a_network_that_cannot_be_traced_is_refused(module: nn.Module, reason: str) -> None:
    with pytest.raises(RunFailedError, match=f"cannot be exported as ONNX.*{reason}"):
        actor_to_onnx(module, 2)


@pytest.mark.slow
def test_nothing_is_needed_but_torch_and_onnx() -> None:
    done = subprocess.run([sys.executable, "-c", EXPORT_WITHOUT_ONNXSCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
