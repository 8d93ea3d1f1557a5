"""Tables that others add to, with entry points as pip leaves them."""

import logging
import sys

import pytest

from dqgym.errors import BadInputError
from dqgym.registered import Registry

GROUP = "dqgym.testing"


def adopted(name: str, found: object) -> str:
    if not isinstance(found, str):
        raise BadInputError(f"{name!r} must be text")
    return f"{name} is {found}"


@pytest.fixture
def registry() -> Registry[str]:
    return Registry("thing", "things", GROUP, {"shipped": "ours"}, adopted)


@pytest.fixture
def install(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def make(distribution: str, **names: str) -> None:
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = "".join(f"{name.replace('_', '-')} = {value}\n" for name, value in names.items())
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}")

    (tmp_path / "of_a_plugin.py").write_text("TEXT = 'text'\nNUMBER = 5\n")
    (tmp_path / "of_a_broken_plugin.py").write_text("import nothing_of_the_kind\n")
    yield make
    sys.modules.pop("of_a_plugin", None)


def test_what_ships_wins_and_the_rest_follows_in_order(registry):
    registry.register("own", "mine")
    assert (registry.row("shipped"), registry.row("own")) == ("ours", "mine")
    assert list(registry.present()) == registry.names() == ["shipped", "own"]
    with pytest.raises(BadInputError, match="thing 'shipped' ships with dqgym"):
        registry.register("shipped", "mine")
    assert registry.row("shipped") == "ours"


@pytest.mark.parametrize("name", ["", " own", "a:b", "a/b", "a=b", "a,b"])
def test_a_name_must_not_look_like_something_else(registry, name):
    with pytest.raises(BadInputError, match="must not be empty, nor have any of"):
        registry.register(name, "mine")


def test_a_later_registration_takes_the_place_of_an_earlier_one(registry):
    registry.register("own", "first")
    registry.register("own", "second")
    assert registry.row("own") == "second"


def test_an_unknown_name_is_answered_with_the_nearest_of_all(registry, install):
    install("plugin", from_plugin="of_a_plugin:TEXT")
    with pytest.raises(
        BadInputError, match=r"unknown thing 'from-plugim' \(did you mean 'from-plugin'\?\); things: sh"
    ):
        registry.row("from-plugim")
    assert "of_a_plugin" not in sys.modules


def test_an_entry_point_is_loaded_when_its_name_is_asked_for(registry, install):
    install("plugin", from_plugin="of_a_plugin:TEXT", other="of_a_broken_plugin:X")
    assert registry.knows("from-plugin")
    assert "of_a_plugin" not in sys.modules
    assert registry.row("from-plugin") == "from-plugin is text"


def test_what_ships_is_found_without_a_look_at_what_is_installed(registry, monkeypatch):
    monkeypatch.setattr("dqgym.registered.entry_points", lambda **_: pytest.fail("looked"))
    assert registry.row("shipped") == "ours"
    assert registry.knows("shipped")


def test_a_broken_plug_in_is_one_line_with_its_distribution_and_the_rest_works(registry, install, caplog):
    install("plugin", good="of_a_plugin:TEXT", wrong="of_a_plugin:NUMBER", gone="of_a_plugin:NOTHING")
    install("broken", bad="of_a_broken_plugin:X")
    with caplog.at_level(logging.WARNING):
        assert registry.rows() == {"shipped": "ours", "good": "good is text"}
        registry.rows()
    lines = sorted(record.getMessage() for record in caplog.records)
    assert [line.partition(" cannot")[0] for line in lines] == [
        "dqgym: plug-in 'bad' (of_a_broken_plugin:X) of broken 1.0",
        "dqgym: plug-in 'gone' (of_a_plugin:NOTHING) of plugin 1.0",
        "dqgym: plug-in 'wrong' (of_a_plugin:NUMBER) of plugin 1.0",
    ]
    assert not any("\n" in line for line in lines)
    with pytest.raises(
        BadInputError, match=r"of broken 1.0 cannot be used: ModuleNotFoundError: No module named 'noth"
    ):
        registry.row("bad")


def test_a_clash_of_names_is_told_and_the_first_stays(registry, install, caplog):
    install("plugin", shipped="of_a_plugin:TEXT", twice="of_a_plugin:TEXT")
    install("second", twice="of_a_plugin:NUMBER")
    with caplog.at_level(logging.WARNING):
        assert registry.rows()["shipped"] == "ours"
    lines = sorted(record.getMessage() for record in caplog.records)
    assert "of plugin 1.0 is left out: dqgym ships a thing of the name 'shipped'" in lines[0]
    assert "has the name 'twice', too" in lines[1]


def test_a_reference_is_adopted_and_known_from_then_on(registry, install):
    assert registry.knows("of_a_plugin:TEXT")
    assert registry.row("of_a_plugin:TEXT") == "of_a_plugin:TEXT is text"
    assert "of_a_plugin:TEXT" in registry.present()
    assert "of_a_plugin:TEXT" not in registry.names()
    with pytest.raises(BadInputError, match="'of_a_plugin:NUMBER' must be text"):
        registry.row("of_a_plugin:NUMBER")


def test_a_misspelt_name_with_a_colon_leads_to_the_right_one(registry):
    with pytest.raises(BadInputError, match=r"there is no module 'shiped' in .* \(did you mean 'shipped'\?\)"):
        registry.row("shiped:tail")
