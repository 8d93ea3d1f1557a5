"""The package's own names: each is what its module has, none is imported before it is asked for."""

import ast
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest

import dqgym
from dqgym import installed

CHECKOUT = Path(__file__).parents[1]


def run(*arguments: str, cwd: Path = CHECKOUT) -> subprocess.CompletedProcess:
    """Python in a process of its own."""
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def names_for_type_checkers() -> dict[str, str]:
    """Names and modules in the block that only type checkers read."""
    tree = ast.parse(Path(dqgym.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {
        alias.asname or "": node.module or ""
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_read_the_same_names_as_python():
    assert names_for_type_checkers() == dqgym._LAZY


@pytest.mark.slow
@pytest.mark.parametrize("name", dqgym._LAZY)
def test_a_name_is_the_one_of_its_module(name):
    assert getattr(dqgym, name) is getattr(import_module(dqgym._LAZY[name]), name)


def test_no_name_hides_a_subpackage():
    inner = {path.stem for path in Path(dqgym.__file__).parent.iterdir()}
    assert inner.isdisjoint(dqgym._LAZY)


def test_completion_offers_all_names_before_they_are_imported():
    printed = run("-c", "import dqgym, sys; print(*dir(dqgym)); print('dqgym.controller' in sys.modules)").stdout
    offered, imported = printed.splitlines()
    assert set(dqgym.__all__) <= set(offered.split())
    assert imported == "False"


def test_an_unknown_name_is_an_attribute_error_that_says_so():
    with pytest.raises(AttributeError, match="module 'dqgym' has no attribute 'read_bundel'"):
        dqgym.read_bundel  # noqa: B018


def test_the_version_is_that_of_the_installation(monkeypatch):
    assert dqgym.__version__ == metadata.version("dqgym")

    def not_found(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", not_found)
    assert installed.version() == installed.NOT_INSTALLED


@pytest.mark.slow
def test_a_checkout_that_is_not_installed_says_so(tmp_path):
    (tmp_path / "dqgym").symlink_to(Path(dqgym.__file__).parent)  # without what an installation left in the checkout
    script = f"import sys; sys.path += [{str(tmp_path)!r}]; import dqgym; print(dqgym.__version__)"
    assert run("-I", "-S", "-c", script, cwd=tmp_path).stdout.strip() == installed.NOT_INSTALLED


@pytest.mark.slow
def test_python_m_dqgym_is_the_command(tmp_path):
    assert run("-m", "dqgym", "--version", cwd=tmp_path).stdout.strip() == f"dqgym {dqgym.__version__}"
    wrong = run("-m", "dqgym", "no-such-command", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "no-such-command" in wrong.stderr


@pytest.mark.slow
def test_python_m_dqgym_takes_no_package_of_the_user_for_its_own(tmp_path):
    for name in ("experiments", "agents"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    done = run("-m", "dqgym", "throttles", "none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "none" in done.stdout
