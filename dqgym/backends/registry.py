"""All backends: a row for each says its name, what it is, and where its class is. A new one is a file and a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dqgym.errors import BadInputError
from dqgym.names import unknown
from dqgym.references import on_first_call

if TYPE_CHECKING:
    from dqgym.backends.base import Backend
    from dqgym.model.parameters import ModelParameters


@dataclass(frozen=True)
class BackendRow:
    """One backend.

    Attributes:
        name: by which it is asked for, and which its objects have.
        summary: a few words.
        make: one with ``vcpu_slots`` slots (None: as many as the widest scenario needs), and ``parameters`` of the
            model where it takes them. Imported on the first call: kernels, and what only some systems have.
        takes_parameters: real migrations have none.
    """

    name: str
    summary: str
    make: Callable[..., Backend]
    takes_parameters: bool = True


_ROWS = (
    BackendRow("model", "the vectorised model", on_first_call("dqgym.backends.model:ModelBackend")),
    BackendRow("reference", "page by page", on_first_call("dqgym.backends.reference:ReferenceBackend")),
    BackendRow("kvm", "real guests", on_first_call("dqgym.backends.kvm.backend:KvmBackend"), takes_parameters=False),
)
BACKENDS = {row.name: row for row in _ROWS}
"""By name, in order."""


def row_of(name: str) -> BackendRow:
    """The row of a backend. BadInputError where there is none; the message has the nearest name."""
    if name not in BACKENDS:
        raise BadInputError(unknown("backend", name, BACKENDS, "backends"))
    return BACKENDS[name]


def make_backend(
    backend: str | Backend, parameters: ModelParameters | None = None, vcpu_slots: int | None = None
) -> Backend:
    """The backend of that name, or the one given.

    Args:
        backend: a name, or an object.
        parameters: of the model; None: the default ones.
        vcpu_slots: of the backend; None: as many as the widest scenario needs.

    Raises:
        BadInputError: an unknown name; the message has the nearest one.
        KvmUnavailableError: the host cannot run virtual machines.
    """
    if not isinstance(backend, str):
        return backend
    row = row_of(backend)
    if parameters is not None and row.takes_parameters:
        return row.make(vcpu_slots=vcpu_slots, parameters=parameters)
    return row.make(vcpu_slots=vcpu_slots)
