"""How long the periods of the vCPUs' schedules are in the kernel, and that the page-exact reference has the same."""

import numpy as np
import pytest
from scipy import stats

from dqgym.backends.model import ModelBackend
from dqgym.backends.reference import ReferenceBackend
from dqgym.model.layout import Vcpu
from dqgym.scenario import Bursty, ConstantLink, Phased, Schedule
from dqgym.telemetry.command import free_command
from tests.model.guests import Run, guest, writer
from tests.model.migrations import NO_COSTS, SLOTS, migrate, scenario, writers

STEP_S = 0.5
PERIOD_S = 10.0


JITTERED = Phased(period_s=PERIOD_S, duty=0.3, jitter=0.5)


def group(schedule: Schedule, vcpus: int = 1):
    return writers("uniform", vcpus=vcpus, set_mb=100.0, rate_mb_per_s=0.01, schedule=schedule)


def played(*workload, steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(lengths of the periods that run, positions in them), both [T, V], at the end of each step of half a second."""
    case = scenario(*workload, memory_mb=1000.0, bandwidth_mb_per_s=2000.0 / steps)  # T0: as long as all steps
    backend = ModelBackend(NO_COSTS, vcpu_slots=SLOTS)
    telemetry = backend.start([case], [seed])
    lengths, phases = [], []
    for _ in range(steps):
        assert not telemetry.done[0]
        telemetry = backend.step(free_command(backend.facts), np.array([STEP_S]))
        lengths.append(backend._vcpu[0, Vcpu.CURRENT_PERIOD].copy())
        phases.append(backend._vcpu[0, Vcpu.PHASE].copy())
    return np.array(lengths), np.array(phases)


def periods(lengths: np.ndarray) -> np.ndarray:
    """One length for each period, of those [T] that ran at the end of each step."""
    return lengths[np.concatenate([[True], np.diff(lengths) != 0.0])]


@pytest.mark.parametrize("jitter", [0.1, 0.5, 0.9])
def test_jittered_periods_are_evenly_longer_and_shorter_than_their_mean(jitter):
    drawn = periods(played(group(Phased(period_s=PERIOD_S, duty=0.5, jitter=jitter)), steps=12_000)[0][:, 0])
    assert drawn[0] == PERIOD_S
    assert len(drawn) > 500
    assert drawn.mean() == pytest.approx(PERIOD_S, abs=4.0 * jitter * PERIOD_S / np.sqrt(3.0 * len(drawn)))
    evenly = stats.uniform((1.0 - jitter) * PERIOD_S, 2.0 * jitter * PERIOD_S)
    assert stats.kstest(drawn[1:], evenly.cdf).pvalue > 1e-3


def test_periods_follow_one_another_without_a_gap():
    """The position in a period falls by its length when the next begins."""
    lengths, phases = (
        each[:, 0] for each in played(group(Phased(period_s=PERIOD_S, duty=0.5, jitter=0.5)), steps=2000)
    )
    ended = np.flatnonzero(np.diff(phases) < 0.0)
    assert len(ended) > 80
    np.testing.assert_allclose(phases[ended] + STEP_S - lengths[ended], phases[ended + 1], atol=1e-4)
    others = np.setdiff1d(np.arange(1999), ended)
    np.testing.assert_allclose(phases[others] + STEP_S, phases[others + 1], atol=1e-4)


def test_a_vcpu_is_busy_for_its_share_of_a_jittered_period():
    lengths, phases = (
        each[:, 0] for each in played(group(Phased(period_s=PERIOD_S, duty=0.3, jitter=0.9)), steps=8000)
    )
    assert (phases < 0.3 * lengths).mean() == pytest.approx(0.3, abs=0.02)


def test_the_vcpus_of_a_group_stay_in_step_and_groups_do_not():
    schedule = Phased(period_s=PERIOD_S, duty=0.5, offset=0.3, jitter=0.5)
    lengths, phases = played(group(schedule, vcpus=3), group(schedule), steps=1000)
    for each in (lengths, phases):
        np.testing.assert_array_equal(each[:, 1], each[:, 0])
        np.testing.assert_array_equal(each[:, 2], each[:, 0])
    assert (lengths[100:, 3] != lengths[100:, 0]).all()


def test_a_bursty_group_is_out_of_step_and_its_periods_are_exponential():
    lengths, _ = played(group(Bursty(period_s=PERIOD_S, duty=0.5), vcpus=2), steps=12_000)
    assert (lengths[200:, 0] != lengths[200:, 1]).all()
    drawn = periods(lengths[:, 0])
    # Shorter ones than a step may go unseen.
    assert stats.kstest(drawn[1:][drawn[1:] > 1.0] - 1.0, stats.expon(0.0, PERIOD_S).cdf).pvalue > 1e-3


def test_another_seed_draws_other_periods_and_the_same_seed_the_same():
    first, again, other = (played(group(JITTERED), steps=200, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("kind", ["phased", "bursty"])
def test_the_first_period_has_the_mean_length_wherever_it_begins(kind):
    for offset in (0.0, 0.37):
        schedule = {"phased": Phased, "bursty": Bursty}[kind](
            period_s=PERIOD_S, duty=0.5, offset=offset, **({"jitter": 0.5} if kind == "phased" else {})
        )
        lengths, _ = played(group(schedule), steps=11)
        assert (lengths[:, 0] == PERIOD_S).all()


# --- the page-exact reference ----------------------------------------------------------------------------------------


def busy_begins_s(dirtied: np.ndarray, step_s: float) -> np.ndarray:
    """When each busy part begins, for pages dirtied [T] per step."""
    busy = dirtied > 0.5 * dirtied.max()
    return (np.flatnonzero(np.diff(busy.astype(int)) == 1) + 1) * step_s


@pytest.mark.slow
def test_the_reference_draws_the_same_periods_in_step():
    mean_s, jitter, step_s = 0.5, 0.4, 0.01
    schedule = Phased(period_s=mean_s, duty=0.5, jitter=jitter)
    each = [writer("sequential", 400_000, 1000.0, vcpus=vcpus, schedule=schedule) for vcpus in (2, 1)]
    run = Run(guest(*each, pages=1_300_000, log="software", link=ConstantLink(bandwidth_bytes_per_s=40_960.0)))
    dirtied = np.array([run.step(step_s) and run.dirtied() for _ in range(20_000)])
    np.testing.assert_array_equal(dirtied[:, 0], dirtied[:, 1])
    assert (dirtied[:, 2] != dirtied[:, 0]).any()
    for vcpu in (0, 2):
        drawn = np.diff(busy_begins_s(dirtied[:, vcpu], step_s))
        assert len(drawn) > 300
        assert drawn.min() >= mean_s * (1.0 - jitter) - 2.0 * step_s
        assert drawn.max() <= mean_s * (1.0 + jitter) + 2.0 * step_s
        assert drawn.mean() == pytest.approx(mean_s, rel=0.04)
        assert drawn.std() == pytest.approx(mean_s * jitter / np.sqrt(3.0), rel=0.1)


@pytest.mark.slow
def test_kernel_and_reference_take_as_long_in_the_mean():
    """Busy for longer than usual near the end, a migration needs another round; on average both say the same."""
    schedule = Phased(period_s=6.0, duty=0.5, offset=0.2, jitter=0.5)
    case = scenario(
        writers("uniform", vcpus=2, set_mb=4.0, rate_mb_per_s=1.0, schedule=schedule),
        memory_mb=16.0, bandwidth_mb_per_s=1.0,
    )  # fmt: skip
    kernel, reference = (
        migrate(*[case] * 60, make_backend=backend).outcomes.time_over_t0
        for backend in (ModelBackend, ReferenceBackend)
    )
    assert np.ptp(kernel) > 0.02
    spread = np.hypot(kernel.std(), reference.std()) / np.sqrt(60)
    assert kernel.mean() == pytest.approx(reference.mean(), rel=0.01, abs=4.0 * spread)
