"""The bandwidth that the link offers the migration, piecewise constant in time.

An Ornstein-Uhlenbeck bandwidth holds for OU_HOLD correlation times at the process's mean over that time, so that what
the link carries is what it would carry with the process itself. The process at the end of a step and its mean over the
step are drawn together: given where the step began, both are Gaussian, with the moments below (Gillespie 1996, Physical
Review E 54, for the process and its integral).
"""

from __future__ import annotations

import math

from dqgym.jit.compile import routine
from dqgym.jit.random import exponential, normal, uniform
from dqgym.model.layout import LinkKind, Vm
from dqgym.scenario.link import ORNSTEIN_UHLENBECK_CLIP, OU_HOLD

NEVER = 1e300
OU_LEAST_SHARE = ORNSTEIN_UHLENBECK_CLIP[0]
# Of a deviation at the beginning of a step, in stationary standard deviations: what is kept of it at the end and in the
# mean; what chance adds at the end, and to the mean, with the end and on its own.
_KEPT = math.exp(-OU_HOLD)
_SPREAD = math.sqrt(1.0 - _KEPT**2)
_MEAN_KEPT = (1.0 - _KEPT) / OU_HOLD
_MEAN_WITH_END = (1.0 - _KEPT) ** 2 / (OU_HOLD * _SPREAD)
_MEAN_ALONE = math.sqrt((2.0 * OU_HOLD - 3.0 + 4.0 * _KEPT - _KEPT**2) / OU_HOLD**2 - _MEAN_WITH_END**2)


@routine
def wander(vm, random_states, n):  # type: ignore[no-untyped-def]
    """Go on with an Ornstein-Uhlenbeck process for a step: LINK_LEVEL is its value at the end, BANDWIDTH its mean."""
    mean, sd = vm[Vm.LINK_A], vm[Vm.LINK_B]
    deviation = vm[Vm.LINK_LEVEL] - mean
    with_end, alone = sd * normal(random_states, n), sd * normal(random_states, n)
    vm[Vm.LINK_LEVEL] = mean + _KEPT * deviation + _SPREAD * with_end
    level = mean + _MEAN_KEPT * deviation + _MEAN_WITH_END * with_end + _MEAN_ALONE * alone
    vm[Vm.BANDWIDTH] = min(max(level, OU_LEAST_SHARE * mean), vm[Vm.LINK_D])
    vm[Vm.LINK_NEXT_S] += OU_HOLD * vm[Vm.LINK_C]


@routine
def start_link(vm, random_states, n, table_times, table_values):  # type: ignore[no-untyped-def]
    """Set BANDWIDTH, LINK_LEVEL and LINK_NEXT_S of row ``vm`` for time 0; the processes start in stationary states."""
    kind = int(vm[Vm.LINK_KIND])
    a, b, c, d = vm[Vm.LINK_A], vm[Vm.LINK_B], vm[Vm.LINK_C], vm[Vm.LINK_D]
    vm[Vm.LINK_LEVEL] = 0.0
    vm[Vm.LINK_NEXT_S] = NEVER
    if kind == LinkKind.TABLE:
        vm[Vm.BANDWIDTH] = table_values[int(a)]
        if b > 1.0:
            vm[Vm.LINK_NEXT_S] = table_times[int(a) + 1]
        elif c > 0.0:
            vm[Vm.LINK_NEXT_S] = c
    elif kind == LinkKind.MARKOV:
        high = uniform(random_states, n) < c / (c + d)
        vm[Vm.LINK_LEVEL] = 1.0 if high else 0.0
        vm[Vm.BANDWIDTH] = a if high else b
        vm[Vm.LINK_NEXT_S] = exponential(random_states, n, c if high else d)
    elif kind == LinkKind.ORNSTEIN_UHLENBECK:
        vm[Vm.LINK_LEVEL] = a + b * normal(random_states, n)
        vm[Vm.LINK_NEXT_S] = 0.0
        wander(vm, random_states, n)
    else:
        vm[Vm.BANDWIDTH] = a


@routine
def change_bandwidth(vm, random_states, n, table_times, table_values):  # type: ignore[no-untyped-def]
    """The next value of the process of row ``vm``, at time LINK_NEXT_S."""
    kind = int(vm[Vm.LINK_KIND])
    a, b, c, d = vm[Vm.LINK_A], vm[Vm.LINK_B], vm[Vm.LINK_C], vm[Vm.LINK_D]
    if kind == LinkKind.TABLE:
        # LINK_LEVEL counts entries passed, over all repetitions.
        vm[Vm.LINK_LEVEL] += 1.0
        passed, entries = vm[Vm.LINK_LEVEL], int(b)
        index = int(passed) % entries
        vm[Vm.BANDWIDTH] = table_values[int(a) + index]
        following = index + 1
        repetition = math.floor(passed / b) * c
        if following < entries:
            vm[Vm.LINK_NEXT_S] = repetition + table_times[int(a) + following]
        elif c > 0.0:
            vm[Vm.LINK_NEXT_S] = repetition + c
        else:
            vm[Vm.LINK_NEXT_S] = NEVER
    elif kind == LinkKind.MARKOV:
        high = vm[Vm.LINK_LEVEL] == 0.0
        vm[Vm.LINK_LEVEL] = 1.0 if high else 0.0
        vm[Vm.BANDWIDTH] = a if high else b
        vm[Vm.LINK_NEXT_S] += exponential(random_states, n, c if high else d)
    elif kind == LinkKind.ORNSTEIN_UHLENBECK:
        wander(vm, random_states, n)
    else:
        vm[Vm.LINK_NEXT_S] = NEVER
