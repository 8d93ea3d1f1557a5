"""A trained actor as an ONNX file: one input, one output, any number of migrations in a batch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.export import Dim

from dqgym.controller.network import INPUT_NAME, OUTPUT_NAME
from dqgym.errors import RunFailedError
from dqgym.telemetry.encoder import observation_size
from dqgym.telemetry.features import GLOBAL_FEATURES, VCPU_FEATURES
from experiments.extras import require_extra

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

    example = torch.zeros(EXAMPLE_BATCH, observation_size(vcpu_slots or EXAMPLE_SLOTS))
    try:
        with _quiet():
            program: Any = torch.onnx.export(
                actor,
                (example,),
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                dynamic_shapes=(_free_dimensions(vcpu_slots),),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        model = _tidied(program.model_proto, None if vcpu_slots else VCPU_AXIS)
        onnx.checker.check_model(model, full_check=True)
    except (torch.onnx.errors.OnnxExporterError, onnx.checker.ValidationError) as error:
        raise RunFailedError(f"the policy cannot be exported as ONNX: {error}") from error
    return bytes(model.SerializeToString())


def _free_dimensions(vcpu_slots: int | None) -> dict[int, Any]:
    batch = Dim(BATCH_AXIS, min=1)
    if vcpu_slots is not None:
        return {0: batch}
    return {0: batch, 1: len(VCPU_FEATURES) * Dim(VCPU_AXIS, min=1) + len(GLOBAL_FEATURES)}


def _tidied(model: Any, action_axis: str | None) -> Any:
    """Without the traces of the exporting machine's source files, and with a name for the output's free dimension."""
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    if action_axis is not None:
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = action_axis
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns about packages that nobody asked for and about its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
