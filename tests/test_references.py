"""Texts that name what can be imported."""

import sys

import pytest

from dqgym.errors import BadInputError
from dqgym.references import is_reference, load_reference, split_reference


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("mine_")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("module:Class", ("module:Class", "")),
        ("package.module:Class.attribute", ("package.module:Class.attribute", "")),
        ("module:Class:share=0.5,tail", ("module:Class", "share=0.5,tail")),
        ("module:Class:folder/a:b.yaml", ("module:Class", "folder/a:b.yaml")),
        ("auto-converge:initial=50", None),
        ("current:reduction=5", None),
        ("none", None),
        ("10.0.0.2:4444", None),
    ],
)
def test_a_reference_is_told_from_a_name_with_options(text, parts):
    assert split_reference(text) == parts
    assert is_reference(text) == (parts is not None and text == parts[0])


def test_modules_of_the_current_folder_are_found_and_what_they_import_later(in_folder):
    (in_folder / "mine_later.py").write_text("VALUE = 7\n")
    (in_folder / "mine_first.py").write_text("def value():\n    import mine_later\n    return mine_later.VALUE\n")
    assert load_reference("mine_first:value")() == 7


def test_a_folder_of_the_users_does_not_come_before_our_packages(in_folder):
    (in_folder / "mine_one.py").write_text("X = 1\n")
    load_reference("mine_one:X")
    assert sys.path[0] != str(in_folder)
    assert sys.path[-1] == str(in_folder)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("mine_none:X", "there is no module 'mine_none' in"),
        ("mine_good.py:Cap", "the file mine_good.py is written as 'mine_good'"),
        ("mine_bad:X", "mine_bad:X: cannot import 'mine_bad': ZeroDivisionError: division by zero"),
        ("mine_needs:X", "cannot import 'mine_needs': ModuleNotFoundError: No module named 'mine_absent'"),
        ("mine_good:Cup", r"module 'mine_good' has no 'Cup' \(did you mean 'Cap'\?\)"),
    ],
)
def test_what_cannot_be_loaded_is_explained(in_folder, reference, message):
    (in_folder / "mine_bad.py").write_text("1 / 0\n")
    (in_folder / "mine_needs.py").write_text("import mine_absent\n")
    (in_folder / "mine_good.py").write_text("Cap = 1\n")
    with pytest.raises(BadInputError, match=message):
        load_reference(reference)
