"""The measurement of how long an Ornstein-Uhlenbeck bandwidth may hold."""

from __future__ import annotations

import numpy as np
import pytest

from dqgym.scenario.link import OU_HOLD
from tests.model.link_steps import RULES, Rule, compare, draw_path, first


def test_a_coarser_path_holds_the_first_value_or_carries_as_much():
    path = draw_path(0)
    held, mean = path.coarser(4, first), path.coarser(4, np.mean)
    assert held.step_s == mean.step_s == 4.0 * path.step_s
    np.testing.assert_array_equal(held.values, path.values[::4])
    whole = len(path.values) // 4
    carried = path.values[: 4 * whole].reshape(whole, 4).sum(axis=1) * path.step_s
    np.testing.assert_allclose(mean.values[:whole] * mean.step_s, carried)
    assert path.coarser(1, np.mean).as_case() == path.as_case()


def test_a_rule_takes_the_longer_of_both_in_whole_steps():
    path = draw_path(0)
    assert Rule(0.3).of_path(path).step_s == pytest.approx(0.3 * path.correlation_s)
    floor_s = 0.5 * path.case.scenario.pass_time_s
    assert Rule(0.1, 0.5).of_path(path).step_s == pytest.approx(floor_s, abs=path.step_s)
    assert Rule(0.1).of_path(path).step_s == path.step_s
    assert str(Rule(0.1, 0.02)) == "0.1 c, at least 0.02 T0, first value"


def test_the_model_s_step_is_among_the_rules():
    assert Rule(OU_HOLD, of=np.mean) in RULES


@pytest.mark.slow
def test_the_model_s_step_gives_the_times_of_the_fine_one_and_single_values_do_not():
    """As the table in docs/model.md, of the first sixty of its migrations."""
    stores, (chosen, single) = compare([Rule(OU_HOLD, of=np.mean), Rule(OU_HOLD)], draws=60)
    assert stores.median < 0.002
    assert chosen.median <= 0.005
    assert chosen.quantile_95 <= 0.05
    assert single.median > 2.0 * chosen.median
    assert chosen.changes_per_pass == pytest.approx(stores.changes_per_pass * 0.1 / OU_HOLD)
