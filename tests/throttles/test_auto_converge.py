"""Auto-converge against recorded QEMU migrations, against QEMU's integer arithmetic, and in closed loop."""

import numpy as np
import pytest

from dqgym.controller.loop import run_migrations
from dqgym.scenario.recordings.qemu_runs import read_qemu_runs
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField
from dqgym.throttles.auto_converge import AutoConverge, AutoConvergeOptions, stepped_percent
from dqgym.throttles.registry import make_throttle
from tests.controller.fakes import FakeBackend, writers


def facts(n: int = 1, vcpus: int = 2) -> Facts:
    return Facts(
        present=np.ones((n, vcpus), dtype=bool),
        memory_bytes=np.full(n, 128.0 * 2**20),
        bandwidth_bytes_per_s=np.full(n, 64.0 * 2**20),
        downtime_limit_s=np.full(n, 0.3),
        deadline_s=np.full(n, 100.0),
        ring_bytes=np.full(n, 4096.0 * 4096),
    )


def telemetry(vcpus: int = 2, **fields: float | list[float]) -> Telemetry:
    values = {name: np.atleast_1d(np.asarray(value, dtype=float)) for name, value in fields.items()}
    n = max(len(value) for value in values.values())
    vm = np.zeros((n, len(VmField)))
    for name, value in values.items():
        vm[:, VmField[name]] = value
    return Telemetry(np.zeros((n, len(VcpuField), vcpus), np.float32), vm, np.zeros(n, dtype=bool))


def recorded(run: str) -> list[dict[str, float]]:
    """What a throttle would have been told each 100 ms of a recorded run, and what QEMU's throttle then was.

    QEMU prints the rate at which pages were found dirty between the last two evaluated syncs, which are more than a
    second apart; the dirty bytes are that rate over that time.
    """
    line = next(one for one in read_qemu_runs() if one.id == run).timeline
    rows, evaluated_ms, dirty_bytes = [], 0.0, 0.0
    sync = {"sync_time_s": 0.0, "synced_dirty_bytes": 0.0, "synced_sent_bytes": 0.0}
    while_sending = np.flatnonzero(line.downtime_bytes == 0)
    for k in while_sending:
        now_ms = float(np.rint(1000 * line.time_s[k]))
        is_new = line.syncs[k] > (line.syncs[k - 1] if k else 1)
        if is_new and now_ms > evaluated_ms + 1000:
            dirty_bytes += float(line.dirty_pages_per_s[k]) * 4096 * (now_ms - evaluated_ms) / 1000
            evaluated_ms = now_ms
            sync = {
                "sync_time_s": now_ms / 1000,
                "synced_dirty_bytes": dirty_bytes,
                "synced_sent_bytes": float(line.sent_bytes[k]),
            }
        row = {"time_s": now_ms / 1000, "syncs": float(line.syncs[k]), "throttle_percent": line.throttle_percent[k]}
        rows.append({**row, **sync})
    return rows


def percents(throttle: AutoConverge, rows: list[dict[str, float]]) -> list[int]:
    throttle.reset(facts())
    throttle.act(telemetry(SYNCS=1))
    commands = [
        throttle.act(
            telemetry(
                TIME_S=row["time_s"],
                SYNCS=row["syncs"],
                SYNC_TIME_S=row["sync_time_s"],
                SYNCED_DIRTY_BYTES=row["synced_dirty_bytes"],
                SYNCED_SENT_BYTES=row["synced_sent_bytes"],
            )
        )
        for row in rows
    ]
    caps = np.array([command.run_share_cap[0] for command in commands])
    assert (caps[:, 0] == caps[:, 1]).all(), "auto-converge slows all vCPUs alike"
    return np.rint(100 * (1 - caps[:, 0])).astype(int).tolist()


@pytest.mark.parametrize(
    ("run", "options"),
    [
        ("Q04", AutoConvergeOptions()),
        ("Q10", AutoConvergeOptions(initial_percent=50, increment_percent=20)),
        ("Q11", AutoConvergeOptions(tail_slow=True)),
    ],
)
def test_every_decision_of_a_recorded_qemu_migration_is_repeated(run: str, options: AutoConvergeOptions) -> None:
    rows = recorded(run)
    assert percents(AutoConverge(options), rows) == [int(row["throttle_percent"]) for row in rows]


def test_the_recording_tells_the_options_apart() -> None:
    rows = recorded("Q11")
    assert percents(AutoConverge(AutoConvergeOptions()), rows) != [int(row["throttle_percent"]) for row in rows]


@pytest.mark.parametrize("percent", [0, 20, 55, 90, 97, 99])
@pytest.mark.parametrize("trigger_bytes", [0, 1, 400, 999])
@pytest.mark.parametrize("tail_slow", [False, True])
def test_steps_follow_qemu_s_integers(percent: int, trigger_bytes: int, tail_slow: bool) -> None:
    dirty_bytes, initial, increment, highest = 1000, 30, 35, 98
    options = AutoConvergeOptions(
        initial_percent=initial, increment_percent=increment, max_percent=highest, tail_slow=tail_slow
    )
    if percent == 0:
        expected = initial
    else:
        ideal = (100 - percent) * trigger_bytes // dirty_bytes
        expected = min(percent + (min(100 - percent - ideal, increment) if tail_slow else increment), highest)
    step = stepped_percent(np.array([percent]), np.array([1000.0]), np.array([float(trigger_bytes)]), options)
    assert step.tolist() == [expected]


@pytest.mark.slow
def test_migrations_of_a_batch_do_not_disturb_each_other() -> None:
    scenarios = [writers(500), writers(20), writers(200, vcpus=2)]
    together = run_migrations(FakeBackend(), scenarios, AutoConverge(), [0, 1, 2])
    for i, scenario in enumerate(scenarios):
        alone = run_migrations(FakeBackend(), [scenario], AutoConverge(), [i])
        assert alone.total_time_s[0] == together.total_time_s[i]
        assert alone.max_throttle_percent[0] == together.max_throttle_percent[i]


@pytest.mark.slow
def test_reset_forgets_the_last_migration() -> None:
    throttle = AutoConverge()
    first, second = (run_migrations(FakeBackend(), [writers(500)], throttle, [0]) for _ in range(2))
    assert first.total_time_s == second.total_time_s


# Recorded with QEMU 10.0.2: total time in s and highest throttle percentage.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "options", "total_time_s", "max_percent"),
    [
        (writers(500), {}, 31.3, 99),
        (writers(500), {"initial_percent": 50, "increment_percent": 20}, 15.3, 99),
        (writers(100), {}, 17.7, 60),
        (writers(100, memory_mib=512), {}, 65.3, 70),
    ],
)
def test_a_fluid_model_under_it_takes_as_long_as_qemu_did(
    scenario: object, options: dict[str, object], total_time_s: float, max_percent: int
) -> None:
    outcome = run_migrations(FakeBackend(), [scenario], make_throttle("auto-converge", **options), [0])
    assert outcome.converged.all()
    assert outcome.total_time_s[0] == pytest.approx(total_time_s, rel=0.15)
    assert outcome.max_throttle_percent[0] == pytest.approx(max_percent, abs=10.1)


def test_the_periodic_sync_comes_at_5_s_ticks_without_a_sync_and_not_in_the_first_round() -> None:
    throttle = AutoConverge()
    throttle.reset(facts())
    asked, syncs = [], 1
    for tenth in range(400):
        if tenth == 79:  # the first round ends at 7.9 s, as in a recorded migration with 512 MiB at 64 MiB/s
            syncs += 1
        if throttle.act(telemetry(TIME_S=tenth * 0.1, SYNCS=syncs)).sync[0]:
            asked.append(round(tenth * 0.1, 1))
            syncs += 1
    assert asked == [15.0, 20.0, 25.0, 30.0, 35.0]


def test_no_sync_is_asked_for_where_qemu_had_none() -> None:
    throttle = AutoConverge(AutoConvergeOptions(qemu="9.1"))
    throttle.reset(facts())
    assert not any(throttle.act(telemetry(TIME_S=t, SYNCS=1 + (t > 2))).sync[0] for t in range(60))


def test_options_that_make_no_ladder_are_refused() -> None:
    with pytest.raises(ValueError, match="max_percent=20 must not be below initial_percent=30"):
        AutoConvergeOptions(initial_percent=30, max_percent=20)
