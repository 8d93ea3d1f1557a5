"""With ``NUMBA_DISABLE_JIT=1`` the kernels compute in Python what they compute when they are compiled."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # some kernels are compiled twice
ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-5
"""What reordered float32 sums may differ by, over the largest value."""
LOOSE = {"model vcpu": 1e-2, "model vm": 1e-3, "model stall": 1e-3}
"""Sleeps begin at a threshold: there a rounding may let a vCPU sleep, or run, for a moment more."""


def rollouts(folder: Path, *options: str, **environment: str) -> dict[str, np.ndarray]:
    """What ``tests/jit/rollouts.py`` finds in a process of its own."""
    path = folder / "rollouts.npz"
    subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", "tests.jit.rollouts", str(path), *options],
        cwd=ROOT, env={**os.environ, **environment}, check=True,
    )  # fmt: skip
    with np.load(path) as found:
        return dict(found)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> dict[str, np.ndarray]:
    return rollouts(tmp_path_factory.mktemp("plain"), NUMBA_DISABLE_JIT="1")


def test_bit_for_bit_where_the_compiler_may_not_reorder(plain, tmp_path):
    compiled = rollouts(tmp_path, "--in-order", NUMBA_CACHE_DIR=str(tmp_path))
    assert compiled.keys() == plain.keys()
    for name, values in plain.items():
        np.testing.assert_array_equal(values, compiled[name], err_msg=name)


def test_to_the_rounding_of_float32_as_kernels_are_compiled(plain, tmp_path):
    compiled = rollouts(tmp_path)
    for name, values in plain.items():
        most = np.abs(compiled[name], where=np.isfinite(compiled[name]), out=np.zeros(values.shape)).max()
        tolerance = LOOSE.get(name, TOLERANCE)
        np.testing.assert_allclose(values, compiled[name], rtol=0.0, atol=tolerance * most, err_msg=name)
