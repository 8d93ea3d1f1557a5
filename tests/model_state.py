"""The model's own numbers of a backend or an environment, for tests of what no interface shows."""

from typing import Any

from dqgym.arrays import FloatArray
from dqgym.jit.lane_rows import column_of
from dqgym.model.layout import Vm


def vm_column(model: Any, column: Vm) -> FloatArray:
    """[N] one number of each migration."""
    values: FloatArray = column_of(model._vm, column, len(model._vcpu))
    return values
