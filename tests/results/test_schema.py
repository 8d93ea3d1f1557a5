"""The schema's columns are the fields of the records that commands write."""

from dataclasses import fields

import pytest

from dqgym.results import schema
from dqgym.results.columns import columns_of
from dqgym.results.rows import Row, Summary, TakeoverCount
from dqgym.results.rows_file import COLUMNS
from dqgym.results.schema import ESTIMATES, FRAMES, require_known, stamped
from experiments.evaluation.duel import DuelPair
from experiments.results.comparisons import Standing

BESIDE = {"source", "backend", "repetition", "vcpus", "takeovers"}
"""Columns of migrations that ``results.csv`` has not."""


def written(record: type) -> list[str]:
    return [field.name for field in fields(record)]


def test_migrations_have_what_results_csv_has_and_what_is_known_beside_it():
    assert set(FRAMES["migrations"].names) - BESIDE == set(COLUMNS) - {"guest_runtime_per_vcpu"}
    assert set(FRAMES["migrations"].names) >= BESIDE


@pytest.mark.parametrize(("name", "record"), [("means", Summary), ("takeovers", TakeoverCount)])
def test_frames_of_records_have_their_fields(name, record):
    assert list(FRAMES[name].names) == ["source", *written(record)]


def test_standings_have_an_interval_for_each_estimate():
    ends = [f"{name}_{end}" for name in ESTIMATES for end in ("low", "high")]
    assert [name for name in FRAMES["standings"].names if name not in ends] == ["source", *written(Standing)]
    assert set(ends) < set(FRAMES["standings"].names)


def test_pairs_have_the_fields_of_a_pair_and_the_two_throttles():
    assert list(FRAMES["pairs"].names) == ["source", "own", "other", *written(DuelPair)]


def test_every_column_says_what_it_means_and_its_unit_where_its_name_has_one():
    for frame in FRAMES.values():
        assert len(set(frame.names)) == len(frame.names)
        for column in frame.columns:
            assert column.meaning
            if column.name.endswith("_s"):
                assert column.unit == "s", column.name
            if column.name.endswith("time_over_t0"):
                assert column.unit == "T0", column.name


def test_a_field_of_several_numbers_is_no_column():
    assert "guest_runtime_per_vcpu" not in [column.name for column in columns_of(Row)]


def test_a_document_is_stamped_in_place_of_an_older_version(monkeypatch):
    monkeypatch.setattr(schema, "VERSION", 3)
    assert stamped({schema.KEY: 2, "a": 1}) == {schema.KEY: 3, "a": 1}
    require_known({schema.KEY: 2}, "file")
    require_known({}, "file")
