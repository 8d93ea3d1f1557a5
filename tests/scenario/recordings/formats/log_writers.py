"""Logs of migrations that are known: the model plays a scenario, and each format writes what it would have seen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise

from dqgym.backends.model import ModelBackend
from dqgym.controller.loop import run_migrations
from dqgym.scenario.scenario import Scenario
from dqgym.telemetry.telemetry import VmField
from dqgym.throttles.registry import make_throttle

PAGE = 4096
MIB = 2**20


@dataclass(frozen=True)
class Seen:
    """One look at the migration: what QEMU counts."""

    time_s: float
    sent_bytes: float
    zero_bytes: float
    remaining_bytes: float
    syncs: int
    throttle_percent: int
    dirty_bytes_per_s: float


@dataclass(frozen=True)
class Migration:
    """What became of a known scenario under a throttle."""

    scenario: Scenario
    seen: tuple[Seen, ...]
    converged: bool
    total_time_s: float
    downtime_s: float

    @property
    def total_bytes(self) -> int:
        return self.scenario.vm.memory_bytes + self.scenario.vm.zero_bytes

    def rounds(self) -> list[Seen]:
        """The first look in each round, and the last look of all."""
        firsts = [one for one, before in zip(self.seen[1:], self.seen, strict=False) if one.syncs > before.syncs]
        return [self.seen[0], *firsts, *([] if self.seen[-1] in firsts else [self.seen[-1]])]


def migrated(scenario: Scenario, throttle: str, seed: int = 0) -> Migration:
    """Play it on the model and look at it at every control interval."""
    made, seen = make_throttle(throttle), []
    zeros = float(scenario.vm.zero_bytes)

    def look(interval_s, command, telemetry) -> None:
        vm = telemetry.vm[0]
        period_s = max(vm[VmField.SYNC_TIME_S] - look.sync_s, 1e-9)
        if vm[VmField.SYNCS] > look.syncs:
            look.rate = (vm[VmField.SYNCED_DIRTY_BYTES] - look.dirty) / period_s
            look.dirty, look.sync_s, look.syncs = (
                vm[VmField.SYNCED_DIRTY_BYTES],
                vm[VmField.SYNC_TIME_S],
                vm[VmField.SYNCS],
            )
        cap = float(command.run_share_cap[0][0])
        seen.append(
            Seen(
                float(vm[VmField.TIME_S]), float(vm[VmField.SENT_BYTES]), zeros, float(vm[VmField.REMAINING_BYTES]),
                int(vm[VmField.SYNCS]), round(100 * (1 - min(cap, 1.0))), float(look.rate),
            )
        )  # fmt: skip

    look.syncs, look.sync_s, look.dirty, look.rate = 1, 0.0, 0.0, 0.0
    backend = ModelBackend()
    outcomes = run_migrations(backend, [scenario], made, [seed], observer=look)
    return Migration(
        scenario,
        tuple(seen),
        bool(outcomes.converged[0]),
        float(outcomes.total_time_s[0]),
        float(outcomes.downtime_s[0]),
    )


def guestperf(migration: Migration, throttle: dict | None = None) -> str:
    """As QEMU's guestperf writes it: an entry a round."""
    scenario = migration.scenario
    written = sum(group.vcpus * group.working_set_bytes for group in scenario.workload)
    history = [_entry(one, migration) for one in migration.rounds()]
    history[-1]["status"] = "completed" if migration.converged else "cancelled"
    history[-1]["duration"] = round(1000 * migration.total_time_s)
    history[-1]["downtime"] = round(1000 * migration.downtime_s) if migration.converged else 0
    return json.dumps(
        {
            "hardware": {"cpus": scenario.vcpus, "mem": written / 2**30},
            "scenario": {
                "name": scenario.name, "downtime": 1000 * scenario.limits.downtime_s,
                "max_time": round(scenario.deadline_s), **(throttle or {}),
            },
            "progress_history": history,
        }
    )  # fmt: skip


def _entry(seen: Seen, migration: Migration) -> dict:
    return {
        "status": "active",
        "ram": {
            "transferred_bytes": round(seen.sent_bytes * 1.002),
            "remaining_bytes": round(seen.remaining_bytes),
            "total_bytes": migration.total_bytes,
            "duplicate_pages": round(seen.zero_bytes / PAGE),
            "normal_pages": round(seen.sent_bytes / PAGE),
            "normal_bytes": round(seen.sent_bytes),
            "dirty_rate_pps": round(seen.dirty_bytes_per_s / PAGE),
            "iterations": seen.syncs,
        },
        "duration": round(1000 * seen.time_s),
        "throttle_pcent": seen.throttle_percent,
    }


def query_migrate(migration: Migration, capabilities: tuple[str, ...] = (), parameters: dict | None = None) -> str:
    """As ``dqgym record`` writes it."""
    limit_ms = round(1000 * migration.scenario.limits.downtime_s)
    lines = [
        {
            "command": "query-migrate-capabilities",
            "return": [{"capability": one, "state": True} for one in capabilities],
        },
        {"command": "query-migrate-parameters", "return": {"downtime-limit": limit_ms, **(parameters or {})}},
        {"command": "query-cpus-fast", "return": [{"cpu-index": i} for i in range(migration.scenario.vcpus)]},
    ]
    lines += [{"command": "query-migrate", "return": _answer(seen, migration)} for seen in migration.seen]
    last = {**_answer(migration.seen[-1], migration), "total-time": round(1000 * migration.total_time_s) + 1}
    last["status"] = "completed" if migration.converged else "cancelled"
    if migration.converged:
        last["downtime"] = round(1000 * migration.downtime_s)
    lines.append({"command": "query-migrate", "return": last})
    return "\n".join(json.dumps(line) for line in lines) + "\n"


def _answer(seen: Seen, migration: Migration) -> dict:
    return {
        "status": "active",
        "total-time": round(1000 * seen.time_s),
        "cpu-throttle-percentage": seen.throttle_percent,
        "ram": {
            "total": migration.total_bytes,
            "remaining": round(seen.remaining_bytes),
            "transferred": round(seen.sent_bytes * 1.002),
            "normal": round(seen.sent_bytes / PAGE),
            "duplicate": round(seen.zero_bytes / PAGE),
            "page-size": PAGE,
            "dirty-sync-count": seen.syncs,
            "dirty-pages-rate": round(seen.dirty_bytes_per_s / PAGE),
        },
    }


def kubevirt(migration: Migration, every: int = 1) -> str:
    """As virt-launcher logs it: one JSON object a line."""
    uid = "f0a1c5de-0000-4000-8000-000000000001"
    lines = []
    for seen in migration.seen[::every]:
        info = (
            f"Migration info for {uid}: TimeElapsed:{round(1000 * seen.time_s)}ms"
            f" DataProcessed:{int(seen.sent_bytes / MIB)}MiB DataRemaining:{int(seen.remaining_bytes / MIB)}MiB"
            f" DataTotal:{migration.total_bytes // MIB}MiB MemoryProcessed:{int(seen.sent_bytes / MIB)}MiB"
            f" MemoryRemaining:{int(seen.remaining_bytes / MIB)}MiB MemoryTotal:{migration.total_bytes // MIB}MiB"
            f" MemoryBandwidth:1000Mbps DirtyRate:{int(seen.dirty_bytes_per_s * 8 / 1e6)}Mbps Iteration:{seen.syncs}"
            f" PostcopyRequests:0 ConstantPages:{round(seen.zero_bytes / PAGE)}"
            f" NormalPages:{round(seen.sent_bytes / PAGE)} NormalData:{int(seen.sent_bytes / MIB)}MiB"
            " ExpectedDowntime:300ms DiskMbps:0"
        )
        lines.append(json.dumps({"component": "virt-launcher", "level": "info", "msg": info}))
    if migration.converged:
        lines.append(json.dumps({"component": "virt-launcher", "level": "info", "msg": "Migration has been completed"}))
    return "\n".join(lines) + "\n"


def cloud_hypervisor(migration: Migration) -> str:
    """As Cloud Hypervisor logs it at debug level: a line a round."""
    rounds, lines = migration.rounds(), []
    for number, (start, end) in enumerate(pairwise(rounds)):
        current = start.remaining_bytes if number else migration.total_bytes
        lines.append(
            f"cloud-hypervisor:  {10 + end.time_s:.6f}s: <vmm> DEBUG:vmm/src/lib.rs:1313 -- Precopy: iter={number}"
            f" total={end.sent_bytes / MIB:.0f}MiB curr={current / MIB:.0f}MiB bw=100.00MiB/s"
            f" transfer={end.time_s - start.time_s:.2f}s overhead=0ms est_downtime=0ms elapsed={end.time_s:.2f}s"
            f" avg_bw=100.00MiB/s"
        )
    if migration.converged:
        lines.append(
            f"cloud-hypervisor:  99.0s: <vmm> INFO:vmm/src/lib.rs:1494 -- Migration completed after"
            f" {migration.total_time_s:.1f}s with a downtime of {1000 * migration.downtime_s:.0f}ms"
            f" (goal was {1000 * migration.scenario.limits.downtime_s:.0f}ms)"
        )
    return "\n".join(lines) + "\n"


def proxmox(migration: Migration, old: bool = False, every: int = 1) -> str:
    """As Proxmox's task log has it."""
    limit_ms = round(1000 * migration.scenario.limits.downtime_s)
    lines = [f"{_clock(0)} migration downtime limit: {limit_ms} ms", f"{_clock(0)} start migrate command to unix:/x"]
    before = Seen(0, 0, 0, 0, 1, 0, 0)
    for seen in migration.seen[every - 1 :: every]:
        sent, total = seen.sent_bytes * 1.002, migration.total_bytes
        clock = _clock(seen.time_s)
        if old:
            lines.append(
                f"{clock} migration status: active (transferred {round(sent)},"
                f" remaining {round(seen.remaining_bytes)}), total {total})"
            )
        else:
            done = seen.sent_bytes + seen.zero_bytes - before.sent_bytes - before.zero_bytes
            speed = done / max(seen.time_s - before.time_s, 1e-3)
            dirty = seen.dirty_bytes_per_s
            tail = f", VM dirties lots of memory: {_size(dirty)}/s" if dirty > speed else ""
            lines.append(
                f"{clock} migration active, transferred {_size(sent)} of {_size(total)} VM-state,"
                f" {_size(speed)}/s{tail}"
            )
        before = seen
    if migration.converged:
        end = _clock(migration.total_time_s)
        lines += [
            f"{end} average migration speed: 100.0 MiB/s - downtime {1000 * migration.downtime_s:.0f} ms",
            f"{end} migration status: completed",
        ]
    return "\n".join(lines) + "\n"


def _clock(time_s: float) -> str:
    minutes, seconds = divmod(int(time_s), 60)
    return f"2025-01-04 {minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _size(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / MIB:.1f} MiB"
