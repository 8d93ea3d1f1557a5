import pytest

from dqgym.cost import FAST, GENTLE
from dqgym.errors import BadInputError
from dqgym.throttles.registry import heeds_preference, make_throttle, options_file
from dqgym.throttles.rules.contextual_weights import CONTEXTUAL_FILE
from dqgym.throttles.rules.tuned import (
    TRAINING,
    TUNED_FILE,
    TunedEntry,
    dump_tuned,
    interpolated,
    read_tuned,
    tuned_options,
)

SHIPPED = read_tuned(TUNED_FILE)


def entry(preference, **options):
    return TunedEntry(
        preference=preference, options=options, cost=1.5, suites={"mixed": 1.0}, scenarios=3, seed=7, trials=9
    )


ENTRIES = [
    entry(0.1, share=1.0, count=10, switch=False),
    entry(1.0, share=3.0, count=20, switch=True),
]


@pytest.mark.parametrize(
    ("preference", "expected"),
    [
        (0.1, {"share": 1.0, "count": 10, "switch": False}),
        (1.0, {"share": 3.0, "count": 20, "switch": True}),
        (10**-0.5, {"share": 2.0, "count": 15, "switch": False}),
        (10**-0.25, {"share": 2.5, "count": 18, "switch": True}),
        (10**-0.75, {"share": 1.5, "count": 12, "switch": False}),
        (0.001, {"share": 1.0, "count": 10, "switch": False}),
        (50.0, {"share": 3.0, "count": 20, "switch": True}),
    ],
)
def test_options_are_linear_in_the_logarithm_of_the_preference_and_constant_beyond(preference, expected):
    found = interpolated(ENTRIES, preference)
    assert found == pytest.approx(expected)
    assert {name: type(value) for name, value in found.items()} == {"share": float, "count": int, "switch": bool}


def test_there_is_no_logarithm_of_a_preference_of_zero():
    with pytest.raises(ValueError, match=r"above 0, not 0\.0"):
        interpolated(ENTRIES, 0.0)


def test_a_file_reads_back_as_it_was_written(tmp_path):
    content = {"dirty-quota": {"phases": ENTRIES}}
    path = tmp_path / "tuned.yaml"
    path.write_text(dump_tuned(content))
    assert read_tuned(path) == content
    assert read_tuned(tmp_path / "absent.yaml") == {}


@pytest.mark.parametrize("text", ["tuned-rule: 3", "tuned-rule: {training: [{preference: 0}]}", "- 1"])
def test_a_file_with_other_content_is_refused_by_name(tmp_path, text):
    path = tmp_path / "tuned.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"tuned\.yaml"):
        read_tuned(path)


@pytest.mark.parametrize(
    ("throttle", "distribution", "entry"),
    [(throttle, name, one) for throttle, of in SHIPPED.items() for name, entries in of.items() for one in entries],
)
def test_what_is_shipped_makes_throttles(throttle, distribution, entry):
    name = f"{throttle}:{distribution}"
    made = make_throttle(name, entry.preference)
    assert made.name == name
    assert heeds_preference(name)
    assert {option: getattr(made.options, option) for option in entry.options} == pytest.approx(entry.options)


def test_what_is_shipped_is_in_the_order_of_the_preferences():
    for of_throttle in SHIPPED.values():
        for entries in of_throttle.values():
            preferences = [one.preference for one in entries]
            assert preferences == sorted(set(preferences))


def test_the_tuned_rule_without_options_takes_those_that_were_tuned_for_the_preference():
    for preference in (FAST, GENTLE, 0.35):
        expected = tuned_options("tuned-rule", TRAINING, preference)
        options = make_throttle("tuned-rule", preference).options
        assert {name: getattr(options, name) for name in expected} == pytest.approx(expected)
    assert make_throttle("tuned-rule").options == make_throttle("tuned-rule", FAST).options
    assert make_throttle("tuned-rule", FAST).options != make_throttle("tuned-rule", GENTLE).options
    assert make_throttle("tuned-rule", FAST, floor=0.5).options.free_rounds == 1.0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tuned-rule:trainin", {}, "not tuned for 'trainin' .did you mean 'training'"),
        ("stop-and-copy:training", {}, "'stop-and-copy' is not tuned for 'training'; it is for: nothing"),
        ("tuned-rul:training", {}, "unknown throttle 'tuned-rul' .did you mean 'tuned-rule'"),
        ("tuned-rule:training", {"floor": 0.1}, "'tuned-rule:training' says its options already.*floor"),
        ("tuned-rule", {"flor": 0.1}, "'flor' .did you mean 'floor'"),
        ("tuned-rule", {"quota_fraction": 0}, "quota_fraction=0: .* greater than 0"),
        ("contextual-rule", {"survey": "long"}, "survey 'long' must be a share of the pass time"),
        ("contextual-rule", {"preference": 0}, "preference=0: .* greater than 0"),
    ],
)
def test_wrong_names_and_values_are_explained(name, options, message):
    with pytest.raises(ValueError, match=message):
        make_throttle(name, **options)


def stored(path, **of_throttles):
    """A file as `dqgym tune` writes it: a threshold for each throttle and distribution."""
    entries = {
        throttle: {name: [entry(FAST, floor=floor)] for name, floor in of.items()}
        for throttle, of in of_throttles.items()
    }
    path.write_text(dump_tuned({throttle.replace("_", "-"): of for throttle, of in entries.items()}))
    return path


def test_a_file_of_ones_own_is_named_after_the_throttle(tmp_path):
    path = stored(tmp_path / "mine.yaml", tuned_rule={"mine": 0.25})
    for name in (f"tuned-rule:{path}", f"tuned-rule:{path}:mine"):
        made = make_throttle(name, FAST)
        assert made.options.floor == 0.25
        assert made.name == name
        assert heeds_preference(name)
        assert options_file(name) == path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tuned-rule:{}", "is tuned for several; write one of: .*:night, .*:day"),
        ("tuned-rule:{}:dya", "is not tuned for 'dya' .did you mean 'day'"),
        ("dirty-limit:{}", "has no options of 'dirty-limit'; it has those of: tuned-rule"),
        ("contextual-rule:{}", "not what `dqgym tune contextual-rule` writes"),
        ("contextual-rule:{}:day", "a file holds one result, not one for 'day'"),
        ("tuned-rule:{}.yaml", "there is no file .*mine.yaml.yaml"),
    ],
)
def test_what_a_file_lacks_is_said(tmp_path, name, message):
    path = stored(tmp_path / "mine.yaml", tuned_rule={"night": 0.1, "day": 0.2})
    with pytest.raises(BadInputError, match=message):
        make_throttle(name.format(path))


def test_a_contextual_rule_of_ones_own_is_read_from_its_file():
    name = f"contextual-rule:{CONTEXTUAL_FILE}"
    made, shipped = make_throttle(name, GENTLE), make_throttle("contextual-rule", GENTLE)
    assert made.name == name
    assert heeds_preference(name)
    assert type(made) is type(shipped)


def test_who_heeds_the_preference():
    names = ("none", "tuned-rule", "contextual-rule", "dirty-quota", "dirty-limit:training")
    assert [heeds_preference(name) for name in names] == [False, True, True, False, True]
