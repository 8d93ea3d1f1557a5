import pytest

from dqgym.backends.kvm.host.probe import KvmUnavailableError, kvm_problem
from dqgym.backends.model import ModelBackend
from dqgym.backends.registry import BACKENDS, make_backend
from dqgym.model.parameters import DEFAULT_PARAMETERS


@pytest.mark.parametrize("name", BACKENDS.shipped)
def test_every_backend_can_be_made_by_its_name(name):
    if name == "kvm" and (problem := kvm_problem()):
        pytest.skip(problem)
    backend = make_backend(name)
    assert backend.name == name
    assert backend.capabilities.dirty_limit or backend.capabilities.run_share_cap


def test_parameters_and_slots_reach_the_model():
    parameters = DEFAULT_PARAMETERS._replace(fault_s=1e-6)
    backend = make_backend("model", parameters, vcpu_slots=4)
    assert isinstance(backend, ModelBackend)
    assert backend.parameters == parameters
    assert backend.vcpu_slots == 4


def test_a_backend_is_taken_as_it_is():
    backend = ModelBackend()
    assert make_backend(backend) is backend


def test_an_unknown_backend_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"unknown backend 'modle' \(did you mean 'model'\?\)"):
        make_backend("modle")


def test_without_kvm_the_backend_says_what_is_missing(monkeypatch):
    from dqgym.backends.kvm import backend

    def refuse():
        raise KvmUnavailableError("no /dev/kvm")

    monkeypatch.setattr(backend, "require_kvm", refuse)
    with pytest.raises(KvmUnavailableError, match="no /dev/kvm"):
        make_backend("kvm")
