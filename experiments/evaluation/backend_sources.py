"""Backends by their names on the command line."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dqgym.backends.registry import BACKENDS, make_backend, row_of
from dqgym.errors import BadInputError

if TYPE_CHECKING:
    from dqgym.backends.base import Backend
    from experiments.evaluation.evaluation import MakeBackend

log = logging.getLogger(__name__)

BACKEND_HELP = f"Where migrations happen: {', '.join(BACKENDS.shipped)}, or module:Class."
DESTINATION_HELP = "With --backend kvm: HOST:PORT where `dqgym receive` listens; else a process on this host."


def backend_maker(name: str, destination: str | None = None) -> MakeBackend:
    """Makes backends of that name with a number of vCPU slots; what is wrong shows here, not after hours.

    Raises:
        BadInputError: an unknown name, or a destination that cannot be one.
        KvmUnavailableError: this host cannot run virtual machines; the message has the remedy.
    """
    row_of(name)
    log.info("migrations happen on backend %s%s", name, f", towards {destination}" if destination else "")
    if name != "kvm":
        if destination is not None:
            raise BadInputError(f"--destination goes with --backend kvm, not with {name!r}")
        return lambda vcpu_slots: make_backend(name, vcpu_slots=vcpu_slots)

    from dqgym.backends.kvm.backend import KvmBackend
    from dqgym.backends.kvm.host.probe import require_kvm

    require_kvm()
    address = None if destination is None else parse_address(destination)

    def make(vcpu_slots: int | None) -> Backend:
        return KvmBackend(vcpu_slots, address)

    return make


def require_played_host(host: str | None, backend: str) -> None:
    """Raise a BadInputError where a host is named for migrations that happen on a real one."""
    if host is not None and backend == "kvm":
        raise BadInputError(f"--host {host} says what the model plays; it does not go with --backend kvm")


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of a text such as ``10.0.0.2:4444`` or ``[::1]:4444``. BadInputError for another."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise BadInputError(f"{text!r} must be HOST:PORT, with a port from 0 to 65535, for example 127.0.0.1:4444")
    return host.strip("[]"), int(port)
