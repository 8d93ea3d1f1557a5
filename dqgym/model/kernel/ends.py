"""Limits that change while a migration runs, and the ends that are not convergence, as ``numba`` code.

A downtime limit that grows takes its steps at GROWS_AT_S or in round GROWS_IN_ROUND, whichever counts; the other is
NEVER. At the deadline, and after the last round that is allowed, a migration is cancelled, or its guest is paused: the
vCPUs and the devices stand from then on, the sender goes on as before, and what fits into the downtime limit in the end
goes at line speed. libvirt and KubeVirt do no more than that. None of it is on the way of a migration that has neither.
"""

from __future__ import annotations

import numpy as np

from dqgym.jit.compile import part, routine
from dqgym.model.kernel.links import NEVER
from dqgym.model.layout import Vcpu, Vm
from dqgym.scenario.limits import PAUSED_DEADLINES

_ZERO = np.float32(0.0)
EPSILON_S = 1e-9
"""Less than this is no time at all."""


@part
def start_limits(state):  # type: ignore[no-untyped-def]
    """The limits as they are when a migration begins."""
    state[Vm.DOWNTIME_LIMIT_NOW_S] = state[Vm.DOWNTIME_LIMIT_S]
    state[Vm.GROWS_AT_S] = state[Vm.GROWTH_FIRST_S]
    state[Vm.GROWS_IN_ROUND] = state[Vm.GROWTH_FIRST_ROUND]
    state[Vm.ENDS_AT_S] = state[Vm.DEADLINE_S]


@routine
def grow_limit(state):  # type: ignore[no-untyped-def]
    """Take the steps that are due; the largest limit is the last."""
    while state[Vm.GROWS_AT_S] <= state[Vm.TIME_S] + EPSILON_S or state[Vm.GROWS_IN_ROUND] <= state[Vm.ROUND]:
        limit_s = state[Vm.GROWTH_FACTOR] * state[Vm.DOWNTIME_LIMIT_NOW_S] + state[Vm.GROWTH_ADD_S]
        state[Vm.DOWNTIME_LIMIT_NOW_S] = min(limit_s, state[Vm.GROWTH_END_S])
        # Either began from the start or from a round; from then on only one of them counts.
        by_time = state[Vm.GROWTH_EVERY_S] > 0.0
        began_s = min(state[Vm.GROWS_AT_S], state[Vm.TIME_S])
        state[Vm.GROWS_AT_S] = began_s + state[Vm.GROWTH_EVERY_S] if by_time else NEVER
        state[Vm.GROWS_IN_ROUND] = NEVER if by_time else state[Vm.ROUND] + state[Vm.GROWTH_EVERY_ROUNDS]
        if limit_s >= state[Vm.GROWTH_END_S]:
            state[Vm.GROWS_AT_S], state[Vm.GROWS_IN_ROUND] = NEVER, NEVER


@part
def stop_vcpus(tile, slots):  # type: ignore[no-untyped-def]
    """Whatever is commanded, a paused guest does not run."""
    for i in range(len(slots)):
        tile[Vcpu.CAP, i] = _ZERO
        tile[Vcpu.COMMANDED_CAP, i] = _ZERO
        tile[Vcpu.RING_SLEEP_S, i] = _ZERO
        tile[Vcpu.SLEEP_LEFT_S, i] = _ZERO


@routine
def pause_guest(tile, state, slots):  # type: ignore[no-untyped-def]
    """Stop the guest for good; the control interval ends with it. A sync that waited for sleepers need not any more."""
    stop_vcpus(tile, slots)
    state[Vm.PAUSED] = 1.0
    state[Vm.DEVICE_RATE] = 0.0
    state[Vm.SLEEPS] = 0.0
    state[Vm.RING_SLEEPS] = 0.0
    state[Vm.WAIT_S] = 0.0
    state[Vm.WAIT_LEFT_S] = 0.0
    state[Vm.LEFT_S] = 0.0
    state[Vm.COMMANDED_S] = 0.0
    if state[Vm.PAUSES_AT_DEADLINE] > 0.0:
        state[Vm.ENDS_AT_S] = PAUSED_DEADLINES * state[Vm.DEADLINE_S]


@routine
def end_at_deadline(tile, state, slots):  # type: ignore[no-untyped-def]
    """The deadline is there; or twice the deadline, if the guest is paused."""
    if state[Vm.PAUSES_AT_DEADLINE] > 0.0 and state[Vm.PAUSED] == 0.0:
        pause_guest(tile, state, slots)
    else:
        state[Vm.DONE] = 1.0


@routine
def end_last_round(tile, state, slots):  # type: ignore[no-untyped-def]
    """The last round that is allowed is over, and what is left does not fit into the downtime limit."""
    if state[Vm.PAUSES_AFTER_ROUNDS] > 0.0:
        pause_guest(tile, state, slots)
    else:
        state[Vm.ROUND_END_SENT] = state[Vm.SENT_BYTES]
        state[Vm.DONE] = 1.0
