"""The survey in the page-exact reference: the guest runs free before its migration, and its dirty log is read."""

from __future__ import annotations

from dqgym.jit.compile import kernel, routine
from dqgym.model.layout import Vm
from dqgym.model.page_exact.migration import TURN_S, follow_link, run_guest
from dqgym.model.page_exact.state import DIRTY, PENDING
from dqgym.model.page_exact.vcpu import empty_rings
from dqgym.telemetry.survey import MARKS

_EPSILON_S = 1e-9


@kernel
def run_survey(migration, survey_s, found):  # type: ignore[no-untyped-def]
    """Let the guest of a migration that has just been started run for ``survey_s``, with nothing to send.

    ``found`` int64 [len(MARKS), V] gets the pages that each vCPU has dirtied by each mark. Then every page waits to be
    sent, none is dirty, and the migration begins; its clock, its link and the guest are where the survey has left them.
    """
    vm, vcpus = migration.vm[0], migration.vcpus
    migration.pages[:] = 0
    for k in range(len(MARKS)):
        run_until(migration, MARKS[k] * survey_s)
        for i in range(len(vcpus)):
            found[k, i] = dirty_pages_of(vcpus[i], migration.pages, migration.address_of)
    migration.pages[:] = PENDING
    empty_rings(vcpus)
    vm.window_began_s = vm.window_ends_s = vm.quota_due_s = vm.sync_time_s = vm.time_s


@routine
def run_until(migration, ends_s):  # type: ignore[no-untyped-def]
    """Let the guest run and the bandwidth change, turn by turn."""
    vm = migration.vm[0]
    while vm.time_s < ends_s - _EPSILON_S:
        follow_link(migration)
        run_guest(migration, min(TURN_S, ends_s - vm.time_s, migration.link[Vm.LINK_NEXT_S] - vm.time_s))
    vm.time_s = ends_s


@routine
def dirty_pages_of(vcpu, pages, address_of):  # type: ignore[no-untyped-def]
    """The number of dirty pages in the vCPU's region: nobody else writes there."""
    count = 0
    for page in range(vcpu.first_page, vcpu.first_page + vcpu.pages):
        if pages[address_of[page]] & DIRTY:
            count += 1
    return count
