"""Counting tells a loop that is vector code from one that is not."""

import numpy as np
import pytest

from dqgym.jit.array_views import row
from dqgym.jit.compile import kernel
from dqgym.jit.fast_math import log
from tests.jit.assembly import ON_X86, Count, assembly_of, count

SLOTS = 32
"""The compiler writes out short loops slot by slot, vector code or not."""


@kernel
def roots(tile, slots):
    source, target = row(tile, 0, slots), row(tile, 1, slots)
    for i in range(len(slots)):
        target[i] = np.sqrt(log(source[i]))


@kernel
def chained_roots(tile, slots):
    """Each waits for the one before: no compiler makes this vector code."""
    source, target = row(tile, 0, slots), row(tile, 1, slots)
    last = np.float32(0.0)
    for i in range(len(slots)):
        last = np.sqrt(log(source[i] + last))
        target[i] = last


def compiled(function):
    return assembly_of(function, np.ones((2, SLOTS), dtype=np.float32), (0,) * SLOTS)


def test_packed_and_scalar_instructions_are_told_apart():
    text = """
        vsqrtps	%ymm0, %ymm1
        vsqrtps	64(%rax), %zmm3
        vsqrtps	%xmm0, %xmm1
        vsqrtss	%xmm0, %xmm0, %xmm1
        sqrtss	%xmm0, %xmm1
        vdivps	%ymm0, %ymm1, %ymm2
        vrsqrtps	%ymm0, %ymm1
    """
    assert count(text, "sqrt") == Count(packed=2, scalar=2)
    assert count(text, "div") == Count(packed=1, scalar=0)


@ON_X86
@pytest.mark.slow
def test_a_loop_over_slots_is_vector_code_and_one_whose_steps_wait_is_not():
    vectors, chain = count(compiled(roots), "sqrt"), count(compiled(chained_roots), "sqrt")
    assert vectors.packed >= 1
    assert vectors.scalar == 0
    assert chain.packed == 0
    assert chain.scalar >= 1
