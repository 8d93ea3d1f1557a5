"""Backends by name."""

from __future__ import annotations

from collections.abc import Callable

from dqgym.backends.base import Backend
from dqgym.backends.model import ModelBackend
from dqgym.backends.reference import ReferenceBackend
from dqgym.errors import BadInputError
from dqgym.model.parameters import DEFAULT_PARAMETERS, ModelParameters
from dqgym.names import unknown


def _kvm_backend(parameters: ModelParameters, vcpu_slots: int | None) -> Backend:
    """Real migrations have no parameters. What they need of the operating system is imported here."""
    from dqgym.backends.kvm.backend import KvmBackend

    return KvmBackend(vcpu_slots)


_MAKERS: dict[str, Callable[[ModelParameters, int | None], Backend]] = {
    "model": ModelBackend,
    "reference": ReferenceBackend,
    "kvm": _kvm_backend,
}
BACKENDS = tuple(_MAKERS)


def make_backend(
    backend: str | Backend, parameters: ModelParameters = DEFAULT_PARAMETERS, vcpu_slots: int | None = None
) -> Backend:
    """The backend of that name, or the one given.

    Raises:
        BadInputError: an unknown name; the message has the nearest one.
        KvmUnavailableError: the host cannot run virtual machines.
    """
    if not isinstance(backend, str):
        return backend
    if backend not in BACKENDS:
        raise BadInputError(unknown("backend", backend, BACKENDS, "backends"))
    return _MAKERS[backend](parameters, vcpu_slots)
