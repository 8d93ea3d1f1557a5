from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from dqgym.backends.kvm.host.probe import kvm_problem
from dqgym.backends.kvm.machine.api import Kernel


@pytest.fixture
def real_kvm() -> Kernel:
    """This host's KVM; without it the test is skipped, and the reason is what is missing."""
    problem = kvm_problem()
    if problem is not None:
        pytest.skip(problem)
    return Kernel()


@pytest.fixture
def blocked_signals() -> Iterator[None]:
    """For tests that reset rings or run vCPUs in their own thread: no signal may be pending there."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
