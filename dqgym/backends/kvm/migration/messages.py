"""The messages between the backend and the process that runs the guest, over a private connection."""

from __future__ import annotations

from dataclasses import dataclass

from dqgym.backends.kvm.machine.survey_log import Surveyed
from dqgym.backends.kvm.machine.vcpu import VcpuCounts
from dqgym.backends.kvm.migration.link_pacing import BandwidthPath
from dqgym.backends.kvm.migration.proof import Proof
from dqgym.backends.kvm.migration.sender import Ending, Phase
from dqgym.scenario import Scenario


@dataclass(frozen=True)
class Begin:
    """Make the guest, let it run for ``warm_up_s``, survey it, and begin to migrate it; answered by ``Begun``.

    Attributes:
        scenario: what runs, and its limits.
        seed: of the workload.
        path: the link.
        host: where the destination listens.
        port: where the destination listens.
        destination_process: a descriptor (pidfd) of the destination's process where it is one of this host; else None.
        warm_up_s: the guest runs so long before the migration.
        survey_s: length of the survey, which is on the migration's clock; 0 for none.
    """

    scenario: Scenario
    seed: int
    path: BandwidthPath
    host: str
    port: int
    destination_process: int | None
    warm_up_s: float
    survey_s: float = 0.0


@dataclass(frozen=True)
class Step:
    """Throttle like this for ``interval_s``, or to the end; answered by a ``Snapshot``. Lists are by vCPU."""

    interval_s: float
    limits_bytes_per_s: list[float]
    shared: bool
    caps: list[float]
    ring_sleeps_s: list[float]
    sync: bool


@dataclass(frozen=True)
class Cancel:
    """Call the migration off; answered by a ``Snapshot`` once the guest's fate is settled."""


@dataclass(frozen=True)
class Finish:
    """Prove what the migration did and end; answered by a ``Final``."""


Request = Begin | Step | Cancel | Finish


@dataclass(frozen=True)
class Snapshot:
    """The state of the migration; counts since it began.

    Attributes:
        ring_bytes: size of a vCPU's ring, its reserve included: QEMU's dirty limit counts with that.
        time_s: since the start, or what it took.
        running_s: time until the last stage.
        paused_s: since when the guest has been paused, since the start; None: it is not.
        downtime_limit_s: in force.
        round: number, from 1.
        sent_bytes: pages sent.
        sending_s: time in which there was anything to send.
        remaining_bytes: still to send in this round.
        syncs, sync_time_s, synced_dirty_bytes, synced_sent_bytes: as the fields of telemetry of that name.
        counts: of the vCPUs.
        ended: whether the guest's fate is settled.
        phase: where it is.
    """

    ring_bytes: int
    time_s: float
    running_s: float
    paused_s: float | None
    downtime_limit_s: float
    round: int
    sent_bytes: int
    sending_s: float
    remaining_bytes: int
    syncs: int
    sync_time_s: float
    synced_dirty_bytes: int
    synced_sent_bytes: int
    counts: tuple[VcpuCounts, ...]
    ended: bool
    phase: Phase


@dataclass(frozen=True)
class Begun:
    """The migration has begun.

    Attributes:
        snapshot: where it is, a few milliseconds later.
        surveyed: what the survey before it found; None without one.
    """

    snapshot: Snapshot
    surveyed: Surveyed | None


@dataclass(frozen=True)
class Final:
    """The end of a migration, which was proven.

    Attributes:
        ending: how it ended.
        reason: why, where it did not converge.
        downtime_s: NaN where the guest never ran at the destination.
        last_stage_s: of it, without a pause before.
        proof: of a converged migration.
        stores: that the guest made at the source, each exactly once.
        progress: per vCPU, accesses made over those that it would have made without ever being kept out.
    """

    ending: Ending
    reason: str
    downtime_s: float
    last_stage_s: float
    proof: Proof | None
    stores: int
    progress: tuple[float, ...]


@dataclass(frozen=True)
class Failed:
    """The answer where there is none: what went wrong.

    Attributes:
        kind: ``proof`` (something was lost), ``refused`` (the destination or the link, before anything began),
            or ``fault`` (KVM or this program).
        message: for the user.
    """

    kind: str
    message: str
