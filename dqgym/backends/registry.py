"""Backends by name."""

from __future__ import annotations

from dqgym.backends.base import Backend
from dqgym.backends.model import ModelBackend
from dqgym.backends.reference import ReferenceBackend
from dqgym.model.parameters import DEFAULT_PARAMETERS, ModelParameters
from dqgym.names import did_you_mean

_CLASSES = {each.name: each for each in (ModelBackend, ReferenceBackend)}
BACKENDS = tuple(_CLASSES)


def make_backend(
    backend: str | Backend, parameters: ModelParameters = DEFAULT_PARAMETERS, vcpu_slots: int | None = None
) -> Backend:
    """The backend of that name, or the one given. ValueError for an unknown name; it has the nearest one."""
    if not isinstance(backend, str):
        return backend
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}{did_you_mean(backend, BACKENDS)}; backends: {BACKENDS}")
    return _CLASSES[backend](parameters, vcpu_slots)
