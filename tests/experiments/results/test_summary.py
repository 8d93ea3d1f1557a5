import json

import numpy as np
import pytest

from dqgym.errors import BadInputError
from dqgym.results.schema import VERSION
from experiments.results.comparisons import Comparisons
from experiments.results.rows import strata_of
from experiments.results.statistics import Bootstrap
from experiments.results.summary import Origin, read_summary, summarise_evaluation
from tests.experiments.made_rows import make_rows

ORIGIN = Origin("dqgym evaluate runs/p-1", "model", "2026-11-26")


def summary(suites=2, preferences=2, methods=1, baselines=2, migrations=4):
    """Made-up costs of policies (two training seeds each) and baselines, the first of these ``tuned-rule``."""
    rng = np.random.default_rng(1)
    names = [(f"policy-{k}", seed) for k in range(methods) for seed in (1, 2)]
    names += [("tuned-rule" if k == 0 else f"baseline-{k}", None) for k in range(baselines)]
    rows = [
        row
        for suite in range(suites)
        for c in range(preferences)
        for row in make_rows(
            {name: rng.gamma(2.0, size=migrations).tolist() for name in names},
            suite=f"suite-number-{suite}",
            preference=0.1 * (c + 1),
        )
    ]
    comparisons = Comparisons(strata_of(rows), Bootstrap(20))
    return summarise_evaluation(comparisons, "tuned-rule", [f"policy-{k}" for k in range(methods)], ORIGIN)


def test_a_summary_comes_back_with_six_digits_of_each_number(tmp_path):
    made = summary()
    (tmp_path / "summary.json").write_text(made.compact())
    found = read_summary(tmp_path)
    assert found.compact() == made.compact()
    assert (found.origin, found.learned, found.opponent) == (ORIGIN, ["policy-0"], "tuned-rule")
    assert found.training_seeds == {"policy-0": (1, 2)}
    assert found.migrations == {"suite-number-0": 4, "suite-number-1": 4}
    for one, other in zip(found.standings, made.standings, strict=True):
        assert (one.suite, one.preference, one.throttle) == (other.suite, other.preference, other.throttle)
        assert one.mean_ratio == pytest.approx(other.mean_ratio, rel=1e-5)
    assert found.fronts[0].efficient == made.fronts[0].efficient


def test_policies_and_the_rule_are_compared_with_every_baseline_over_all_preferences():
    found = {(one.throttle, one.opponent, one.suite, one.preference) for one in summary().against_baselines}
    groups = [("suite-number-0", None), ("suite-number-1", None), ("all", None)]
    pairs = [("policy-0", "tuned-rule"), ("policy-0", "baseline-1"), ("tuned-rule", "baseline-1")]
    assert found == {(*pair, *group) for pair in pairs for group in groups}
    alone = summary(suites=1, preferences=1).against_baselines
    assert {(one.suite, one.preference) for one in alone} == {("suite-number-0", 0.1)}


@pytest.mark.slow
def test_the_summary_of_a_large_evaluation_is_below_200_kb():
    content = summary(suites=6, preferences=8, methods=3, baselines=7).compact()
    assert len(content.encode()) < 200_000


def test_json_holds_each_standing_as_an_object_and_an_estimate_as_three_numbers():
    document = json.loads(json.dumps(summary().document(), allow_nan=False))
    assert document["standings"][0]["throttle"] == "policy-0"
    assert len(document["standings"][0]["mean_ratio"]) == 3
    assert document["standings"][0]["closed_gap"] is None


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda content: content.pop("fronts"), r"not what `dqgym evaluate` writes: KeyError\('fronts'\)"),
        (lambda content: content.update(opponent=3), r"opponent: 3: input should be a valid string"),
        (lambda content: content["means"]["rows"][0].pop(), r"not what `dqgym evaluate` writes: ValueError"),
        (lambda content: content["origin"].pop("date"), r"origin\.date: missing"),
    ],
)
def test_a_file_that_is_no_summary_is_named_with_what_is_wrong(tmp_path, spoil, problem):
    content = json.loads(summary().compact())
    spoil(content)
    (tmp_path / "summary.json").write_text(json.dumps(content))
    with pytest.raises(BadInputError, match=problem):
        read_summary(tmp_path)


def test_a_summary_of_a_newer_schema_is_refused(tmp_path):
    content = json.loads(summary().compact())
    assert content["schema_version"] == VERSION
    (tmp_path / "summary.json").write_text(json.dumps(content | {"schema_version": VERSION + 1}))
    with pytest.raises(BadInputError, match=r"summary\.json: schema_version=\d+ is newer than this dqgym"):
        read_summary(tmp_path)


def test_a_folder_without_a_summary_is_named(tmp_path):
    with pytest.raises(BadInputError, match=r"cannot read .*summary\.json: No such file"):
        read_summary(tmp_path)
