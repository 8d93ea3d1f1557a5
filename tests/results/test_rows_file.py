import csv
import gzip
import math

import pytest

from dqgym.errors import BadInputError
from dqgym.results import rows_file
from dqgym.results.rows_file import read_rows, write_rows
from tests.experiments.made_rows import make_row, make_rows

COLUMNS = (
    "suite,scenario,throttle,seed,preference,total_time_s,time_over_t0,downtime_s,guest_runtime,worst_vcpu_runtime,"
    "bytes_sent,rounds,converged,max_throttle_percent,cost,guest_runtime_per_vcpu,training_seed"
)
ROWS = make_rows({("t", 1): [1.0, 1 / 3], ("t", 2): [2.0, 1e-9], ("none", None): [4.0, 5.0]})


@pytest.fixture
def many(monkeypatch):
    """Make a handful of rows too many for a plain file."""
    monkeypatch.setattr(rows_file, "MOST_ROWS_PLAIN", 3)


def test_the_file_has_the_columns_and_an_empty_cell_for_an_absent_number(tmp_path):
    path = write_rows(tmp_path, [make_row(), make_row(downtime_s=math.nan, training_seed=7)])
    assert path.name == "results.csv"
    assert path.read_text().splitlines()[0] == COLUMNS
    with path.open() as file:
        whole, missed = csv.DictReader(file)
    assert float(whole["total_time_s"]) == 10.0
    assert (missed["downtime_s"], whole["training_seed"], missed["training_seed"]) == ("", "", "7")
    assert whole["guest_runtime_per_vcpu"] == "0.25 0.75"


def test_rows_come_back_number_for_number(tmp_path):
    write_rows(tmp_path, ROWS)
    assert read_rows(tmp_path, ["t", "none"]) == ROWS
    assert read_rows(tmp_path, ["none"]) == ROWS[4:]
    assert read_rows(tmp_path) == ROWS


def test_an_absent_number_comes_back_as_one(tmp_path):
    write_rows(tmp_path, [make_row(downtime_s=math.inf)])
    (row,) = read_rows(tmp_path, ["t"])
    assert math.isnan(row.downtime_s)
    assert row.training_seed is None


def test_many_rows_are_compressed_and_the_same_rows_are_the_same_bytes(tmp_path, many):
    path = write_rows(tmp_path, ROWS)
    content = path.read_bytes()
    assert path.name == "results.csv.gz"
    assert gzip.decompress(content).decode().startswith(COLUMNS)
    assert read_rows(tmp_path, ["t", "none"]) == ROWS
    assert write_rows(tmp_path, ROWS).read_bytes() == content


def test_a_folder_without_rows_and_a_throttle_without_rows_are_named(tmp_path):
    with pytest.raises(BadInputError, match=r"has neither results\.csv nor results\.csv\.gz"):
        read_rows(tmp_path, ["t"])
    write_rows(tmp_path, ROWS)
    with pytest.raises(BadInputError, match=r"no throttle 'u' in it; there are: t, none"):
        read_rows(tmp_path, ["t", "u"])


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("training_seed\n", "seed_of_training\n", r"must have the columns suite, .*; wrong: \['seed_of_tr"),
        ("4.0", "four", r"line 6: cost='four' must be a number or empty"),
        ("True", "yes", r"line 2: converged='yes' must be True or False"),
        (",2\n", ",\n,2\n", r"line 5: 2 cells, must be 17"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_line_field_value_and_what_is_allowed(tmp_path, old, new, problem):
    path = write_rows(tmp_path, ROWS)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BadInputError, match=problem):
        read_rows(tmp_path, ["t", "none"])


def test_a_file_that_was_cut_off_is_named(tmp_path, many):
    path = write_rows(tmp_path, ROWS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadInputError, match=r"cannot read .*results\.csv\.gz"):
        read_rows(tmp_path, ["t"])
