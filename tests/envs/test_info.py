"""The final info: both that write it, against the table of its numbers."""

import numpy as np
import pytest

from dqgym.backends.model import ModelBackend
from dqgym.cost import TERMS
from dqgym.envs.info import FINAL_INFO, FinalInfo, final_info_of, write_final_info
from dqgym.jit.compile import kernel
from dqgym.model.layout import Vcpu, Vm
from dqgym.scenario.suites import get_suite


@kernel
def _written(tile, state, out, slots):
    write_final_info(tile, state, out, slots)


@pytest.mark.slow
def test_the_kernel_writes_every_number():
    tile, state = np.zeros((len(Vcpu), 2), np.float32), np.ones(len(Vm))
    tile[Vcpu.PRESENT] = 1.0
    out = np.full(len(FinalInfo), -1.0)
    _written(tile, state, out, 2)
    assert dict(zip(FINAL_INFO, out != -1.0, strict=True)) == dict.fromkeys(FINAL_INFO, True)


@pytest.mark.slow
def test_outcomes_give_every_number_under_its_name():
    backend = ModelBackend()
    backend.start(get_suite("guest-runtime").scenarios(1), [0])
    terms = {name: float(place) for place, name in enumerate(TERMS)}
    info = final_info_of(backend.outcomes(), terms, preference=0.2, episode_return=-6.0, steps=3)
    assert tuple(info) == FINAL_INFO
    assert [info[f"term_{name}"] for name in TERMS] == [0.0, 1.0, 2.0, 3.0]
    assert (info["cost"], info["preference"], info["episode_return"], info["episode_steps"]) == (6.0, 0.2, -6.0, 3.0)
