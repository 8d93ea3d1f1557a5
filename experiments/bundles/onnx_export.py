"""A trained actor as an ONNX file: one input, one output, any number of migrations in a batch."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch
from torch import nn

from dqgym.controller.network import INPUT_NAME, OUTPUT_NAME
from dqgym.errors import RunFailedError
from dqgym.telemetry.encoder import observation_size
from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES
from experiments.extras import require_extra

OPSET = 20
"""The set of operators in the file; ONNX Runtime knows it since 1.17."""
BATCH_AXIS, VCPU_AXIS = "migrations", "vcpus"
"""Names of the free dimensions in the ONNX file."""
EXAMPLE_BATCH, EXAMPLE_SLOTS = 3, 5
"""Sizes in the exporter's example: free, and not 1, which it would take for a constant."""


def actor_to_onnx(actor: nn.Module, vcpu_slots: int | None) -> bytes:
    """The bytes of an ONNX file, checked by ONNX's own checker.

    Args:
        actor: deterministic, from observations [N, D] to actions [N, V].
        vcpu_slots: the number that the actor takes; None: any number.

    Raises:
        BadInputError: the packages that the export needs are not installed.
        RunFailedError: torch cannot export this actor.
    """
    require_extra("export", "the export")
    import onnx

    content = io.BytesIO()
    example = torch.zeros(EXAMPLE_BATCH, observation_size(vcpu_slots or EXAMPLE_SLOTS))
    try:
        _trace(actor, example, content, _free_dimensions(vcpu_slots))
        onnx.checker.check_model(onnx.load_from_string(content.getvalue()), full_check=True)
    # A module may be anybody's, and raise anything while it is traced.
    except Exception as error:
        raise RunFailedError(f"the policy cannot be exported as ONNX: {error}") from error
    return content.getvalue()


def _trace(actor: nn.Module, example: torch.Tensor, content: io.BytesIO, free: dict[str, dict[int, str]]) -> None:
    """Write down what the actor does with an example.

    By tracing: torch's newer exporter takes a hundred times as long for networks as small as these. A trace knows one
    way through a module, so what depends on the values that it sees is refused.
    """
    file: Any = content  # which its types do not know
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", torch.jit.TracerWarning)
        torch.onnx.export(
            actor,
            (example,),
            file,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )
    for warning in told:  # the others are of the exporter itself
        if issubclass(warning.category, torch.jit.TracerWarning):
            raise ValueError(str(warning.message))


def _free_dimensions(vcpu_slots: int | None) -> dict[str, dict[int, str]]:
    """Names of the dimensions that may have any size."""
    free = {INPUT_NAME: {0: BATCH_AXIS}, OUTPUT_NAME: {0: BATCH_AXIS}}
    if vcpu_slots is None:
        free[INPUT_NAME][1] = f"{len(VCPU_FEATURES)}*{VCPU_AXIS} + {len(GLOBAL_FEATURES)}"
        free[OUTPUT_NAME][1] = VCPU_AXIS
    return free
