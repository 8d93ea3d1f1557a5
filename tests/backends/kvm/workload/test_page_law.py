import numpy as np
import pytest

from dqgym.backends.kvm.workload.page_law import PageLaw, page_law
from dqgym.scenario import VcpuGroup
from dqgym.units import MIB

PAGES = 1000


def probabilities(law: PageLaw) -> np.ndarray:
    """[pages] of the alias table: every page's own share of its turns, and what others give it of theirs."""
    chances = law.own_share.copy()
    np.add.at(chances, law.other, 1.0 - law.own_share)
    return chances / len(chances)


def writer(pattern: str = "hot-cold", **hot: float) -> VcpuGroup:
    return VcpuGroup(vcpus=1, pattern=pattern, working_set_bytes=4 * MIB, write_rate_bytes_per_s=1e6, **hot)


@pytest.mark.parametrize("skew", [0.3, 1.0, 2.5])
def test_a_zipf_law_falls_with_the_pages_number_to_the_power_of_its_skew(skew):
    law = page_law(writer(zipf_skew=skew), PAGES)
    weights = np.arange(1.0, PAGES + 1) ** -skew
    np.testing.assert_allclose(probabilities(law), weights / weights.sum(), rtol=1e-9, atol=1e-15)


def test_the_hot_part_gets_its_share_and_pages_of_a_part_are_alike():
    law = page_law(writer(hot_fraction=0.1, hot_share=0.8), PAGES)
    np.testing.assert_allclose(probabilities(law), np.repeat([0.8 / 100, 0.2 / 900], [100, 900]), rtol=1e-9)


def test_where_a_part_has_no_page_all_are_alike():
    assert page_law(writer(hot_fraction=0.1, hot_share=0.8), 4) is None


@pytest.mark.parametrize("pattern", ["sequential", "uniform"])
def test_other_patterns_have_no_law(pattern):
    assert page_law(writer(pattern), PAGES) is None
