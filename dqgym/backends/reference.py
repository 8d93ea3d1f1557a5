"""The page-exact reference as a backend: slow and obvious, to check the model and to try throttles on small guests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dqgym.arrays import FloatArray
from dqgym.backends.base import Capabilities, Outcomes
from dqgym.backends.outcome_recorder import OutcomeRecorder
from dqgym.errors import BadInputError
from dqgym.model.page_exact.migration import run_interval, start
from dqgym.model.page_exact.state import LAYOUTS, Layout, Migration, new_migration
from dqgym.model.page_exact.survey import run_survey
from dqgym.model.parameters import DEFAULT_PARAMETERS, ModelParameters
from dqgym.model.pool import pack_scenarios
from dqgym.names import unknown
from dqgym.scenario import Scenario
from dqgym.telemetry.command import Command
from dqgym.telemetry.interval import ControlInterval
from dqgym.telemetry.survey import MARKS, Survey
from dqgym.telemetry.telemetry import Facts, Telemetry, VcpuField, VmField, first_telemetry


class ReferenceBackend:
    """Migrations played through page by page (``dqgym.model.page_exact.migration``), one after another.

    It takes about a microsecond for each page that is sent or stored to, and a byte of memory for each page.

    Args:
        parameters: the model's global parameters; the costs of quota exits are left out.
        vcpu_slots: number of vCPU slots V; None: as many as the widest scenario needs.
        layout: ``scattered``: the pages of all regions lie at random addresses, as the model takes them to;
            ``contiguous``: one region after another, as guests lay them out. None: contiguous where the dirty log is
            cleared at the sync, or is a bitmap with one chunk, else scattered.

    Raises:
        BadInputError: an unknown layout; the message has those that there are.
    """

    name = "reference"
    capabilities = Capabilities(
        dirty_limit=True, run_share_cap=True, ring_sleep=True, max_migrations=None, survey=True, sync=True
    )

    def __init__(
        self,
        parameters: ModelParameters = DEFAULT_PARAMETERS,
        vcpu_slots: int | None = None,
        layout: Layout | None = None,
    ) -> None:
        if layout is not None and layout not in LAYOUTS:
            raise BadInputError(unknown("layout", layout, LAYOUTS, "layouts"))
        self.parameters = parameters
        self.vcpu_slots = vcpu_slots
        self.layout = layout
        self.facts: Facts
        self._migrations: list[Migration]
        self._telemetry: Telemetry
        self._recorder: OutcomeRecorder

    def start(
        self, scenarios: Sequence[Scenario], seeds: Sequence[int], survey: ControlInterval | None = None
    ) -> Telemetry:
        """Start one migration for each scenario. BadInputError where the seeds are not as many."""
        if len(seeds) != len(scenarios):
            raise BadInputError(f"{len(scenarios)} scenarios need as many seeds, not {len(seeds)}")
        pool = pack_scenarios(scenarios, self.parameters, self.vcpu_slots)
        self.facts = pool.facts()
        self._migrations = [
            new_migration(scenario, pool, m, self.parameters, self.layout or _usual_layout(scenario), seed)
            for m, (scenario, seed) in enumerate(zip(scenarios, seeds, strict=True))
        ]
        for migration in self._migrations:
            start(migration)
        self._recorder = OutcomeRecorder(self.facts)
        if survey is not None:
            self.facts = replace(self.facts, survey=self._run_surveys(survey.seconds(self.facts)))
        self._telemetry = first_telemetry(self.facts)
        return self._telemetry

    def _run_surveys(self, survey_s: FloatArray) -> Survey:
        slots = self.facts.present.shape[1]
        found = np.zeros((len(self._migrations), len(MARKS), slots), dtype=np.float32)
        for n, migration in enumerate(self._migrations):
            vcpus = len(migration.vcpus)
            pages = np.zeros((len(MARKS), vcpus), dtype=np.int64)
            run_survey(migration, survey_s[n], pages)
            found[n, :, :vcpus] = pages * migration.vm["page_bytes"][0]
            self._recorder.add_survey(n, np.pad(migration.vcpus["run_s"], (0, slots - vcpus)))
        return Survey(survey_s, found)

    def step(self, command: Command, interval_s: FloatArray) -> Telemetry:
        """Carry out a command for ``interval_s`` [N] seconds, or until the migration ends."""
        before = self._telemetry
        vcpu, vm, done = before.vcpu.copy(), before.vm.copy(), before.done.copy()
        for n in map(int, np.flatnonzero(~before.done)):
            migration = self._migrations[n]
            run_interval(
                migration, interval_s[n],
                np.maximum(command.dirty_limit_bytes_per_s[n], 0.0),
                np.clip(command.run_share_cap[n], 0.0, 1.0),
                np.maximum(command.ring_sleep_s[n], 0.0),
                bool(command.share_unclaimed[n]), bool(command.sync[n]),
                bool(command.kicks_wake[n]), bool(command.read_rings[n]),
            )  # fmt: skip
            vcpu[n] = _vcpu_telemetry(migration, vcpu.shape[2])
            vm[n] = _vm_telemetry(migration, before.vm[n])
            done[n] = migration.vm["done"][0]
            self._recorder.add(
                n,
                vcpu[n, VcpuField.RUN_S],
                float(migration.vm["interval_s"][0]),
                command,
                bool(done[n]),
                bool(before.vm[n, VmField.PAUSED] > 0),
            )
        self._telemetry = Telemetry(vcpu, vm, done)
        return self._telemetry

    def outcomes(self) -> Outcomes:
        """The outcomes of the migrations."""
        return self._recorder.outcomes(
            self._telemetry,
            converged=np.array([bool(each.vm["converged"][0]) for each in self._migrations]),
            last_stage_s=np.array([float(each.vm["downtime_s"][0]) for each in self._migrations]),
        )

    def close(self) -> None:
        """Nothing to release."""


def _usual_layout(scenario: Scenario) -> Layout:
    return "contiguous" if scenario.cleared_ahead >= 1.0 else "scattered"


def _vcpu_telemetry(migration: Migration, slots: int) -> FloatArray:
    """[len(VcpuField), V], 0 in absent slots."""
    vcpus, interval_s = migration.vcpus, migration.vm["interval_s"][0]
    fields = np.zeros((len(VcpuField), slots))
    fields[VcpuField.DIRTIED_BYTES, : len(vcpus)] = vcpus["dirtied_bytes"]
    fields[VcpuField.QUOTA_EXITS, : len(vcpus)] = vcpus["quota_exits"]
    fields[VcpuField.STALLED_S, : len(vcpus)] = np.maximum(interval_s - vcpus["run_s"], 0.0)
    fields[VcpuField.RUN_S, : len(vcpus)] = vcpus["run_s"]
    return fields


def _vm_telemetry(migration: Migration, before: FloatArray) -> FloatArray:
    """[len(VmField)]. The bandwidth is what the link carried on average while there was anything to send."""
    vm = migration.vm[0]
    fields = np.zeros(len(VmField))
    fields[VmField.INTERVAL_S] = vm["interval_s"]
    fields[VmField.TIME_S] = vm["time_s"]
    fields[VmField.SENT_BYTES] = vm["sent_pages"] * vm["page_bytes"]
    fields[VmField.REMAINING_BYTES] = vm["pending_pages"] * vm["page_bytes"]
    fields[VmField.ROUND] = vm["rounds"]
    sending_s = vm["sending_s"]
    fields[VmField.BANDWIDTH_BYTES_PER_S] = (
        vm["offered_bytes"] / sending_s if sending_s > 0 else before[VmField.BANDWIDTH_BYTES_PER_S]
    )
    fields[VmField.SYNCS] = vm["syncs"]
    fields[VmField.SYNC_TIME_S] = vm["sync_time_s"]
    fields[VmField.SYNCED_DIRTY_BYTES] = vm["synced_dirty_pages"] * vm["page_bytes"]
    fields[VmField.SYNCED_SENT_BYTES] = vm["synced_sent_pages"] * vm["page_bytes"]
    fields[VmField.DOWNTIME_LIMIT_S] = vm["downtime_limit_s"]
    fields[VmField.PAUSED] = vm["paused"]
    return fields
