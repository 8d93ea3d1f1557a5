import math
from io import StringIO

import pytest
from rich.console import Console

from dqgym.scenario.suites.cover_letter import letter_rows
from experiments.cover_letter import compare
from experiments.evaluation import Evaluation
from experiments.report import (
    Picture,
    comparison_table,
    evaluation_tables,
    markdown_report,
    paired_table,
    summary_tables,
)
from experiments.results import Row, Takeover, paired_ratios


def make_row(**changes):
    values = {
        "suite": "cover-letter", "scenario": "row-01", "throttle": "current", "seed": 0, "preference": 0.2,
        "total_time_s": 10.0, "time_over_t0": 2.0, "downtime_s": 0.1, "guest_runtime": 0.5, "worst_vcpu_runtime": 0.25,
        "bytes_sent": 1e9, "rounds": 3, "converged": True, "max_throttle_percent": 0.0, "cost": 2.5,
        "guest_runtime_per_vcpu": (0.25, 0.75),
    }  # fmt: skip
    return Row(**(values | changes))


def letter_evaluation(times_s, policy="policy"):
    """Rows of all letter scenarios: a throttle's time by scenario; infinite: it did not converge."""
    return [
        make_row(
            scenario=scenario,
            throttle=throttle,
            preference=preference,
            total_time_s=time_s(row) if math.isfinite(time_s(row)) else 5000.0,
            converged=math.isfinite(time_s(row)),
        )
        for throttle, time_s in times_s.items()
        for preference in ((0.2, 0.6))
        for scenario, row in letter_rows().items()
    ]


TIMES_S = {
    "current": lambda row: row.current_time_s * (1.1 if row.row == 1 else 1.02),
    "dirty-quota": lambda row: row.dirty_quota_time_s * 0.9,
    "auto-converge": lambda row: 3 * row.current_time_s,
    "policy": lambda row: 100.0 + row.row,
}


def test_model_errors_against_the_letter_leave_the_misprint_out():
    current, dirty_quota = compare(letter_evaluation(TIMES_S), ["policy"]).errors
    assert (current.throttle, current.rows, dirty_quota.rows) == ("current", 11, 15)
    assert current.median == pytest.approx(0.02)
    assert current.largest == pytest.approx(0.1)
    assert dirty_quota.median == pytest.approx(0.1)
    assert current.wrong_verdicts == dirty_quota.wrong_verdicts == ()
    assert set(current.row_9) == {"row-09", "row-09-misprint"}


def test_a_wrong_verdict_is_named():
    times_s = TIMES_S | {"current": lambda row: math.inf if row.row == 4 else row.current_time_s}
    comparison = compare(letter_evaluation(times_s), [])
    assert comparison.errors[0].wrong_verdicts == ("row-04",)
    assert "wrong convergence in row-04" in comparison_table(comparison).markdown()


def test_comparison_table_has_a_column_for_each_preference_of_a_policy_and_marks_both_readings_of_row_9():
    table = comparison_table(compare(letter_evaluation(TIMES_S), ["policy"]))
    assert table.header[5:] == (
        "letter:\ncurrent", "letter:\ndirty-quota", "model:\ncurrent", "model:\ndirty-quota", "model:\nauto-converge",
        "policy,\nc = 0.2", "policy,\nc = 0.6",
    )  # fmt: skip
    rows = {row[0]: row[1:] for row in table.rows}
    assert len(rows) == 16
    assert rows["12"][4] == "unconverged"
    assert rows["12"][6] == "unconverged  50%"
    assert rows["1"][5:7] == ("15.2 s", "66.4 s  50%")
    assert rows["9 *"][3] == "1024 MiB/s"
    assert rows["9 **"][3] == "128 MiB/s"
    assert any("misprint" in note for note in table.notes)


def test_the_comparison_fits_a_narrow_terminal_with_the_letter_and_the_gentle_policy():
    console = Console(file=StringIO(), width=80)
    comparison_table(compare(letter_evaluation(TIMES_S), ["policy"])).print(console)
    text = console.file.getvalue()
    table, notes = text.split("Cells:")
    assert "unconverged  50%" in table
    assert table.count("letter:") == 2
    assert "c = 0.6" in table
    assert "c = 0.2" not in table
    assert "policy, c = 0.2" in notes


def test_summary_table_lists_the_cheapest_first_and_says_where_the_guard_took_over():
    rows = [make_row(throttle="a", cost=3.0), make_row(throttle="b", cost=2.0)]
    (table,) = summary_tables(rows, [Takeover("cover-letter", "b", 0.2, "no progress", 1)])
    assert [row[1] for row in table.rows] == ["b", "a"]
    assert table.notes == ("b, c = 0.2: the guard took over 1 of 1 migrations (no progress)",)


def test_policies_are_compared_with_every_baseline_on_the_same_scenarios():
    rows = [make_row(throttle=name, cost=cost) for name, cost in (("policy", 1.0), ("current", 2.0), ("none", 4.0))]
    table = paired_table(paired_ratios(rows, ["policy"], ["current", "none"]))
    assert [(row[2], row[4]) for row in table.rows] == [("current", "0.500"), ("none", "0.250")]


def test_markdown_report_holds_the_command_every_table_and_every_picture():
    evaluation = Evaluation(tuple(letter_evaluation(TIMES_S)), ())
    tables = evaluation_tables(evaluation, ["policy"], compare(evaluation.rows, ["policy"]))
    assert len(tables) == 3
    text = markdown_report("dqgym evaluate run", tables, [Picture("a.png", "A picture")])
    assert "dqgym evaluate run" in text
    assert "![A picture](a.png)" in text
    for table in tables:
        assert f"## {table.title}" in text
        assert text.count(table.markdown()) == 1
