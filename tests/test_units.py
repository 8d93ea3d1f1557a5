from __future__ import annotations

import re
from fractions import Fraction

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
    power = {"B": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}[unit[0]]
    thousandths = int(str(number).replace(".", ""))
    exact = thousandths * (1024 if "i" in unit else 1000) ** power
    assert abs(units.parse_bytes(f"{number} {unit}") * 1000 - exact) <= 500


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("8", ["'8'", "no unit", "GB", "MiB"]),
        ("8 Gb", ["'8 Gb'", "bits", "write '8 GB' or '8 GiB'", "allowed units: B, kB"]),
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


READ = {
    "size": {
        "0.5 PiB": 2**49, "2 PB": 2 * 10**15, "32Gi": 32 * 2**30, "128Mi": 2**27, "4 MBytes": 4 * 10**6,
        "1 Mbyte": 10**6, "64 kilobytes": 64_000, "3 gibibytes": 3 * 2**30, "512 bytes": 512, "1 GiBytes": 2**30,
    },
    "rate": {
        "10 Gbps": 10**10 // 8, "10 Gb/s": 10**10 // 8, "10GbE": 10**10 // 8, "10 Gbit": 10**10 // 8,
        "10 Gbits/sec": 10**10 // 8, "800 Mbps": 10**8, "800 Mbit": 10**8, "800 Mbit/s": 10**8, "64 kbps": 8000,
        "64 Kbps": 8000, "8 bit/s": 1, "8 bps": 1, "1 Tbit/s": 10**12 // 8, "8 Mibit/s": 2**20, "2 GBps": 2 * 10**9,
        "1 MiBps": 2**20, "125 MBytes/s": 125 * 10**6, "125 MBytes/sec": 125 * 10**6, "5 Gi/s": 5 * 2**30,
        "3 MB/second": 3 * 10**6, "1 PB/s": 10**15,
    },
    "time": {
        "5 sec": 5, "5 seconds": 5, "2 minutes": 120, "2 mins": 120, "1 hour": 3600, "3 hrs": 10_800, "2 d": 172_800,
        "2 days": 172_800, "300 msec": Fraction(3, 10), "300 milliseconds": Fraction(3, 10),
        "7 \u00b5s": Fraction(7, 10**6),
        "7 \u03bcs": Fraction(7, 10**6), "7 usec": Fraction(7, 10**6), "20 ns": Fraction(20, 10**9),
    },
}  # fmt: skip
"""What people write and what it is, exactly."""
REFUSED = {
    "size": {
        "128M": ("128 MB", "128 MiB"), "10G": ("10 GB", "10 GiB"), "64K": ("64 kB", "64 KiB"),
        "64k": ("64 kB", "64 KiB"), "1T": ("1 TB", "1 TiB"), "1 KB": ("1 kB", "1 KiB"), "8 Gb": ("8 GB", "8 GiB"),
        "8 gb": ("8 GB", "8 GiB"), "8 Gib": ("8 GB", "8 GiB"), "8 Gi b": (), "8 Gbit": (), "8 GB/s": (), "8 s": (),
        "8 gib": ("GiB",), "8 GIB": ("GiB",), "8 Bites": (), "8 GP": (), "unlimited": (), "": (), "8": (),
    },
    "rate": {
        "10G": ("10 Gbit/s", "10 GB/s"), "10 G/s": ("10 Gbit/s", "10 GB/s"), "10 gbps": ("10 Gbit/s", "10 GB/s"),
        "10 gb/s": ("10 Gbit/s", "10 GB/s"), "1 KB/s": ("1 kB/s", "1 KiB/s"), "1 KBps": ("1 kB/s", "1 KiB/s"),
        "1 gbit/s": ("Gbit/s",), "1 MIB/S": ("MiB/s", "Mibit/s"), "640 MiB": ("MiB/s",), "8 GB": ("GB/s",),
        "1 MB/min": (), "1 ms": (), "1 Gbp": (), "unlimited": (), "10 GE": (),
    },
    "time": {"1m": ("1 min", "1 ms"), "3 Sec": ("s",), "5 H": ("h",), "1 week": (), "3 MB": (), "soon": ()},
}  # fmt: skip
"""What is refused, and what its error offers instead."""
PARSE = {"size": units.parse_bytes, "rate": units.parse_rate, "time": units.parse_time}
DIMENSIONS = {"size": units.BYTES, "rate": units.RATE, "time": units.TIME}


@pytest.mark.parametrize(
    ("dimension", "text", "value"),
    [(dimension, text, value) for dimension, texts in READ.items() for text, value in texts.items()],
)
def test_what_means_one_thing_is_read_however_it_is_spelt(dimension: str, text: str, value: int | Fraction) -> None:
    assert PARSE[dimension](text) == float(value)


@pytest.mark.parametrize(
    ("dimension", "text", "offered"),
    [(dimension, text, offered) for dimension, texts in REFUSED.items() for text, offered in texts.items()],
)
def test_what_means_several_things_is_refused_with_its_readings(
    dimension: str, text: str, offered: tuple[str, ...]
) -> None:
    with pytest.raises(units.UnitError) as caught:
        PARSE[dimension](text)
    before_the_list = str(caught.value).split("allowed units")[0]
    named = before_the_list.partition("did you mean")[2] or before_the_list.partition("; write")[2]
    assert tuple(re.findall(r"'([^']+)'", named)) == offered


def _letters(unit: str) -> str:
    return re.sub(r"[^a-z]", "", unit.casefold())


@pytest.mark.slow
@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_a_hint_has_the_letters_that_were_written(dimension: str) -> None:
    """Every unit in every case: what is offered is that unit, or all units which differ from it in case alone."""
    known = DIMENSIONS[dimension]
    for spelling in (*known.units, *known.aliases):
        for written in (spelling.lower(), spelling.upper(), spelling.swapcase()):
            try:
                value = PARSE[dimension](f"3 {written}")
            except units.UnitError as error:
                named = str(error).split("allowed units")[0].partition("did you mean")[2]
                for offered in re.findall(r"'([^']+)'", named):
                    sizes = {known.size_of(one) for one in (*known.units, *known.aliases)
                             if _letters(one) == _letters(written)}  # fmt: skip
                    assert known.size_of(offered) in sizes
                continue
            size = known.size_of(written)
            assert size is not None
            assert value == float(3 * size)


@given(st.sampled_from(sorted(DIMENSIONS)), st.data())
def test_every_spelling_is_its_unit(dimension: str, data: st.DataObject) -> None:
    known = DIMENSIONS[dimension]
    alias = data.draw(st.sampled_from(sorted(known.aliases)))
    number = data.draw(st.integers(0, 10**6))
    assert PARSE[dimension](f"{number}{alias}") == PARSE[dimension](f"{number} {known.aliases[alias]}")
    assert alias not in known.ambiguous


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_one_short_error(text: str) -> None:
    for parse in PARSE.values():
        said = ""
        try:
            assert parse(text) >= 0 or text.strip().startswith("-")
        except units.UnitError as error:
            said = str(error)
        assert len(said) < 400


def test_a_long_text_is_not_repeated() -> None:
    for text in ("9" * 100_000, "9" * 100_000 + " GB", "x" * 100_000, "1 " + "x" * 100_000):
        with pytest.raises(units.UnitError) as caught:
            units.parse_bytes(text)
        assert len(str(caught.value)) < 400
