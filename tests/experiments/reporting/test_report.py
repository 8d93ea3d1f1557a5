import math
from io import StringIO

import pytest
from rich.console import Console

from dqgym.results.rows import TakeoverCount
from dqgym.scenario.suites.cover_letter import letter_rows
from experiments.reporting.letter_rows import letter_comparison
from experiments.reporting.report import (
    ONE_SCENARIO,
    Picture,
    comparison_table,
    evaluation_tables,
    fronts_table,
    markdown_report,
    paired_table,
    standings_tables,
    summary_tables,
)
from experiments.results.comparisons import Comparisons, Front
from experiments.results.rows import strata_of, summarise
from experiments.results.statistics import Bootstrap
from experiments.results.summary import Origin, summarise_evaluation
from tests.experiments import made_rows


def make_row(**changes):
    return made_rows.make_row(**({"suite": "cover-letter", "scenario": "row-01", "throttle": "current"} | changes))


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
    current, dirty_quota = letter_comparison(letter_evaluation(TIMES_S), ["policy"]).errors
    assert (current.throttle, current.rows, dirty_quota.rows) == ("current", 11, 15)
    assert current.median == pytest.approx(0.02)
    assert current.largest == pytest.approx(0.1)
    assert dirty_quota.median == pytest.approx(0.1)
    assert current.wrong_verdicts == dirty_quota.wrong_verdicts == ()
    assert set(current.row_9) == {"row-09", "row-09-misprint"}


def test_a_wrong_verdict_is_named():
    times_s = TIMES_S | {"current": lambda row: math.inf if row.row == 4 else row.current_time_s}
    comparison = letter_comparison(letter_evaluation(times_s), [])
    assert comparison.errors[0].wrong_verdicts == ("row-04",)
    assert "wrong convergence in row-04" in comparison_table(comparison).markdown()


def test_comparison_table_has_a_column_for_each_preference_of_a_policy_and_marks_both_readings_of_row_9():
    table = comparison_table(letter_comparison(letter_evaluation(TIMES_S), ["policy"]))
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
    comparison_table(letter_comparison(letter_evaluation(TIMES_S), ["policy"])).print(console)
    text = console.file.getvalue()
    table, notes = text.split("Cells:")
    assert "unconverged  50%" in table
    assert table.count("letter:") == 2
    assert "c = 0.6" in table
    assert "c = 0.2" not in table
    assert "policy, c = 0.2" in notes


def compared(rows_of_all, resamples=50):
    return Comparisons(strata_of(rows_of_all), Bootstrap(resamples))


def test_summary_table_lists_the_cheapest_first_and_says_where_the_guard_took_over():
    summaries = summarise([make_row(throttle="a", cost=3.0), make_row(throttle="b", cost=2.0)])
    (table,) = summary_tables(summaries, [TakeoverCount("cover-letter", "b", 0.2, "no progress", 1)])
    assert [row[1] for row in table.rows] == ["b", "a"]
    one_scenario, takeover = table.notes
    assert one_scenario == ONE_SCENARIO
    assert takeover == "b, c = 0.2: the guard took over 1 of 1 migrations (no progress)"


def test_takeovers_of_all_training_seeds_are_one_note():
    summaries = summarise(made_rows.make_rows({("p", 1): [1.0, 2.0], ("p", 2): [1.0, 2.0]}))
    (table,) = summary_tables(summaries, [TakeoverCount("s", "p", 0.2, "policy failed", count) for count in (2, 1)])
    assert table.notes == (
        "p: 2 training seeds, each on all 2 scenarios",
        "p, c = 0.2: the guard took over 3 of 4 migrations (policy failed)",
    )


def test_policies_are_compared_with_every_baseline_on_the_same_scenarios():
    costs = [make_row(throttle=name, cost=cost) for name, cost in (("policy", 1.0), ("current", 2.0), ("none", 4.0))]
    table = paired_table(compared(costs).policies_against_baselines(["policy"]))
    assert [(row[2], row[4]) for row in table.rows] == [("current", "0.500"), ("none", "0.250")]


def test_standings_say_how_many_seeds_and_how_much_of_the_gap_is_closed():
    costs = {("tuned-rule", None): [2.0, 4.0], ("oracle", None): [1.0, 2.0],
             ("p", 1): [1.5, 3.0], ("p", 2): [1.5, 3.0]}  # fmt: skip
    made = compared(made_rows.make_rows(costs))
    tables = standings_tables("tuned-rule", made.against("tuned-rule", made.throttles, made.groups))
    cells: dict[str, dict[str, str]] = {}
    for table in tables:
        assert "Against tuned-rule" in table.title
        for row in table.rows:
            cells.setdefault(row[2], {}).update(zip(table.header, row, strict=True))
    assert cells["p"]["seeds"] == "2"
    assert cells["p"]["mean ratio"] == "0.750 [0.750 0.750]"
    assert cells["p"]["P(better)"] == "1.00 [1.00 1.00]"
    assert cells["p"]["gap closed"] == "0.50 [0.50 0.50]"
    assert cells["oracle"]["gap closed"] == cells["tuned-rule"]["gap closed"] == ""


def test_without_an_oracle_there_is_no_column_for_the_gap():
    made = compared(made_rows.make_rows({("tuned-rule", None): [2.0], ("p", 1): [1.0]}))
    tables = standings_tables("p", made.against("p", ["p"], made.groups))
    assert not any("gap closed" in table.header for table in tables)


def test_standings_fit_into_120_columns_without_losing_one():
    costs = {("tuned-rule", None): [2.0, 4.0], ("oracle", None): [1.0, 2.0], ("contextual-rule", 1): [1.5, 3.0]}
    made = compared(made_rows.make_rows(costs, suite="noisy-neighbour"))
    for table in standings_tables("tuned-rule", made.against("tuned-rule", made.throttles, made.groups)):
        console = Console(file=StringIO(), width=120)
        table.print(console)
        assert "Left out" not in console.file.getvalue()
        assert max(map(len, console.file.getvalue().splitlines())) <= 120


def test_fronts_show_one_point_of_a_throttle_that_does_not_know_c_and_mark_points_that_another_beats():
    fronts = [
        Front("s", "none", (0.2, 0.6), (4.0, 4.0), (0.9, 0.9), (True, False), 1.0, True),
        Front("s", "p", (0.2, 0.6), (2.0, 3.0), (0.5, 0.4), (True, False), 1.0, False),
    ]
    assert [row[3:] for row in fronts_table(fronts).rows] == [
        ("yes", "4.00, 0.900"),
        ("no", "0.2: 2.00, 0.500; 0.6: 3.00, 0.400 *"),
    ]


def test_markdown_report_holds_the_command_every_table_and_every_picture():
    letter = letter_evaluation(TIMES_S)
    made = compared(letter)
    summary = summarise_evaluation(made, "dirty-quota", ["policy"], Origin("dqgym evaluate run", "model", "2026-11-26"))
    paired = made.policies_against_baselines(["policy"])
    tables = evaluation_tables(summary, paired, [], letter_comparison(letter, ["policy"]))
    assert [table.title.split(":")[0] for table in tables] == [
        "cover-letter",
        "Against dirty-quota",
        "Against dirty-quota",
        "Time against guest runtime over the preferences",
        "Cost of a policy / cost of a baseline on the same scenario (below 1",
        "The letter's fifteen configurations",
    ]
    text = markdown_report("dqgym evaluate run", tables, [Picture("a.png", "A picture")])
    assert "dqgym evaluate run" in text
    assert "![A picture](a.png)" in text
    for table in tables:
        assert f"## {table.title}" in text
        assert text.count(table.markdown()) == 1
