"""Tests that share the work of several processes stay together where they must."""

from pathlib import Path

import pytest

from tests.groups import GROUPS, group_of, place_of

ROOT = Path(__file__).parents[1]


def test_files_and_folders_of_groups_exist():
    assert [path for members in GROUPS.values() for path in members if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("tests/backends/kvm/machine/test_ring.py", "kvm"),
        ("tests/docs/test_documents.py", "documents"),
        ("tests/docs/test_links.py", "tests/docs/test_links.py"),
    ],
)
def test_a_test_goes_with_its_group_or_else_with_its_file(path, group):
    assert group_of(path) == group


def test_groups_begin_before_all_other_files():
    paths = ["tests/test_names.py", *(members[0] for members in GROUPS.values()), "tests/cost/test_meter.py"]
    assert sorted(paths, key=place_of) == [*paths[1:-1], paths[0], paths[-1]]
