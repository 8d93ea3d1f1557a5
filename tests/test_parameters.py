"""No function outside the kernels takes more than ten parameters; a command's options are parameters for typer."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("dqgym", "agents", "experiments")
COMMANDS = ROOT / "experiments" / "commands"
MOST_PARAMETERS = 10
KERNEL_DECORATORS = {"kernel", "part", "routine", "exact_kernel", "exact_part", "exact_routine"}
"""Of compiled functions: they take arrays one by one."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def parameters(function: Function) -> int:
    """How many a caller can give; ``self`` and ``cls`` are not given."""
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return len([one for one in named if one.arg not in ("self", "cls")])


def is_kernel(function: Function) -> bool:
    targets = [one.func if isinstance(one, ast.Call) else one for one in function.decorator_list]
    return any(isinstance(one, ast.Name) and one.id in KERNEL_DECORATORS for one in targets)


def too_long(source: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function) and not is_kernel(node) and parameters(node) > MOST_PARAMETERS:
            yield node.name, parameters(node)


@pytest.mark.slow
def test_functions_take_at_most_ten_parameters():
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if COMMANDS not in path.parents
        for name, _ in too_long(path.read_text())
    }
    assert found == set()


def test_the_count_is_of_what_a_caller_gives():
    eleven = ", ".join("abcdefghijk")
    assert [*too_long(f"def f({eleven}): ...")] == [("f", 11)]
    assert [*too_long(f"class A:\n    def f(self, a, *, {eleven[3:]}): ...")] == [("f", 11)]
    assert [*too_long(f"class A:\n    def f(self, {eleven[3:]}): ...")] == []
    assert [*too_long(f"@kernel\ndef f({eleven}): ...")] == []
