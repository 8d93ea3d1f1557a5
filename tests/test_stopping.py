"""Whatever line a signal comes at, a file or folder is the old or the new one, and whole."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from dqgym.files import write_text
from dqgym.stopping import uninterrupted
from experiments.folders import filling_folder

OURS = ("dqgym/files.py", "dqgym/stopping.py", "experiments/folders.py")


pytestmark = pytest.mark.usefixtures("heeded_signals")


def interrupted_at(line: int, work: Callable[[], object]) -> bool:
    """Do some work, with Ctrl-C at a certain one of the lines that it executes; False where it has fewer."""
    passed = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal passed
        if not frame.f_code.co_filename.endswith(OURS):
            return None
        if event == "line":
            passed += 1
            if passed == line:
                signal.raise_signal(signal.SIGINT)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return passed >= line


def test_a_file_is_whole_whichever_line_is_interrupted(tmp_path: Path) -> None:
    path, line = tmp_path / "file.txt", 1
    while True:
        path.write_text("old")
        came = interrupted_at(line, lambda: write_text(path, "new"))
        assert path.read_text() in ("old", "new"), line
        assert [one.name for one in tmp_path.iterdir()] == ["file.txt"], line
        if not came:
            break
        line += 1
    assert line > 10
    assert path.read_text() == "new"


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_is_whole_and_its_journal_goes_with_it_whichever_line_is_interrupted(
    tmp_path: Path, exists: bool
) -> None:
    def fill() -> None:
        with filling_folder(out, journal.unlink) as draft:
            (draft / "a").write_text("new")
            (draft / "b").write_text("new")

    line, came = 1, True
    while came:
        here = tmp_path / str(line)
        out, journal = here / "out", here / ".out.journal"
        here.mkdir()
        journal.write_text("kept")
        if exists:
            out.mkdir()
            (out / "a").write_text("old")
        came = interrupted_at(line, fill)
        contents = {file.name: file.read_text() for file in out.iterdir()} if out.exists() else None
        if contents == {"a": "new", "b": "new"}:
            assert not journal.exists(), line
        else:
            assert contents == ({"a": "old"} if exists else None), line
            assert journal.exists(), line
        assert {one.name for one in here.iterdir()} <= {"out", ".out.journal"}, line
        line += 1
    assert line > 10
    assert contents == {"a": "new", "b": "new"}


def test_a_block_that_must_not_be_interrupted_is_completed_first() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest of the block")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_blocks_may_be_nested_and_the_outermost_decides() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            with uninterrupted():
                signal.raise_signal(signal.SIGINT)
            done.append("the rest of the outer block")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
