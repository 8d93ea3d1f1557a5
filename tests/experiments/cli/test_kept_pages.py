"""Pages of help that are shown again without making them again, and never once they are out of date."""

import os
import subprocess
import sys
import time
from types import ModuleType

import pytest

from experiments.cli.kept_pages import MOST_PAGES, KeepingPage, kept_page_shown

ASKED = ["evaluate", "--help"]
LONG_AGO_S = 1_000_000_000


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The source of a module that was imported for the page; pages are kept in `tmp_path/dqgym/pages`."""
    path = tmp_path / "command.py"
    path.write_text("text = 'help'")
    os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    module = ModuleType("a_command")
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "a_command", module)
    monkeypatch.setitem(os.environ, "XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages")])
    monkeypatch.setattr(sys, "argv", ["dqgym", *ASKED])
    return path


def make(text="the page", code=0, asked=ASKED):
    def show():
        print(text)
        sys.exit(code)

    with pytest.raises(SystemExit), KeepingPage(asked):
        show()


def pages(source):
    folder = source.parent / "dqgym" / "pages"
    return sorted(folder.iterdir()) if folder.exists() else []


def test_a_page_is_shown_again(source, capsys):
    assert not kept_page_shown(ASKED)
    make("the page\n\u256d\u2500")
    assert capsys.readouterr().out == "the page\n\u256d\u2500\n"
    assert kept_page_shown(ASKED)
    assert capsys.readouterr() == ("the page\n\u256d\u2500\n", "")


def test_the_exit_code_is_kept_with_the_page(source, capsys):
    make(code=2, asked=[])
    with pytest.raises(SystemExit) as ended:
        kept_page_shown([])
    assert ended.value.code == 2
    assert capsys.readouterr().out == "the page\n" * 2


def test_a_source_that_was_touched_makes_the_page_anew(source):
    make()
    os.utime(source, (LONG_AGO_S, LONG_AGO_S + 1))
    assert not kept_page_shown(ASKED)


def test_a_source_of_another_size_or_none_makes_the_page_anew(source):
    make()
    source.write_text("text = 'more help'")
    os.utime(source, (LONG_AGO_S, LONG_AGO_S))
    assert not kept_page_shown(ASKED)
    source.unlink()
    assert not kept_page_shown(ASKED)


def test_a_package_that_is_installed_makes_the_page_anew(source):
    make()
    (source.parent / "packages").mkdir()
    assert not kept_page_shown(ASKED)


def test_a_page_made_while_its_source_was_changed_is_not_kept(source):
    os.utime(source, (time.time(), time.time()))
    make()
    assert pages(source) == []


@pytest.mark.parametrize("name", ["COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM"])
def test_another_layout_is_another_page(source, monkeypatch, name):
    monkeypatch.setenv(name, "100")
    make()
    assert kept_page_shown(ASKED)
    monkeypatch.setenv(name, "80")
    assert not kept_page_shown(ASKED)


def test_a_terminal_is_another_page_than_a_pipe(source, monkeypatch):
    make()
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    assert not kept_page_shown(ASKED)


def test_another_command_is_another_page(source, monkeypatch):
    make()
    monkeypatch.setattr(sys, "argv", ["dqgym", "train", "--help"])
    assert not kept_page_shown(["train", "--help"])


@pytest.mark.parametrize(
    "asked", [["suites"], ["evaluate", "a/b", "--help"], ["--help", "evaluate"], ["a", "b", "c", "-h"]]
)
def test_what_is_no_page_is_not_kept(source, asked):
    make(asked=asked)
    assert pages(source) == []


def test_a_page_that_failed_is_not_kept(source):
    with pytest.raises(RuntimeError), KeepingPage(ASKED):
        raise RuntimeError("a bug")
    assert pages(source) == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a\0b\0c", b"\0" * 4])
def test_a_damaged_page_is_made_anew(source, content):
    make()
    pages(source)[0].write_bytes(content)
    assert not kept_page_shown(ASKED)
    make()
    assert kept_page_shown(ASKED)


def test_a_cache_that_cannot_be_written_does_no_harm(source, monkeypatch, capsys):
    source.with_name("file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(source.with_name("file")))
    make()
    assert capsys.readouterr() == ("the page\n", "")
    assert not kept_page_shown(ASKED)


def test_pages_do_not_pile_up(source):
    make()
    for number in range(MOST_PAGES):
        (pages(source)[0].parent / f"old{number}").touch()
    make()
    assert len(pages(source)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("asked", [["--help"], ["compare", "-h"], ["--version"], []])
def test_the_second_time_the_command_line_shows_the_same_and_imports_no_typer(tmp_path, asked):
    def run(width):
        script = (
            "import atexit, sys; loaded = lambda: sorted({'typer', 'rich'} & set(sys.modules));"
            "atexit.register(lambda: print(loaded(), file=sys.stderr));"
            f"from experiments.cli.entry import main; sys.argv = ['dqgym', *{asked!r}]; main()"
        )
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "COLUMNS": width, "TERMINAL_WIDTH": width}
        command = [sys.executable, "-c", script]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    first, second = run("90"), run("90")
    assert first.stderr == "['rich', 'typer']\n"
    assert second.stderr == "[]\n"
    assert (first.stdout, first.returncode) == (second.stdout, second.returncode)
    assert first.stdout
    narrow = run("60")
    assert narrow.stderr == "['rich', 'typer']\n"
    assert max(map(len, narrow.stdout.splitlines())) <= 60
