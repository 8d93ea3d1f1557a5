"""All backends: a row for each says its name, what it is, and where its class is. A new one is a file and a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from inspect import Parameter, getdoc, signature
from typing import TYPE_CHECKING

from dqgym.errors import BadInputError
from dqgym.references import on_first_call
from dqgym.registered import Registry, by_name

if TYPE_CHECKING:
    from dqgym.backends.base import Backend
    from dqgym.model.parameters import ModelParameters


_PARTS = ("name", "capabilities", "start", "step", "outcomes", "close")
"""Of a backend, before it starts."""


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


def _adopted(name: str, found: object) -> BackendRow:
    """A row of what a plug-in gives: a row, or what makes backends, a class for example."""
    if isinstance(found, BackendRow):
        return replace(found, name=name)
    if not callable(found):
        raise BadInputError(f"backend {name!r} must be a class or a function, not a {type(found).__name__}")
    return backend_row(name, found)


BACKENDS = Registry("backend", "backends", "dqgym.backends", by_name(_ROWS), _adopted)
"""All backends by name: those above and those of others."""


def backend_row(name: str, make: Callable[..., Backend], summary: str = "") -> BackendRow:
    """A row of what makes a backend; what it takes is read from its signature.

    Raises:
        BadInputError: it does not take ``vcpu_slots``.
    """
    parameters = signature(make).parameters
    anything = any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values())
    if "vcpu_slots" not in parameters and not anything:
        raise BadInputError(f"backend {name!r}: what makes it must take vcpu_slots (a number, or None: as many as fit)")
    described = summary or (getdoc(make) or "no description").partition("\n")[0]
    return BackendRow(name, described, make, takes_parameters=anything or "parameters" in parameters)


def row_of(name: str) -> BackendRow:
    """The row of a backend. BadInputError where there is none; the message has the nearest name."""
    return BACKENDS.row(name)


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
        made = row.make(vcpu_slots=vcpu_slots, parameters=parameters)
    else:
        made = row.make(vcpu_slots=vcpu_slots)
    missing = [name for name in _PARTS if not hasattr(made, name)]
    if missing:
        raise BadInputError(f"backend {row.name!r}: a {type(made).__name__} is none: it has no {', '.join(missing)}")
    return made
