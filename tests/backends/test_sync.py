"""A dirty-log sync on request: at the start of the interval, on every backend that says that it makes them.

On KVM: ``tests/backends/kvm/machine/test_survey_log.py``.
"""

from dataclasses import replace

import numpy as np
import pytest

from dqgym.backends.model import ModelBackend
from dqgym.backends.reference import ReferenceBackend
from dqgym.scenario import Recorded
from dqgym.telemetry.command import free_command
from dqgym.telemetry.telemetry import VcpuField, VmField
from tests.model.guests import PAGE, guest, writer
from tests.model.migrations import NO_COSTS, SLOTS

EARLY = Recorded(times_s=(0.0, 6.0), rate_factors=(1.0, 0.0))
"""Writes for six seconds."""


def ask(backend, sync: bool, length_s: float):
    command = replace(free_command(backend.facts), sync=np.array([sync]))
    return backend.step(command, np.array([length_s]))


@pytest.mark.slow
@pytest.mark.parametrize("make_backend", [ModelBackend, ReferenceBackend])
def test_a_sync_on_request_finds_what_is_dirty_and_ends_no_round(make_backend):
    """At random over all pages, of which a quarter is sent: what lies in that part is dirty again."""
    backend = make_backend(NO_COSTS, vcpu_slots=SLOTS)
    assert backend.capabilities.sync
    backend.start([guest(writer("uniform", 20_000, 500.0, schedule=EARLY), pages=20_000)], [0])
    before = ask(backend, False, 50.0)
    now = ask(backend, True, 0.5)
    later = ask(backend, False, 0.5)
    dirtied = before.vcpu[0, VcpuField.DIRTIED_BYTES, 0]
    assert dirtied > 0.0
    vm = [each.vm[0] for each in (before, now, later)]
    assert [each[VmField.SYNCS] for each in vm] == [1.0, 2.0, 2.0]
    assert [each[VmField.ROUND] for each in vm] == [1.0, 1.0, 1.0]
    assert vm[1][VmField.SYNC_TIME_S] == pytest.approx(vm[0][VmField.TIME_S], abs=1e-6)
    assert vm[1][VmField.SYNCED_DIRTY_BYTES] == pytest.approx(dirtied, rel=1e-4)
    assert vm[1][VmField.SYNCED_SENT_BYTES] == pytest.approx(vm[0][VmField.SENT_BYTES], abs=PAGE)
    sent = vm[1][VmField.SENT_BYTES] - vm[0][VmField.SENT_BYTES]
    assert vm[1][VmField.REMAINING_BYTES] == pytest.approx(
        vm[0][VmField.REMAINING_BYTES] + dirtied - sent, abs=2 * PAGE
    )
