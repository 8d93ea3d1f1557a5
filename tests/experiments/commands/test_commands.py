"""Commands are thin: each module has a command's options and hands over to an engine; none leans on another one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from experiments.cli.app import COMMANDS

COMMAND_FOLDER = Path(__file__).parents[3] / "experiments" / "commands"
SHARED = ("experiments.commands.options", "experiments.commands.defaults")
MODULES = sorted(path for path in COMMAND_FOLDER.glob("*/*.py") if path.name != "__init__.py")
MOST_LINES = 100
MOST_HELPERS = 1


def imported(source: str) -> Iterator[str]:
    """Every module that a source imports, or imports from, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def other_commands(source: str) -> list[str]:
    return [
        name
        for name in imported(source)
        if name.startswith("experiments.commands.")
        and not any(name == shared or name.startswith(f"{shared}.") for shared in SHARED)
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_command_imports_another(path: Path):
    assert other_commands(path.read_text()) == []


def test_an_import_of_a_command_is_found_wherever_it_stands():
    assert other_commands("def f():\n    from experiments.commands.learning.train import train_command") != []
    assert other_commands("import experiments.commands.learning.train") != []
    assert other_commands("from experiments.commands.learning import train") != []
    assert other_commands("from experiments.commands.options import AsJson\nimport experiments.cli.app") == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_command_hands_over_to_an_engine(path: Path):
    text = path.read_text()
    tree = ast.parse(text)
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    helpers = [name for name in functions if not name.endswith("_command")]
    assert len(text.splitlines()) <= MOST_LINES
    assert not [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert len(helpers) <= MOST_HELPERS, helpers


def test_engines_import_no_command():
    engines = [path for path in COMMAND_FOLDER.parent.rglob("*.py") if COMMAND_FOLDER not in path.parents]
    found = {path.name: names for path in engines if (names := other_commands(path.read_text()))}
    assert set(found) <= {"app.py"}


def test_every_command_has_a_module_of_its_own():
    modules = [entry.module for entry in COMMANDS.values()]
    assert len(set(modules)) == len(modules) == len(MODULES)
    for entry in COMMANDS.values():
        assert isinstance(entry.load(), typer.core.TyperCommand | typer.core.TyperGroup)
