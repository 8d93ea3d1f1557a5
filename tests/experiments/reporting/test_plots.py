from dataclasses import replace

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from dqgym.scenario.suites.cover_letter import letter_rows
from dqgym.throttles import table
from dqgym.throttles.styles import POLICY_STYLES, SPARE_STYLES
from dqgym.throttles.table import THROTTLES, row_of, table_styles
from experiments.reporting.letter_rows import letter_comparison
from experiments.reporting.plots import (
    cover_letter_figure,
    fronts_figure,
    save_figure,
    throttle_styles,
    tradeoff_figure,
)
from experiments.results.comparisons import Front
from tests.experiments.made_rows import make_row


def test_a_throttle_keeps_its_colour_whatever_else_is_drawn():
    alone = throttle_styles(["dirty-quota"], [])
    among = throttle_styles(["policy", "none", "dirty-quota", "other"], ["policy", "other"])
    assert among["dirty-quota"] == alone["dirty-quota"] == row_of("dirty-quota").style
    assert (among["policy"], among["other"]) == POLICY_STYLES[:2]


def test_what_is_no_policy_is_never_drawn_as_one():
    names = [row.name for row in THROTTLES]
    drawn = throttle_styles([*names, "dirty-limit:training", "of-a-plug-in", "policy"], ["policy"])
    assert drawn["policy"] == POLICY_STYLES[0]
    others = [style for name, style in drawn.items() if name != "policy"]
    assert not set(others) & set(POLICY_STYLES)
    assert len(set(others)) == len(names) + 2


def test_a_throttle_without_a_style_of_its_own_always_gets_the_same_one(monkeypatch):
    styled = table_styles()
    bare = [replace(row_of("none"), name=f"own-{k}", style=None) for k in range(4)]
    monkeypatch.setattr(table.TABLE, "shipped", table.TABLE.shipped | {row.name: row for row in bare})
    names = [row.name for row in bare]
    drawn = throttle_styles(names, [])
    assert set(drawn.values()) <= set(SPARE_STYLES)
    assert len(set(drawn.values())) == len(names)
    assert all(throttle_styles(["none", name], [])[name] == drawn[name] for name in names)
    assert {name: table_styles()[name] for name in styled} == styled


def test_no_two_throttles_look_alike():
    styles = [*table_styles().values(), *POLICY_STYLES]
    assert len({style.marker for style in styles}) == len(styles)
    assert not {style.marker for style in styles} & {style.marker for style in SPARE_STYLES}
    colours = np.array([to_rgb(colour) for colour in dict.fromkeys(one.colour for one in [*styles, *SPARE_STYLES])])
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=-1) + 9 * np.eye(len(colours))
    assert distances.min() > 0.2
    assert len({one.colour for one in styles}) == len(styles)
    assert len(set(SPARE_STYLES)) == len(SPARE_STYLES)


def test_tradeoff_shows_a_policy_as_a_line_over_preferences_and_a_baseline_as_one_mean():
    points = {
        ("none", 0.2): (4.0, 0.9),
        ("none", 0.6): (4.0, 0.9),
        ("p", 0.2): (1.5, 0.5),
        ("p", 0.6): (2.0, 0.7),
    }
    rows = [
        make_row(throttle=throttle, preference=preference, time_over_t0=time, guest_runtime=runtime)
        for (throttle, preference), (time, runtime) in points.items()
    ]
    (axes,) = tradeoff_figure(rows, "s", ["p"]).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert lines["none"] == [[4.0, 0.9]]
    assert lines["p"] == [[1.5, 0.5], [2.0, 0.7]]
    assert [text.get_text() for text in axes.texts] == ["c = 0.2", "c = 0.6"]


def test_tradeoff_tells_how_many_migrations_missed_the_deadline():
    rows = [
        make_row(throttle="current"),
        make_row(throttle="current", scenario="b", seed=1, converged=False, time_over_t0=20.0),
    ]
    (axes,) = tradeoff_figure(rows, "s", ["p"]).axes
    assert "1 of 2 missed" in axes.get_lines()[0].get_label()


def test_of_many_preferences_the_ends_are_named():
    rows = [
        make_row(throttle="p", preference=preference, time_over_t0=1 + preference)
        for preference in (0.05, 0.2, 0.6, 2.0)
    ]
    (axes,) = tradeoff_figure(rows, "s", ["p"]).axes
    assert [text.get_text() for text in axes.texts] == ["c = 0.05", "c = 2"]
    assert len(axes.get_lines()[0].get_xydata()) == 4


def front(suite, throttle, *points):
    time, runtime = zip(*points, strict=True)
    return Front(suite, throttle, tuple(0.1 * (1 + k) for k in range(len(points))), time, runtime,
                 (True,) * len(points), 1.0, True)  # fmt: skip


def test_fronts_have_a_panel_for_each_suite_and_stairs_that_leave_the_oracle_out():
    fronts = [
        front("s", "p", (1.5, 0.5), (2.0, 0.7)),
        front("s", "none", (4.0, 0.9), (4.0, 0.9)),
        front("s", "current", (3.0, 0.6), (3.0, 0.6)),
        front("s", "oracle", (1.0, 1.0), (1.0, 1.0)),
        front("u", "p", (1.1, 0.4), (1.2, 0.6)),
        front("all", "p", (1.3, 0.45), (1.6, 0.65)),
    ]
    panels = fronts_figure(fronts, ["p"]).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["s", "u", "all suites"]
    stairs, *lines = panels[0].get_lines()
    assert stairs.get_xydata().tolist() == [[1.5, 0.5], [2.0, 0.7], [4.0, 0.9]]
    assert {line.get_label(): line.get_xydata().tolist() for line in lines}["p"] == [[1.5, 0.5], [2.0, 0.7]]
    assert {line.get_label(): len(line.get_xydata()) for line in lines} == {
        "p": 2, "none": 1, "current": 1, "oracle": 1,
    }  # fmt: skip


def test_cover_letter_bars_mark_what_never_converged():
    rows = [
        make_row(suite="cover-letter", scenario=name, throttle=throttle, total_time_s=100.0, converged=name != "row-12")
        for name in letter_rows()
        for throttle in ("current", "policy")
    ]
    (axes,) = cover_letter_figure(letter_comparison(rows, ["policy"])).axes
    marks = [text.get_text() for text in axes.texts]
    assert marks == ["∞"] * (4 + 2)  # the letter's four, and row 12 of the two in the model
    assert len(axes.patches) == 16 * 4
    assert sum(bool(bar.get_hatch()) for bar in axes.patches) == len(marks)


def test_saved_figure_is_a_whole_file_and_nothing_else_remains(tmp_path):
    save_figure(tradeoff_figure([make_row()], "s", []), tmp_path / "picture.png")
    assert imread(tmp_path / "picture.png").shape[2] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
