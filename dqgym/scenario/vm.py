"""The virtual machine that is migrated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, model_validator

from dqgym.errors import BadInputError
from dqgym.scenario.bounds import MEMORY_BYTES
from dqgym.scenario.record import Bytes, Record
from dqgym.units import format_bytes

BASE_PAGE_BYTES = 4096
"""The smallest page, and the unit of a workload's write rate."""
PAGE_SIZES_BYTES = (4096, 65536, 2 * 2**20, 16 * 2**20, 2**30)
"""Sizes in which memory can be mapped: 4 KiB, 64 KiB (arm64), 2 MiB, 16 MiB (POWER) and 1 GiB."""


def whole_pages(size_bytes: float) -> int:
    """The size, in bytes, without the part of a page that is left over."""
    return int(size_bytes) // BASE_PAGE_BYTES * BASE_PAGE_BYTES


def _check_page_size(page_bytes: int) -> int:
    if page_bytes not in PAGE_SIZES_BYTES:
        allowed = ", ".join(format_bytes(size) for size in PAGE_SIZES_BYTES)
        raise BadInputError(f"{format_bytes(page_bytes)} is not a page size; allowed: {allowed}")
    return page_bytes


PageSize = Annotated[Bytes, AfterValidator(_check_page_size)]


class VirtualMachine(Record):
    """Memory of the guest and how it is tracked. Its vCPUs are those of the workload's groups.

    Attributes:
        memory_bytes: guest memory with contents, at least one page, at most 1 PiB.
        zero_bytes: memory beyond it that was never written. Pages of zeros send next to nothing, but the sender goes
            through them at the host's scan speed, at the end of the first round, and counts them as remaining.
        dirty_granule_bytes: granule of dirty tracking (4 KiB, 64 KiB, 2 MiB, 16 MiB or 1 GiB): a first write dirties
            so much and charges it, whole, to the vCPU's quota. KVM on x86 tracks 4 KiB once the log is on, whatever
            pages back the guest; arm64 and POWER may track larger ones. Called ``page`` before, which is still read.
        backing_bytes: pages that back the guest on the host, none smaller than the granule. It changes nothing: KVM on
            x86 splits them while the log is on. None: not said.
    """

    OLD_NAMES: ClassVar[Mapping[str, str]] = {"page": "dirty_granule", "page_bytes": "dirty_granule_bytes"}

    memory_bytes: Annotated[Bytes, AfterValidator(MEMORY_BYTES.check)]
    zero_bytes: Bytes = 0
    dirty_granule_bytes: PageSize = BASE_PAGE_BYTES
    backing_bytes: PageSize | None = None

    @model_validator(mode="after")
    def _is_backed_by_whole_granules(self) -> VirtualMachine:
        if self.backing_bytes is not None and self.backing_bytes < self.dirty_granule_bytes:
            raise BadInputError(
                f"backing {format_bytes(self.backing_bytes)} is smaller than the granule of dirty tracking,"
                f" {format_bytes(self.dirty_granule_bytes)}"
            )
        return self
