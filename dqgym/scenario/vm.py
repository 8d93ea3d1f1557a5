"""The virtual machine that is migrated."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from dqgym.errors import BadInputError
from dqgym.scenario.bounds import MEMORY_BYTES
from dqgym.scenario.record import Bytes, Record
from dqgym.units import format_bytes

BASE_PAGE_BYTES = 4096
"""The smallest page, and the unit of a workload's write rate."""
PAGE_SIZES_BYTES = (4096, 65536, 2 * 2**20, 2**30)
"""Sizes in which memory can be mapped: 4 KiB, 64 KiB (arm64), 2 MiB and 1 GiB."""


def _check_page_size(page_bytes: int) -> int:
    if page_bytes not in PAGE_SIZES_BYTES:
        allowed = ", ".join(format_bytes(size) for size in PAGE_SIZES_BYTES)
        raise BadInputError(f"{format_bytes(page_bytes)} is not a page size; allowed: {allowed}")
    return page_bytes


class VirtualMachine(Record):
    """Memory and page size of the guest. Its vCPUs are those of the workload's groups.

    Attributes:
        memory_bytes: guest memory with contents, at least one page, at most 1 PiB.
        zero_bytes: memory beyond it that was never written. Pages of zeros cost next to nothing to send, but the sender
            counts them as remaining until it comes to them, at the end of the first round.
        page_bytes: granule of dirty tracking (4 KiB, 64 KiB, 2 MiB or 1 GiB): a first write dirties one page
            and charges it, whole, to the vCPU's quota (v10 of the dirty-quota patches on arm64).
    """

    memory_bytes: Annotated[Bytes, AfterValidator(MEMORY_BYTES.check)]
    zero_bytes: Bytes = 0
    page_bytes: Annotated[Bytes, AfterValidator(_check_page_size)] = BASE_PAGE_BYTES
