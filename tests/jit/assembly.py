"""Instructions of a compiled kernel, counted: whether a loop over slots is vector code, which nothing else would show.

A loop that the compiler no longer vectorises computes the same numbers, only slower. In assembly it is plain to see:
``vsqrtps %ymm0, %ymm1`` takes the roots of eight slots, ``vsqrtss`` of one. Count what the loop needs and the
code around it hardly does::

    roots = count(assembly_of(encode, *arrays, (0,) * 8), "sqrt")
    assert roots.packed >= 7
    assert roots.scalar <= 2
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import Any

import pytest

from dqgym.jit.compile import COMPILES

ON_X86 = pytest.mark.skipif(
    not COMPILES or platform.machine() not in ("x86_64", "AMD64"),
    reason="counts instructions of x86: needs kernels that are compiled, on such a processor",
)
_WIDE = re.compile(r"%[yz]mm")


@dataclass(frozen=True)
class Count:
    """How often a kernel's code has an operation on float32.

    Attributes:
        packed: for eight or sixteen numbers at a time.
        scalar: for one.
    """

    packed: int
    scalar: int


def assembly_of(kernel: Any, *arguments: Any) -> str:
    """All that is compiled into a kernel for arguments of these types. Compiled anew: what is kept cannot be inspected.

    Args:
        kernel: a function made by ``dqgym.jit.compile``.
        arguments: it is not called with them.
    """
    from numba import njit, typeof

    options = {name: value for name, value in kernel.targetoptions.items() if name != "nopython"}  # njit says so itself
    anew = njit(**options)(kernel.py_func)
    anew.compile(tuple(typeof(argument) for argument in arguments))
    (text,) = anew.inspect_asm().values()
    return str(text)


def count(assembly: str, operation: str) -> Count:
    """Count an operation in assembly (AT&T's syntax).

    Args:
        assembly: see ``assembly_of``.
        operation: as in the instruction's name: ``sqrt``, ``div``, ``max``.
    """
    lines = re.findall(rf"^\s+v?{operation}(ps|ss)\s+(.*)$", assembly, re.MULTILINE)
    return Count(
        packed=sum(kind == "ps" and _WIDE.search(operands) is not None for kind, operands in lines),
        scalar=sum(kind == "ss" for kind, _ in lines),
    )
