import os
import stat
from pathlib import Path

import pytest

from dqgym.errors import BadInputError
from dqgym.files import read_bytes, read_text, write_binary, write_text


class OddError(BadInputError):
    """A reader's own error."""


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_bytes("µ\n".encode())
    assert read_text(path) == "µ\n"
    assert read_bytes(str(path), most_bytes=3) == "µ\n".encode()


def test_a_missing_file_is_named_with_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(OddError, match=r"cannot read scenario .*nothere\.yaml: No such file or directory"):
        read_text(tmp_path / "nothere.yaml", "scenario", error=OddError)


def test_a_name_that_cannot_be_one_is_an_error_of_the_reader() -> None:
    with pytest.raises(OddError, match="embedded null byte"):
        read_bytes("a\0b", error=OddError)


def test_a_file_above_the_bound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 1001)
    with pytest.raises(BadInputError, match="1,001 bytes, at most 1,000 are read"):
        read_bytes(path, most_bytes=1000)


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(BadInputError, match="is a pipe, not a regular file"):
        read_bytes(path)


@pytest.mark.parametrize(("path", "kind"), [("/dev/zero", "a device"), ("/", "Is a directory|a folder")])
def test_what_is_no_file_is_refused(path: str, kind: str) -> None:
    with pytest.raises(BadInputError, match=kind):
        read_bytes(path)


def test_bytes_that_are_no_text_are_refused_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"ab\xff")
    with pytest.raises(BadInputError, match=r"binary: not UTF-8 text: .* at byte 2"):
        read_text(path)


def test_a_written_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_text(tmp_path / "ours", "text")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_text("old")

    def fail(file: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_binary(path, fail)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("old", "old")]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"cannot write .*nothere/file: No such file or directory"):
        write_text(tmp_path / "nothere" / "file", "text")
