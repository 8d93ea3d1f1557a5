from __future__ import annotations

import errno
import json
import os
import re
import signal
import threading
import time

import pytest
from typer.testing import CliRunner

from dqgym.backends.kvm.backend import MigrationFailedError
from dqgym.backends.kvm.host import probe, probe_guest
from dqgym.backends.kvm.host.probe import KvmUnavailableError, kvm_problem, require_kvm
from dqgym.backends.kvm.host.probe_checks import State
from dqgym.backends.kvm.machine import api
from dqgym.backends.kvm.machine.api import Kernel
from dqgym.backends.kvm.machine.machine import MachineFailedError
from dqgym.backends.kvm.machine.quota_abi import ABIS
from dqgym.backends.kvm.migration.proof import ProofFailedError
from experiments import errors
from experiments.cli.app import app
from tests.backends.kvm.simulated_kernel import SimulatedKernel

NAMES = [
    "host",
    "device",
    "permission",
    "KVM API",
    "dirty ring",
    "immediate exit",
    "kernel module",
    "vCPUs",
    "guest",
    "ring granule",
    "self-test",
    "kick",
    "dirty-quota patches",
]


@pytest.fixture(autouse=True)
def plain_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a container, and an Intel processor."""
    monkeypatch.setattr(probe, "in_container", lambda: False)
    monkeypatch.setattr(probe, "cpu_flags", lambda: frozenset({"vmx", "fpu"}))


def details(report: probe.ProbeReport) -> dict[str, str]:
    return {check.name: check.detail for check in report.checks}


# --- what is missing --------------------------------------------------------------------------------------------------

INSTEAD = r", or use the model \(--backend model\)$"


@pytest.mark.parametrize(
    ("options", "name", "line"),
    [
        (
            {"open_errno": errno.ENOENT},
            "device",
            r"^there is no /dev/kvm: load the kernel module \(sudo modprobe kvm_intel\)" + INSTEAD,
        ),
        ({"open_errno": errno.ENXIO}, "device", "^nothing is behind /dev/kvm: load the kernel module"),
        (
            {"open_errno": errno.EACCES},
            "permission",
            r"^this user may not read and write /dev/kvm: join its group \(sudo usermod -aG kvm \$USER\)"
            " and log in again" + INSTEAD,
        ),
        ({"open_errno": errno.EPERM}, "permission", "start the container with --device /dev/kvm, and as a user who"),
        ({"open_errno": errno.EMFILE}, "permission", r"^/dev/kvm cannot be opened \(Too many open files\): look into"),
        ({"api_version": 11}, "KVM API", "^KVM has API version 11, not 12: use Linux 5.11 or later"),
        (
            {"has_ring": False},
            "dirty ring",
            r"^KVM has no dirty ring: use Linux 5.11 or later \(this is .+\), built with CONFIG_HAVE_KVM_DIRTY_RING"
            + INSTEAD,
        ),
        ({"has_immediate_exit": False}, "immediate exit", "^KVM cannot leave a guest immediately: use Linux 4.13"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(options: dict[str, int], name: str, line: str) -> None:
    kernel = SimulatedKernel(**options)
    with pytest.raises(KvmUnavailableError, match=line) as caught:
        require_kvm(kernel)
    assert "\n" not in str(caught.value)
    assert kvm_problem(kernel) == str(caught.value)
    report = probe.probe(kernel)
    assert not report.usable
    assert report.problem == str(caught.value)
    assert [check.name for check in report.checks] == NAMES[: NAMES.index(name) + 1]
    assert [check.holds for check in report.checks] == [True] * NAMES.index(name) + [False]
    assert report.checks[-1].remedy
    assert report.rates is None
    assert kernel.open_descriptors == {}


@pytest.mark.parametrize(
    ("flags", "container", "remedy"),
    [
        ({"svm"}, False, r"load the kernel module \(sudo modprobe kvm_amd\)"),
        (set(), False, "the processor shows neither VT-x nor AMD-V, turn it on in the firmware"),
        ({"hypervisor"}, False, r".*, turn it on in the host of this virtual machine \(nested virtualisation\)"),
        ({"vmx"}, True, "start the container with --device /dev/kvm, on a host that has it"),
    ],
)
def test_the_remedy_for_no_device_depends_on_the_host(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], container: bool, remedy: str
) -> None:
    monkeypatch.setattr(probe, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(probe, "in_container", lambda: container)
    with pytest.raises(KvmUnavailableError, match="there is no /dev/kvm: " + remedy):
        require_kvm(SimulatedKernel(open_errno=errno.ENOENT))


@pytest.mark.parametrize(("system", "processor"), [("Linux", "aarch64"), ("Darwin", "x86_64"), ("Windows", "AMD64")])
def test_another_system_or_processor_is_named(monkeypatch: pytest.MonkeyPatch, system: str, processor: str) -> None:
    monkeypatch.setattr(probe.platform, "system", lambda: system)
    monkeypatch.setattr(probe.platform, "machine", lambda: processor)
    monkeypatch.setattr(api, "Kernel", lambda: pytest.fail("nobody is to be asked"))
    with pytest.raises(KvmUnavailableError, match=f"^{system} on {processor} is not 64-bit Linux on x86-64: use such"):
        require_kvm()
    assert [check.name for check in probe.probe().checks] == ["host"]


# --- what does not work -----------------------------------------------------------------------------------------------


def test_a_host_whose_processor_is_taken_makes_no_virtual_machine() -> None:
    kernel = SimulatedKernel(create_vm_errno=errno.EBUSY)
    require_kvm(kernel)
    report = probe.probe(kernel)
    assert re.match(r"KVM makes no virtual machine \(.*busy\): end other hypervisors", str(report.problem))
    assert report.checks[-1].state is State.FAILED
    assert kernel.open_descriptors == {}


@pytest.mark.parametrize(
    ("fault", "value", "name", "said"),
    [
        ("ends_with", api.EXIT_SHUTDOWN, "guest", "the guest was left with exit reason 8"),
        (
            "forgotten_pages",
            frozenset(range(100)),
            "self-test",
            r"pages stored to: not as they must be \(\d+ missing, 0 too many\)",
        ),
        ("most_protected", 50, "ring granule", "the reset protected 50 pages of 192"),
    ],
)
def test_a_host_that_loses_pages_is_found_out(fault: str, value: object, name: str, said: str) -> None:
    kernel = SimulatedKernel()
    setattr(kernel, fault, value)
    report = probe.probe(kernel)
    assert [check.name for check in report.checks] == NAMES[: NAMES.index(name) + 1]
    assert report.checks[-1].state is State.FAILED
    assert not report.usable
    assert re.match(f"{said}: do not migrate under KVM here", str(report.problem))
    assert kernel.open_descriptors == {}


def test_a_guest_that_never_ends_is_kicked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_guest, "_TIMEOUT_S", 0.2)
    kernel = SimulatedKernel()
    kernel.never_done = True
    report = probe.probe(kernel)
    assert str(report.problem).startswith("the guest was not done after 0.2 s: ")
    assert kernel.open_descriptors == {}
    assert "kvm-probe" not in [thread.name for thread in threading.enumerate()]


# --- what works -------------------------------------------------------------------------------------------------------


def test_a_simulated_kernel_will_do() -> None:
    kernel = SimulatedKernel()
    report = probe.probe(kernel)
    assert (report.usable, report.problem) == (True, None)
    assert [check.name for check in report.checks] == NAMES
    said = details(report)
    assert said["ring granule"] == "a ring of 256 entries, the smallest, is full after 192 pages; 64 stay in reserve"
    assert said["vCPUs"] == "2 recommended, 1024 at most"
    assert said["dirty-quota patches"] == "none: the dirty ring serves as the quota"
    assert report.checks[-1].state is State.NOT_NEEDED
    assert kernel.open_descriptors == {}


def test_a_processor_with_a_log_of_its_own_keeps_more_in_reserve() -> None:
    report = probe.probe(SimulatedKernel(modification_log_entries=512))
    assert report.usable
    assert report.rates is not None
    assert (report.rates.ring_entries, report.rates.granule_pages) == (1024, 512)
    assert "page-modification logging" in details(report)["ring granule"]


def test_kernels_whose_ring_has_one_capability_only_serve() -> None:
    report = probe.probe(SimulatedKernel(has_acquire_release=False))  # Linux 5.11 to 6.0
    assert report.problem is None


@pytest.mark.parametrize("abi", ABIS, ids=lambda abi: abi.name)
def test_patches_are_named_and_that_nobody_has_tried_them(abi) -> None:
    report = probe.probe(SimulatedKernel(quota=abi))
    assert report.usable
    assert details(report)["dirty-quota patches"] == f"{abi.name}; dqgym has not yet been run on such a kernel"


def test_a_module_that_is_built_in_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "kvm_modules", list)
    report = probe.probe(SimulatedKernel())
    assert report.usable
    assert details(report)["kernel module"] == "built into the kernel"


def test_a_report_is_plain_json() -> None:
    report = probe.probe(SimulatedKernel())
    document = json.loads(json.dumps(report.document(), allow_nan=False))
    assert document == report.document()
    assert set(document) == {"usable", "problem", "checks", "rates"}
    assert document["checks"][0] == {"name": "host", "state": "ok", "detail": "Linux on x86_64", "remedy": ""}
    assert all(value > 0 for value in document["rates"].values())


def test_short_times_in_words() -> None:
    assert [probe.describe_time(seconds) for seconds in (35.2e-6, 2.2e-3, 0.25)] == ["35.2 µs", "2.2 ms", "250 ms"]


# --- this host --------------------------------------------------------------------------------------------------------


def test_this_host_passes_its_self_test_and_nothing_is_left_behind(real_kvm: Kernel) -> None:
    descriptors, threads = os.listdir("/proc/self/fd"), threading.enumerate()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    began_s = time.monotonic()
    report = probe.probe(real_kvm)
    assert time.monotonic() - began_s < 3.0
    assert report.problem is None
    assert [check.name for check in report.checks] == NAMES
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)
    assert threading.enumerate() == threads
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


def test_whether_kvm_is_there_is_known_in_a_moment(real_kvm: Kernel) -> None:
    def took_s() -> float:
        began_s = time.perf_counter()
        require_kvm(real_kvm)
        return time.perf_counter() - began_s

    assert min(took_s() for _ in range(5)) < 0.005


# --- the command ------------------------------------------------------------------------------------------------------


def run(monkeypatch: pytest.MonkeyPatch, kernel: SimulatedKernel, *options: str):
    monkeypatch.setattr(api, "Kernel", lambda: kernel)
    return CliRunner().invoke(app, ["probe", *options])


def test_the_command_shows_every_check_and_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, SimulatedKernel())
    assert result.exit_code == 0
    assert all(name in result.stdout for name in NAMES)
    assert "Migrations under KVM can run here." in result.stdout
    assert "one exit to user space and back" in result.stdout


def test_the_command_prints_json(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, SimulatedKernel(), "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["usable"] is True
    assert [check["name"] for check in document["checks"]] == NAMES


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_command_fails_where_something_is_missing_and_shows_what(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    result = run(monkeypatch, SimulatedKernel(open_errno=errno.EACCES), *options)
    assert result.exit_code == errors.ExitCode.FAILED
    assert "usermod -aG kvm" in result.stdout
    assert result.stderr.startswith("error: migrations under KVM cannot run here: this user may not read and write")
    assert len(result.stderr.splitlines()) == 1
    if options:
        assert json.loads(result.stdout)["usable"] is False


def test_errors_of_the_package_that_mean_a_failed_run_are_shown_as_a_message() -> None:
    for kind in (KvmUnavailableError, MachineFailedError, MigrationFailedError, ProofFailedError):
        error = kind("no such luck")
        assert errors.exit_code(error) is errors.ExitCode.FAILED
        assert errors.message(error) == "no such luck"
    assert errors.exit_code(RuntimeError("a bug")) is None
