"""The bandwidth that the link offers the migration, piecewise constant in time."""

from __future__ import annotations

import math

from dqgym.jit.compile import routine
from dqgym.jit.random import exponential, normal, uniform
from dqgym.model.layout import LinkKind, Vm
from dqgym.scenario.link import ORNSTEIN_UHLENBECK_CLIP, OU_STEPS_PER_CORRELATION_TIME

NEVER = 1e300
OU_LEAST_SHARE = ORNSTEIN_UHLENBECK_CLIP[0]


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
        vm[Vm.BANDWIDTH] = min(max(a + b * normal(random_states, n), OU_LEAST_SHARE * a), d)
        vm[Vm.LINK_LEVEL] = vm[Vm.BANDWIDTH]
        vm[Vm.LINK_NEXT_S] = c / OU_STEPS_PER_CORRELATION_TIME
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
        # Exact discretisation over a step of c / OU_STEPS_PER_CORRELATION_TIME.
        kept = math.exp(-1.0 / OU_STEPS_PER_CORRELATION_TIME)
        level = a + (vm[Vm.LINK_LEVEL] - a) * kept + b * math.sqrt(1.0 - kept * kept) * normal(random_states, n)
        vm[Vm.LINK_LEVEL] = level
        vm[Vm.BANDWIDTH] = min(max(level, OU_LEAST_SHARE * a), d)
        vm[Vm.LINK_NEXT_S] += c / OU_STEPS_PER_CORRELATION_TIME
    else:
        vm[Vm.LINK_NEXT_S] = NEVER
