import os

import pytest

from dqgym.errors import BadInputError
from experiments import folders
from experiments.folders import FolderKind, filling_folder, require_free

KIND = FolderKind("folder of fruit", ("fruit.json",))


def content(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("can_exchange", [True, False])
def test_what_was_there_is_replaced_as_a_whole_and_nothing_is_left_beside_it(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(folders, "_exchanged", lambda one, other: False)
    out = tmp_path / "new" / "out"
    for name in ("apple", "pear"):
        with filling_folder(out) as draft:
            (draft / name).write_text(name)
        assert content(out) == {name: name}
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_swap_that_is_interrupted_leaves_the_old_folder(tmp_path, monkeypatch, can_exchange):
    out = tmp_path / "out"
    out.mkdir()
    (out / "apple").write_text("old")
    rename = os.rename

    def interrupted(one, other, *more):
        if str(one).endswith("/new"):
            raise KeyboardInterrupt
        return rename(one, other, *more)

    if can_exchange:
        monkeypatch.setattr(folders, "_exchanged", interrupt)
    else:
        monkeypatch.setattr(folders, "_exchanged", lambda one, other: False)
        monkeypatch.setattr(folders.Path, "rename", lambda self, other: interrupted(self, other))
    with pytest.raises(KeyboardInterrupt), filling_folder(out) as draft:
        (draft / "pear").write_text("new")
    assert content(out) == {"apple": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_a_block_that_fails_leaves_the_old_folder_and_no_draft(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "apple").write_text("old")
    with pytest.raises(IsADirectoryError), filling_folder(out) as draft:
        draft.write_text("new")
    assert content(out) == {"apple": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_goes_on_leading_to_the_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with filling_folder(tmp_path / "link") as draft:
        (draft / "pear").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "real") == {"pear": "new"}


def test_the_current_directory_is_not_taken_from_under_its_user(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    for folder in (".", ".."):
        with (
            pytest.raises(BadInputError, match=r"cannot replace \.\.?: it is in use"),
            filling_folder(folders.Path(folder)),
        ):
            pass


def test_a_folder_is_free_when_it_is_new_or_empty_or_of_the_kind_and_to_be_replaced(tmp_path):
    require_free(tmp_path / "nowhere", False, KIND)
    require_free(tmp_path, False, KIND)
    (tmp_path / "notes.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(BadInputError, match="is not a folder of fruit: choose another --out"):
            require_free(tmp_path, force, KIND)
    (tmp_path / "fruit.json").write_text("{}")
    with pytest.raises(BadInputError, match="exists: choose another --out, or replace it with --force"):
        require_free(tmp_path, False, KIND)
    require_free(tmp_path, True, KIND)
