"""Auto-converge and dirty limit of other versions of QEMU than the newest."""

import numpy as np
import pytest

from dqgym.errors import BadInputError
from dqgym.throttles.auto_converge import AutoConvergeOptions
from dqgym.throttles.current import CurrentOptions
from dqgym.throttles.dirty_limit import DirtyLimitOptions
from dqgym.throttles.qemu.versions import HISTORIES, NEWEST
from dqgym.throttles.registry import make_throttle
from dqgym.throttles.table import row_of
from tests.throttles.test_dirty_limit import Migration


# Hits a step, and the periodic sync.
@pytest.mark.parametrize(
    ("version", "hits", "periodic_sync"),
    [
        ("2.6", 3, False),
        ("2.9.1", 3, False),
        ("2.10", 2, False),
        ("9.1", 2, False),
        ("9.2.0", 2, True),
        ("10.0", 2, True),
        ("11.1", 2, True),
    ],
)
def test_auto_converge_is_that_of_the_version(version: str, hits: int, periodic_sync: bool) -> None:
    options = AutoConvergeOptions(qemu=version)
    assert (options.hits_per_step, options.periodic_sync) == (hits, periodic_sync)


@pytest.mark.parametrize(("version", "old"), [("7.1", True), ("8.1.5", True), ("8.2", False), ("10.0", False)])
def test_dirty_limit_is_that_of_the_version(version: str, old: bool) -> None:
    options = DirtyLimitOptions(qemu=version)
    assert (options.kicks_wake, options.whole_mib) == (old, old)


def test_without_a_version_it_is_the_newest_and_the_letter_s_baseline_never_syncs_between_rounds() -> None:
    assert AutoConvergeOptions() == AutoConvergeOptions(qemu=NEWEST)
    assert AutoConvergeOptions().periodic_sync
    assert not DirtyLimitOptions().kicks_wake
    assert not CurrentOptions().periodic_sync
    assert "qemu" not in CurrentOptions.model_fields


def test_an_option_that_is_given_counts_before_the_version_s() -> None:
    named = make_throttle("auto-converge:qemu=2.6,hits_per_step=1,initial=30").options
    assert (named.hits_per_step, named.periodic_sync, named.initial_percent) == (1, False, 30)
    assert AutoConvergeOptions(qemu="9.1", periodic_sync=True).periodic_sync


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("auto-converge:qemu=new", "qemu='new': must be a version of QEMU, such as '10.0'"),
        ("auto-converge:qemu=2.4", "qemu='2.4': QEMU has auto-converge since 2.5"),
        ("dirty-limit:qemu=6.2", "qemu='6.2': QEMU has dirty-limit since 7.1"),
    ],
)
def test_a_version_without_the_throttle_is_refused(name: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        make_throttle(name)


@pytest.mark.parametrize("throttle", HISTORIES)
def test_the_table_speaks_of_options_and_ends_at_the_defaults(throttle: str) -> None:
    fields = row_of(throttle).options.model_fields
    for change in HISTORIES[throttle].changes:
        assert fields[change.option].default == change.now != change.before
        assert change.source


# 16.95 MiB in 0.3 s: 56 MiB/s, more than 25 above the limit; as 16 MiB it is 53, within them.
@pytest.mark.parametrize(("version", "adjusts"), [("8.1", False), ("8.2", True)])
def test_rates_of_old_versions_are_whole_mib_in_the_period(version: str, adjusts: bool) -> None:
    migration = Migration(DirtyLimitOptions(limit_mib_per_s=30, period_s=0.3, qemu=version))
    migration.start(56.5, 0.0)
    assert (migration.sleeps_us(56.5, 0.0, intervals=3)[-1][0] > 0) == adjusts


def test_a_measurement_of_an_old_version_wakes_the_sleepers_and_does_not_wait_for_them() -> None:
    migration = Migration(DirtyLimitOptions(limit_mib_per_s=10, qemu="8.1"))
    migration.start(100.5, 0.0)
    commands = [migration.act(100.5, 0.0, sync=False, stalled_s=0.1) for _ in range(20)]
    assert [bool(each.read_rings[0]) for each in commands] == ([False] * 9 + [True]) * 2
    assert all(each.kicks_wake[0] for each in commands)
    assert np.all(commands[9].ring_sleep_s[0, 0] > 0)
