from __future__ import annotations

import pytest

from dqgym.names import did_you_mean, unknown

PATTERNS = ["sequential", "uniform", "hot-cold", "read-only", "idle"]
LINKS = ["constant", "steps", "markov", "ornstein-uhlenbeck", "trace"]


@pytest.mark.parametrize(
    ("name", "valid", "meant"),
    [
        ("sequental", PATTERNS, "sequential"),
        ("Uniform", PATTERNS, "uniform"),
        ("random", PATTERNS, "uniform"),
        ("Random", PATTERNS, "uniform"),
        ("zipf", PATTERNS, "hot-cold"),
        ("hot_cold", PATTERNS, "hot-cold"),
        ("readonly", PATTERNS, "read-only"),
        ("ro", PATTERNS, "read-only"),
        ("OU", LINKS, "ornstein-uhlenbeck"),
        ("const", LINKS, "constant"),
        ("replay", LINKS, "trace"),
        ("replay", ["steady", "phased", "bursty", "recorded"], "recorded"),
    ],
)
def test_a_hint_has_the_meaning_of_what_was_written(name: str, valid: list[str], meant: str) -> None:
    assert did_you_mean(name, valid) == f" (did you mean {meant!r}?)"


@pytest.mark.parametrize("name", ["rw", "write-only", "read-write", "readwrite", "something else"])
def test_a_name_without_a_like_gets_no_hint(name: str) -> None:
    assert did_you_mean(name, PATTERNS) == ""


def test_a_known_word_never_leads_to_another_name_that_only_looks_like_it() -> None:
    assert did_you_mean("random", ["read-only", "idle"]) == ""


def test_a_long_name_is_compared_in_no_time() -> None:
    assert did_you_mean("x" * 10**6, PATTERNS) == ""


def test_the_message_about_an_unknown_name_has_the_nearest_one_and_all() -> None:
    said = unknown("link", "const", ["constant", "steps"], "links")
    assert said == "unknown link 'const' (did you mean 'constant'?); links: constant, steps"
