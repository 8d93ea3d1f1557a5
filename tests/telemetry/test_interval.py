import numpy as np
import pytest

from dqgym.errors import BadInputError
from dqgym.telemetry.interval import ControlInterval, parse_survey
from dqgym.telemetry.telemetry import Facts


def facts(*pass_times_s: float) -> Facts:
    n = len(pass_times_s)
    return Facts(
        present=np.ones((n, 1), dtype=bool),
        memory_bytes=1e8 * np.array(pass_times_s),
        bandwidth_bytes_per_s=np.full(n, 1e8),
        downtime_limit_s=np.full(n, 0.3),
        deadline_s=np.full(n, 1e3),
        ring_bytes=np.full(n, 4096.0 * 4096),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.04 T0", ControlInterval(0.0, 0.04)),
        (" 1e-3T0 ", ControlInterval(0.0, 0.001)),
        ("100 ms", ControlInterval(0.1)),
        ("2 s", ControlInterval(2.0)),
    ],
)
def test_an_interval_is_read_from_text(text, expected):
    assert ControlInterval.parse(text) == expected


@pytest.mark.parametrize("text", ["", "T0", "0.04", "0 T0", "-1 T0", "1.2.3 T0", "0 s", "-5 ms", "100 parsecs"])
def test_a_text_that_is_no_interval_is_refused_with_what_is_allowed(text):
    with pytest.raises(ValueError, match=r"must be a share of the pass time, like '0.04 T0'") as error:
        ControlInterval.parse(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize(("least_s", "pass_times"), [(0.0, 0.0), (-0.1, 0.1), (0.1, -0.1)])
def test_an_interval_that_never_or_always_ends_is_refused(least_s, pass_times):
    with pytest.raises(ValueError, match="one of them must be positive"):
        ControlInterval(least_s, pass_times)


@pytest.mark.parametrize("text", ["", "0 s", "a moment", "-0.1 T0"])
def test_a_text_that_is_no_length_of_a_survey_is_refused_with_what_is_allowed(text):
    with pytest.raises(
        ValueError, match=r"survey .* must be a share of the pass time, like '0.01 T0', or a time"
    ) as error:
        parse_survey(text)
    assert repr(text) in str(error.value)


def test_the_length_of_a_survey_is_read_as_an_interval_is():
    assert parse_survey("0.01 T0") == ControlInterval(0.0, 0.01)
    assert parse_survey("2 s") == ControlInterval(2.0)


def test_an_interval_scales_with_the_pass_time_and_has_a_least_length():
    np.testing.assert_allclose(ControlInterval(0.0, 0.04).seconds(facts(10.0, 1000.0)), [0.4, 40.0])
    np.testing.assert_allclose(ControlInterval(0.1).seconds(facts(10.0, 1000.0)), [0.1, 0.1])
    np.testing.assert_allclose(ControlInterval(1.0, 0.01).seconds(facts(10.0, 1000.0)), [1.0, 10.0])


@pytest.mark.parametrize("text", ["1e300 s", "1e8 s", "1001 T0", "1e-999 T0"])
def test_an_interval_is_no_longer_than_any_deadline(text: str) -> None:
    with pytest.raises(BadInputError, match="control interval"):
        ControlInterval.parse(text)
