"""The trigger of auto-converge and dirty limit: hits, and syncs that are merged."""

import numpy as np
import pytest

from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.scenario.suites import get_suite
from dqgym.telemetry.telemetry import Telemetry, VcpuField, VmField
from dqgym.throttles.qemu.trigger import SyncTrigger, TriggerOptions
from dqgym.throttles.registry import make_throttle


def synced(time_s: float, *dirty_and_sent: tuple[float, float]) -> Telemetry:
    """[N] migrations whose last sync came at ``time_s``, with the bytes found dirty and sent until then."""
    n = len(dirty_and_sent)
    vm = np.zeros((n, len(VmField)))
    vm[:, VmField.SYNC_TIME_S] = time_s
    vm[:, VmField.SYNCED_DIRTY_BYTES], vm[:, VmField.SYNCED_SENT_BYTES] = np.transpose(dirty_and_sent)
    return Telemetry(np.zeros((n, len(VcpuField), 1), np.float32), vm, np.zeros(n, dtype=bool))


def fires(options: TriggerOptions, syncs: list[tuple[float, float, float]]) -> list[bool]:
    """For each sync (s, dirty bytes, sent bytes so far) of one migration."""
    trigger = SyncTrigger(options)
    return [bool(trigger.fires(synced(time_s, (dirty, sent)))[0]) for time_s, dirty, sent in syncs]


def test_every_second_hit_fires_and_a_calm_period_between_them_does_not_matter() -> None:
    syncs = [(0, 0, 0), (2, 90, 100), (4, 100, 200), (6, 190, 300), (8, 280, 400), (10, 370, 500)]
    assert fires(TriggerOptions(), syncs) == [False, False, False, True, False, True]


@pytest.mark.parametrize("hits", [1, 3])
def test_as_many_hits_as_asked_for_fire(hits: int) -> None:
    syncs = [(2.0 * k, 90.0 * k, 100.0 * k) for k in range(10)]
    assert fires(TriggerOptions(hits_per_step=hits), syncs) == [k > 0 and k % hits == 0 for k in range(10)]


def test_a_sync_that_was_seen_is_not_counted_again() -> None:
    assert fires(TriggerOptions(), [(0, 0, 0), *[(2, 90, 100)] * 5]) == [False] * 6


def test_syncs_within_a_second_are_merged_and_a_second_sharp_is_too_soon() -> None:
    syncs = [(0.0, 0, 0), (0.6, 55, 100), (1.0, 110, 200), (1.1, 150, 300), (2.2, 201, 400)]
    # At 1.1 s 150 of 300 are not above half, though 55 of the first 100 were; at 2.2 s 51 of 100 are.
    assert fires(TriggerOptions(hits_per_step=1), syncs) == [False, False, False, False, True]


@pytest.mark.parametrize(
    ("percent", "dirty", "expected"), [(1, 1, False), (1, 2, True), (100, 100, False), (100, 101, True)]
)
def test_dirty_bytes_must_be_above_the_share_of_what_was_sent(percent: int, dirty: float, expected: bool) -> None:
    options = TriggerOptions(trigger_percent=percent, hits_per_step=1)
    assert fires(options, [(0, 0, 0), (2, dirty, 100)]) == [False, expected]


def test_the_threshold_is_whole_bytes_as_in_qemu() -> None:
    assert fires(TriggerOptions(hits_per_step=1), [(0, 0, 0), (2, 51, 103)]) == [False, False]
    assert fires(TriggerOptions(hits_per_step=1), [(0, 0, 0), (2, 52, 103)]) == [False, True]


def test_each_migration_counts_its_own_hits() -> None:
    trigger = SyncTrigger(TriggerOptions())
    trigger.fires(synced(0.0, (0, 0), (0, 0)))
    assert trigger.fires(synced(2.0, (90, 100), (10, 100))).tolist() == [False, False]
    assert trigger.fires(synced(4.0, (180, 200), (100, 200))).tolist() == [True, False]
    assert trigger.dirty_bytes.tolist() == [90, 90]
    assert trigger.trigger_bytes.tolist() == [50, 50]
    assert trigger.fires(synced(6.0, (270, 300), (190, 300))).tolist() == [False, True]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [("auto-converge", {}), ("current", {}), ("dirty-limit", {}), ("dirty-limit", {"qemu": "8.1"})],
)
def test_a_throttle_asks_the_same_of_a_migration_alone_and_among_others(name: str, options: dict[str, str]) -> None:
    scenarios = get_suite("mixed").scenarios(6, 5, max_vcpus=4)

    def costs(rows: slice) -> list[float]:
        backend, throttle = ModelBackend(vcpu_slots=4), make_throttle(name, **options)
        return run_migrations(backend, scenarios[rows], throttle, range(6)[rows]).cost(0.6).tolist()

    assert costs(slice(None)) == [costs(slice(n, n + 1))[0] for n in range(6)]
