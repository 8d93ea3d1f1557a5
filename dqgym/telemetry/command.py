"""What a throttle asks of a virtual machine monitor, batched over N migrations of V vCPU slots.

``Command`` is the one table of its parts: each says what it is per, which values it may have, and which throttles
nothing. Whatever is made, checked or merged of a command goes through that table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import numpy as np

from dqgym.arrays import BoolArray, Float32Array
from dqgym.telemetry.telemetry import Facts

UNLIMITED = np.float32(np.inf)
"""A dirty-rate limit that does not limit."""


@dataclass(frozen=True)
class Part:
    """What holds for one part of a command.

    Attributes:
        free: the value that throttles nothing; its type is the part's.
        per_vcpu: float32 [N, V]; otherwise bool [N].
        most: largest allowed value; the least is 0.
    """

    free: np.float32 | np.bool_
    per_vcpu: bool
    most: float = np.inf


@dataclass(frozen=True)
class Command:
    """Per-vCPU limits for the next control interval.

    Attributes:
        dirty_limit_bytes_per_s: float32 [N, V] what each vCPU may dirty; ``UNLIMITED`` for no limit. A backend refills
            the quota every quota interval (10 ms in the reference scheme).
        run_share_cap: float32 [N, V] the share of time in which each vCPU may run, 0 .. 1; 1 is free.
        ring_sleep_s: float32 [N, V] how long a vCPU sleeps whenever its dirty ring is full (QEMU's dirty limit); 0: not
            at all.
        share_unclaimed: bool [N] quota that a vCPU leaves unclaimed goes to a common pool for the others
            (the reference scheme of dirty quota); otherwise every vCPU keeps strictly to its own limit.
        sync: bool [N] make one extra dirty-log sync at the start of the interval.
        kicks_wake: bool [N] a sync wakes the vCPUs that sleep for a full ring, so that it need not wait for them (QEMU
            up to 8.1); otherwise they sleep to the end.
        read_rings: bool [N] read all rings at the start of the interval without a sync of the sender's, as dirty limit
            does when it measures; with ``kicks_wake`` that wakes sleepers, too.
    """

    dirty_limit_bytes_per_s: Annotated[Float32Array, Part(UNLIMITED, per_vcpu=True)]
    run_share_cap: Annotated[Float32Array, Part(np.float32(1), per_vcpu=True, most=1.0)]
    ring_sleep_s: Annotated[Float32Array, Part(np.float32(0), per_vcpu=True)]
    share_unclaimed: Annotated[BoolArray, Part(np.bool_(False), per_vcpu=False)]
    sync: Annotated[BoolArray, Part(np.bool_(False), per_vcpu=False)]
    kicks_wake: Annotated[BoolArray, Part(np.bool_(False), per_vcpu=False)]
    read_rings: Annotated[BoolArray, Part(np.bool_(False), per_vcpu=False)]


PARTS: Mapping[str, Part] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(Command, include_extras=True).items()
}
"""By name, in order."""


def free_command(facts: Facts) -> Command:
    """The command that throttles nothing."""
    return free_of_shape(*facts.present.shape)


def free_of_shape(n: int, slots: int) -> Command:
    """The command that throttles nothing, of ``n`` migrations with ``slots`` vCPU slots."""
    arrays: dict[str, Any] = {name: np.full(_shape(part, n, slots), part.free) for name, part in PARTS.items()}
    return Command(**arrays)


def as_arrays(command: Command) -> Command:
    """The same command as arrays of the types that backends expect; fails where it is none."""
    arrays: dict[str, Any] = {name: np.asarray(getattr(command, name), part.free.dtype) for name, part in PARTS.items()}
    return Command(**arrays)


def shape_problem(command: Command, facts: Facts) -> str | None:
    """What is wrong with the shapes of a command's arrays; None if nothing is."""
    for name, part in PARTS.items():
        found, expected = getattr(command, name).shape, _shape(part, *facts.present.shape)
        if found != expected:
            return f"{name} has shape {found} instead of {expected}"
    return None


def out_of_range(command: Command, facts: Facts) -> Iterator[tuple[BoolArray, str]]:
    """For each part with a wrong value: [N] in which migrations a vCPU has one, and what is wrong."""
    for name, part in PARTS.items():
        if part.per_vcpu:
            values = getattr(command, name)
            wrong = (facts.present & ~((values >= 0) & (values <= part.most))).any(axis=1)  # no comparison holds of NaN
            if wrong.any():
                yield wrong, f"{name} is NaN or {'negative' if part.most == np.inf else f'outside 0 .. {part.most:g}'}"


def where(mask: BoolArray, chosen: Command, other: Command) -> Command:
    """For each migration one of two commands: ``chosen`` where ``mask`` [N] is true."""
    rows = mask[:, None]
    return Command(
        **{
            name: np.where(rows if part.per_vcpu else mask, getattr(chosen, name), getattr(other, name))
            for name, part in PARTS.items()
        }
    )


def _shape(part: Part, n: int, slots: int) -> tuple[int, ...]:
    return (n, slots) if part.per_vcpu else (n,)
