import pytest

from dqgym.documents import MOST_LEVELS, MOST_VALUES, parse_json, parse_yaml
from dqgym.errors import BadInputError

ALIASES = "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))


def test_plain_yaml_is_read() -> None:
    assert parse_yaml("a: {b: [1, 2.5, text], c: null}", "file") == {"a": {"b": [1, 2.5, "text"], "c": None}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "key 'a' is repeated"),
        ("? [a]\n: 1", "a key must be a plain word"),
        ("a: {? {b: c} : 1}", "a key must be a plain word"),
        ("a: [1", "while parsing a flow sequence"),
        ("a: " + "[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1), f"more than {MOST_LEVELS} levels"),
        ("[" * 100_000, "nest"),
        ("a: &a [*a]", "a value holds itself"),
        (ALIASES, f"at most {MOST_VALUES:,} are read"),
        ("[" + "1," * (2 * MOST_VALUES + 1) + "]", f"more than {MOST_VALUES:,} values"),
        ("a: 2001-13-45", "month must be in 1..12"),
        ("a: !!timestamp text", "not valid YAML"),
        ("a: !!int text", "not valid YAML"),
        ("a: " + "9" * 5000, "digits"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("<<: [a]", "mapping for merging"),
        ("\x00", "not valid YAML"),
    ],
)
def test_yaml_that_cannot_be_used_is_one_message_with_its_source(text: str, said: str) -> None:
    with pytest.raises(BadInputError, match=r"^my-file\.yaml: not valid YAML: ") as error:
        parse_yaml(text, "my-file.yaml")
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", ""])
def test_json_that_cannot_be_used_is_one_message_with_its_source(text: str) -> None:
    with pytest.raises(BadInputError, match=r"^my-file\.json: not valid JSON: "):
        parse_json(text, "my-file.json")
