"""The limits that a migration must keep to, and the writes that no vCPU is charged for."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from dqgym.errors import BadInputError
from dqgym.scenario.bounds import DEADLINE_PASS_TIMES
from dqgym.scenario.record import Bytes, Duration, RateOrZero, Record


class Limits(Record):
    """The limits that the user accepts.

    Attributes:
        downtime_s: the pause at the end; the migration completes when remaining <= bandwidth * downtime limit.
        deadline_pass_times: the migration has failed when it takes longer than this many pass times (T0); above 1, at
            most 1000; a pass counts as 0.1 s at least, a send window. In seconds no more than ``dqgym.scenario.bounds`` allows.
    """

    downtime_s: Duration = 0.3
    deadline_pass_times: Annotated[float, Field(gt=1), AfterValidator(DEADLINE_PASS_TIMES.check)] = 20.0


class DeviceWrites(Record):
    """Uniformly random writes by the hypervisor and by devices: they dirty pages and are charged to no vCPU.

    Attributes:
        rate_bytes_per_s: 4 KiB times the page stores per second; 0 for none.
        working_set_bytes: the memory they go to, beside the vCPUs' regions; 0 for none.
    """

    rate_bytes_per_s: RateOrZero = 0.0
    working_set_bytes: Bytes = 0

    @model_validator(mode="after")
    def _both_or_none(self) -> DeviceWrites:
        if (self.rate_bytes_per_s > 0) != (self.working_set_bytes > 0):
            raise BadInputError(
                f"device rate ({self.rate_bytes_per_s!r} bytes/s) and working set ({self.working_set_bytes!r} bytes)"
                " must both be positive, or both be 0"
            )
        return self
