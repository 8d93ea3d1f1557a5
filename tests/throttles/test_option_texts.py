import pytest

from dqgym.errors import BadInputError
from dqgym.throttles.option_texts import options_of, parse_options
from dqgym.throttles.registry import heeds_preference, make_throttle
from dqgym.throttles.table import rows


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "initial=50,increment=20,max=92,tail_slow",
            {"initial_percent": 50, "increment_percent": 20, "max_percent": 92, "tail_slow": True},
        ),
        ("initial_percent=50, tail-slow = off", {"initial_percent": 50, "tail_slow": False}),
        ("initial=50 %", {"initial_percent": 50}),
        # QEMU's migrate_set_parameter: these names, in percent.
        (
            "cpu-throttle-initial=30,cpu-throttle-increment=5,max-cpu-throttle=80",
            {"initial_percent": 30, "increment_percent": 5, "max_percent": 80},
        ),
        ("cpu-throttle-tailslow=on,throttle-trigger-threshold=40", {"tail_slow": True, "trigger_percent": 40}),
        ("least_period=500 ms", {"least_period_s": 0.5}),
        ("least_period_s=0.5", {"least_period_s": 0.5}),
    ],
)
def test_options_of_auto_converge_are_read_in_every_spelling(text, expected):
    options = make_throttle(f"auto-converge:{text}").options
    assert {name: getattr(options, name) for name in expected} == expected
    assert options == make_throttle("auto-converge", **expected).options


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dirty-limit:limit=10 MiB/s,period=500 ms", {"limit_mib_per_s": 10, "period_s": 0.5}),
        # QEMU's units: MiB/s and milliseconds.
        ("dirty-limit:vcpu-dirty-limit=10,x-vcpu-dirty-limit-period=500", {"limit_mib_per_s": 10, "period_s": 0.5}),
        ("dirty-limit:bandwidth_share=0.4", {"bandwidth_share": 0.4}),
        ("dirty-quota:ratio=2,assumed_bandwidth=1 Gbit/s", {"ratio": 2, "assumed_bandwidth_bytes_per_s": 125e6}),
        ("tuned-rule:quota_fraction=.2,interval=0.1 T0", {"quota_fraction": 0.2, "interval_pass_times": 0.1}),
        ("contextual-rule:survey=0.005 T0,preference=1e0", {"survey": "0.005 T0", "preference": 1.0}),
    ],
)
def test_units_are_read_where_they_are_part_of_a_name(name, expected):
    throttle, _, text = name.partition(":")
    made = make_throttle(name)
    assert made.name == name
    parsed = parse_options(throttle, next(row.options for row in rows() if row.name == throttle), text)
    assert parsed == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("auto-converge:inital=50", "'inital' .did you mean 'initial'..; known: trigger, hits_per_step"),
        ("auto-converge:initial", "'initial' needs a value: 'initial=...'"),
        ("auto-converge:initial=", "initial: '' is not a number"),
        ("auto-converge:initial=nan", "'nan' is not a number"),
        ("auto-converge:initial=1e999", "'1e999' is too large"),
        ("auto-converge:initial=0", "initial_percent=0: .* greater than or equal to 1"),
        ("auto-converge:initial=2.5", "initial_percent=2.5: .*integer"),
        ("auto-converge:initial=50,initial_percent=60", "initial_percent is given twice"),
        ("auto-converge:initial=50,max=20", "max_percent=20 must not be below initial_percent=50"),
        ("auto-converge:tail_slow=maybe", "'maybe' is neither on nor off"),
        ("auto-converge:", "auto-converge' is not tuned for ''"),
        ("auto-converge:initial=50,", "unknown option of throttle 'auto-converge': ''"),
        ("dirty-limit:limit=10", "limit: '10' has no unit"),
        ("dirty-limit:limit=10M", "does not say whether bits or bytes are meant"),
        ("dirty-limit:limit=10.5 MiB/s", "limit_mib_per_s=10.5: .*integer"),
        ("none:speed=1", "unknown option of throttle 'none': 'speed'; known: none"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(name, message):
    with pytest.raises(BadInputError, match=message):
        make_throttle(name)


def test_options_in_a_name_leave_no_room_for_others():
    with pytest.raises(BadInputError, match="says its options already; leave out max_percent"):
        make_throttle("auto-converge:initial=50", max_percent=80)


def test_a_throttle_whose_preference_is_said_runs_once_for_all():
    names = ("tuned-rule:floor=0.1", "contextual-rule:survey=2 s", "contextual-rule:preference=0.3")
    assert [heeds_preference(name) for name in names] == [False, True, False]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_every_option_says_what_it_is_and_its_default_is_allowed(row):
    options = options_of(row.options)
    assert all(option.meaning for option in options)
    shorts = [option.short for option in options]
    assert len(set(shorts)) == len(shorts)
    assert row.options() == row.options(**{option.name: option.default for option in options})
