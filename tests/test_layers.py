"""The layers of docs/architecture.md hold: imports go down its table, never in a circle, and every module has a row."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("dqgym", "agents", "experiments")
MOST_MODULES = 14
"""More modules in one folder are more than a reader can hold in mind."""


@cache
def modules() -> dict[str, Path]:
    """Every module of the project, and its file; a package stands for its ``__init__``."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


@cache
def rows() -> list[list[str]]:
    """The layers, lowest first: the names in backticks of the first column."""
    table = PAGE.read_text().split("## Layers")[1].split("## ")[0]
    cells = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    return [re.findall(r"`(.+?)`", cell) for cell in reversed(cells)]


def level(module: str) -> int | None:
    """The row of the longest name that the module is or lies in; a package with a row of its own names only itself."""
    ranks = {name: rank for rank, names in enumerate(rows()) for name in names}
    whole = {name for name in ranks if name not in PACKAGES}
    name = module
    while name not in ranks or (name != module and name not in whole):
        if "." not in name:
            return None
        name = name.rpartition(".")[0]
    return ranks[name]


def imported(module: str) -> Iterator[str]:
    """The project's modules that a module imports anywhere: in functions and for type checkers, too."""
    known = modules()
    for node in ast.walk(ast.parse(known[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from [name for name in (inner, node.module) if name in known][:1]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Sets of modules that reach each other, by Tarjan's algorithm."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        stack.append(name)
        for other in graph[name]:
            if other not in numbers:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == numbers[name]:
            place = stack.index(name)
            if len(stack) - place > 1:
                found.append(sorted(stack[place:]))
            del stack[place:]

    for name in graph:
        if name not in numbers:
            visit(name)
    return found


def test_every_module_has_a_layer_and_every_layer_modules():
    assert [module for module in modules() if level(module) is None] == []
    named = [name for names in rows() for name in names]
    assert len(named) == len(set(named))
    assert [name for name in named if name not in modules() and not (ROOT / name.replace(".", "/")).is_dir()] == []


@pytest.mark.slow
def test_imports_go_down_the_layers():
    upward = [
        f"{module} imports {other}"
        for module in modules()
        for other in imported(module)
        if level(other) > level(module)  # type: ignore[operator]
    ]
    assert upward == []


@pytest.mark.slow
def test_imports_form_no_circle():
    assert circles({module: set(imported(module)) - {module} for module in modules()}) == []


def test_the_search_for_circles_finds_one():
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set()}
    assert circles(graph) == [["a", "b", "c"]]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_is_too_full(package: str):
    folders = [ROOT / package, *(path for path in (ROOT / package).rglob("*") if path.is_dir())]
    counts = {str(path.relative_to(ROOT)): len({*path.glob("*.py")} - {path / "__init__.py"}) for path in folders}
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_files_that_the_page_names_exist():
    named = set(re.findall(r"`([\w/]+/[\w/]+\.py)`", PAGE.read_text()))
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []
