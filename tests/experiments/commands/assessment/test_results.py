import re

import numpy as np
import pytest
from typer.testing import CliRunner

from experiments.cli.app import app
from experiments.results.comparisons import Comparisons
from experiments.results.rows import strata_of
from experiments.results.statistics import Bootstrap
from experiments.results.summary import SUMMARY_FILE, Origin, summarise_evaluation
from tests.experiments.made_rows import make_row

SUITES, PREFERENCES, MIGRATIONS = ("phases", "mixed"), (0.2, 0.6), 30
COSTS = {
    # By throttle and training seed: J over that of the rule on phases, and on mixed.
    ("default", 1): (0.90, 0.995),
    ("default", 2): (0.92, 1.005),
    ("ablation-small", 1): (0.97, 1.05),
    ("tuned-rule", None): (1.0, 1.0),
    ("oracle", None): (0.80, 0.90),
    ("auto-converge", None): (2.0, 2.5),
    ("dirty-limit", None): (3.0, 3.5),
    ("dirty-limit:training", None): (1.2, 1.3),
    ("dirty-quota", None): (1.1, 0.97),
}


def store(folder, costs=None, suites=SUITES, opponent="tuned-rule"):
    """The summary of an evaluation in which costs are in fixed ratios, but for a little noise."""
    costs = COSTS if costs is None else costs
    rng = np.random.default_rng(1)
    rule = rng.gamma(4.0, size=MIGRATIONS)
    rows = [
        make_row(
            suite=suite, scenario=f"{suite}-{i}", seed=i, throttle=throttle, training_seed=seed, preference=preference,
            cost=float(ratios[SUITES.index(suite)] * rule[i] * np.exp(rng.normal(0, 0.002))),
            time_over_t0=ratios[0] + preference, guest_runtime=0.5 + preference / 2,
        )
        for suite in suites
        for preference in PREFERENCES
        for (throttle, seed), ratios in costs.items()
        for i in range(MIGRATIONS)
    ]  # fmt: skip
    learned = [throttle for throttle, seed in costs if seed is not None]
    origin = Origin(f"dqgym evaluate --out results/{folder.name}", "model", "2026-11-26")
    comparisons = Comparisons(strata_of(rows), Bootstrap(200))
    folder.mkdir()
    summary = summarise_evaluation(comparisons, opponent, list(dict.fromkeys(learned)), origin)
    (folder / SUMMARY_FILE).write_text(summary.compact())
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["results", *map(str, arguments)])


@pytest.fixture(scope="module")
def main(tmp_path_factory):
    return store(tmp_path_factory.mktemp("evaluations") / "main")


@pytest.fixture(scope="module")
def page(main, tmp_path_factory):
    """The page of that evaluation."""
    path = tmp_path_factory.mktemp("docs") / "results.md"
    result = run(path, "--from", main, "--ablations", "ablation-")
    assert result.exit_code == 0, result.output
    return path.read_text()


def section(page, title):
    """The cells of the tables under a heading, line by line, by their first columns."""
    body = re.split(r"^## ", page, flags=re.MULTILINE)
    (text,) = [part for part in body if part.startswith(title + "\n")]
    return text, [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if "|" in line]


def test_the_page_says_what_was_run_where_and_when(page):
    text, lines = section(page, "The evaluations")
    assert lines[2][:5] == ["main", "2026-11-26", "model", "phases: 30, mixed: 30", "default: 1, 2, ablation-small: 1"]
    assert "`dqgym evaluate --out results/main`" in text
    assert "--ablations ablation-" in page


def test_the_cheapest_throttle_of_each_suite_and_c_is_named_with_its_ratio_and_is_never_the_oracle(page):
    _, lines = section(page, "Who wins where")
    winners = {line[1]: line[3:] for line in lines[2:4]}
    assert all(re.match(r"default 0\.91\d \[", cell) for cell in winners["phases"])
    assert all(re.match(r"dirty-quota 0\.97\d \[", cell) for cell in winners["mixed"])


def test_policies_are_shown_in_every_group_and_ablations_apart(page):
    _, lines = section(page, "Who wins where")
    policies = [line for line in lines if line[2] == "default"]
    groups = [(suite, c) for suite in ("phases", "mixed", "all") for c in ("0.2", "0.6", "all")]
    assert [tuple(line[:2]) for line in policies] == groups
    assert "ablation-small" not in section(page, "Who wins where")[0]
    _, ablations = section(page, "Ablations")
    assert [line[2] for line in ablations[2:]] == ["default", "ablation-small"]  # the cheapest first
    assert [line[3] for line in ablations[2:]] == ["2", "1"]


def test_where_learning_gains_nothing_are_the_groups_whose_interval_reaches_one(page):
    _, lines = section(page, "Where learning gains nothing")
    assert [line[1:5] for line in lines[2:]] == [["mixed", c, "default", "tuned-rule"] for c in ("0.2", "0.6")]
    assert {line[6] for line in lines[2:]} == {"no difference that can be shown"}


def test_the_gap_to_the_oracle_is_that_of_the_means(page):
    _, lines = section(page, "How much of the possible is reached")
    closed = {(line[1], line[2]): line[3] for line in lines[2:]}
    assert float(closed["default", "all"].split()[0]) == pytest.approx((1 - 0.91) / (1 - 0.8), abs=0.02)
    assert not any(throttle in ("oracle", "tuned-rule") for throttle, _ in closed)


def test_stock_and_tuned_throttles_of_the_mainline_stand_side_by_side(page):
    text, lines = section(page, "Auto-converge, dirty limit, dirty quota")
    assert {line[2] for line in lines[2:]} == {"auto-converge", "dirty-limit", "dirty-limit:training", "dirty-quota"}
    assert "tuned-rule" not in text


def test_dominated_migrations_and_hypervolumes_are_there(page):
    _, lines = section(page, "Never a step back")
    assert {line[1]: line[-1] for line in lines[2:]} == {
        name: f"0 of {count}" for name, count in (("default", 240), ("ablation-small", 120), ("tuned-rule", 120))
    }
    _, lines = section(page, "The trade-off")
    volumes = {line[1]: line[2] for line in lines[2:] if line[0] == "main" and len(line) == 5}
    # Two points: (ratio + c, 0.5 + c / 2) at c = 0.2 and 0.6.
    assert float(volumes["default"]) == pytest.approx((20 - 1.11) * 0.6 + (20 - 1.51) * 0.2, abs=2e-3)


def test_notes_are_kept_and_the_same_summaries_make_the_same_page(main, tmp_path):
    path = tmp_path / "results.md"
    run(path, "--from", main)
    mine = path.read_text().replace("<!-- begin: notes -->\n", "<!-- begin: notes -->\n\nMixed is hard: *why*?\n")
    path.write_text(mine + "\nA line outside.\n")
    run(path, "--from", main)
    assert path.read_text() == mine
    assert [file.name for file in tmp_path.iterdir()] == ["results.md"]


@pytest.mark.parametrize(
    "content", ["", "<!-- begin: notes -->", "<!-- end: notes --> <!-- begin: notes -->", "<!-- begin: notes -->" * 2]
)
def test_a_page_without_its_marks_is_not_overwritten(main, tmp_path, content):
    path = tmp_path / "results.md"
    path.write_text(content)
    result = run(path, "--from", main)
    assert result.exit_code == 2
    assert "must have the lines '<!-- begin: notes -->' and '<!-- end: notes -->'" in result.stderr
    assert path.read_text() == content


def test_several_evaluations_are_on_one_page_side_by_side(main, tmp_path):
    lab = store(
        tmp_path / "lab", {name: COSTS[name] for name in COSTS if name[0] != "oracle"}, ("mixed",), "dirty-quota"
    )
    assert run(tmp_path / "page.md", "--from", main, "--from", lab).exit_code == 0
    page = (tmp_path / "page.md").read_text()
    _, lines = section(page, "Who wins where")
    assert [line[:3] for line in lines[2:5]] == [
        ["main", "phases", "tuned-rule"],
        ["main", "mixed", "tuned-rule"],
        ["lab", "mixed", "dirty-quota"],
    ]
    assert lines[4][3] == "dirty-quota"


def test_without_policies_and_oracle_the_page_says_so(tmp_path):
    costs = {name: COSTS[name] for name in (("tuned-rule", None), ("dirty-quota", None))}
    run(tmp_path / "page.md", "--from", store(tmp_path / "few", costs))
    page = (tmp_path / "page.md").read_text()
    assert section(page, "Where learning gains nothing")[0].strip().endswith("no evaluation compares a policy.")
    assert "no evaluation has both `tuned-rule` and `oracle`" in section(page, "How much of the possible is reached")[0]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--from", "{tmp}"], "cannot read summary {tmp}/summary.json"),
        (["--from", "{main}", "--from", "{main}"], "so that all must differ"),
        (
            ["--from", "{main}", "--ablations", "x-"],
            "'x-': no policy's name begins so; policies: default, ablation-small",
        ),
        ([], "--from"),
    ],
)
def test_what_cannot_be_read_is_named_and_nothing_is_written(main, tmp_path, arguments, problem):
    result = run(tmp_path / "page.md", *(argument.format(tmp=tmp_path, main=main) for argument in arguments))
    assert result.exit_code == 2
    assert problem.format(tmp=tmp_path) in result.stderr
    assert not (tmp_path / "page.md").exists()
