from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqgym import units


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("8 GB", 8 * 10**9), ("640MiB", 640 * 1024**2), (" 1.5 kB ", 1500), ("2e3 B", 2000), ("0.3 KiB", 307)],
)
def test_sizes_are_read_in_decimal_and_binary_units(text: str, size_bytes: int) -> None:
    assert units.parse_bytes(text) == size_bytes


def test_a_rate_may_be_given_in_bits_as_networks_are() -> None:
    assert units.parse_rate("25 Gbit/s") == 3.125e9
    assert units.parse_rate("640 MiB/s") == 671088640.0


def test_times_are_read_exactly() -> None:
    assert units.parse_time("300 ms") == 0.3
    assert units.parse_time("0.1 s") == 0.1
    assert units.parse_time("2 min") == 120.0


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(8 * 10**9, "8 GB"), (64 * 2**30, "64 GiB"), (5333333333, "5333333333 B"), (4096, "4 KiB")]
)
def test_the_shortest_exact_text_is_written(size_bytes: int, text: str) -> None:
    assert units.format_bytes(size_bytes) == text


@given(st.integers(min_value=0, max_value=2**60))
def test_every_size_reads_back_as_it_was_written(size_bytes: int) -> None:
    assert units.parse_bytes(units.format_bytes(size_bytes)) == size_bytes


@given(st.floats(min_value=0, max_value=1e300))
def test_every_rate_and_time_reads_back_as_it_was_written(value: float) -> None:
    assert units.parse_rate(units.format_rate(value)) == value
    assert units.parse_time(units.format_time(value)) == value


@given(st.sampled_from(sorted(units.BYTES.units)), st.decimals(min_value=0, max_value=1000, places=3))
def test_parsing_agrees_with_exact_decimal_arithmetic(unit: str, number: object) -> None:
    power = {"B": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}[unit[0]]
    thousandths = int(str(number).replace(".", ""))
    exact = thousandths * (1024 if "i" in unit else 1000) ** power
    assert abs(units.parse_bytes(f"{number} {unit}") * 1000 - exact) <= 500


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("8", ["'8'", "no unit", "GB", "MiB"]),
        ("8 Gb", ["'8 Gb'", "'Gb'", "did you mean 'GB'", "allowed units: B, kB"]),
        ("8 GB/s", ["'GB/s'", "not a unit of size"]),
        ("much", ["'much'", "not a number", "8 GB"]),
        ("nan GB", ["'nan GB'"]),
        ("", ["''"]),
    ],
)
def test_an_error_names_the_text_and_the_allowed_units(text: str, parts: list[str]) -> None:
    with pytest.raises(units.UnitError) as caught:
        units.parse_bytes(text)
    for part in parts:
        assert part in str(caught.value)


def test_a_number_that_no_float_holds_is_an_error() -> None:
    with pytest.raises(units.UnitError, match="too large"):
        units.parse_time("1e400 s")
    with pytest.raises(units.UnitError):
        units.parse_time("1e99999999 s")
