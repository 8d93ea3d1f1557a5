"""The kernel's own arithmetic is vector code: a scalar loop would compute the same numbers, only slower."""

import numpy as np
import pytest

from dqgym.jit.lane_rows import LANES
from dqgym.model.kernel.plan import plan_lengths
from dqgym.model.kernel.writes import write_pack
from dqgym.model.layout import NUMBERS, Vcpu, Vm
from dqgym.telemetry.encoder import observation_size
from dqgym.telemetry.encoding import TILE_ROWS, encode_vcpus
from tests.jit.assembly import ON_X86, assembly_of, count


@ON_X86
@pytest.mark.slow
@pytest.mark.parametrize("slots", [8, 32])
def test_the_vcpus_of_a_pack_are_worked_on_together(slots):
    vcpu = np.zeros((4, len(Vcpu), slots), dtype=np.float32)
    numbers = np.zeros((1, NUMBERS, LANES), dtype=np.float32)
    pack = (0,) * max(32 // slots, 1)
    products = count(assembly_of(write_pack, vcpu, numbers, pack, 1, (0,) * slots, 0.01), "mul")
    assert products.packed >= 100
    assert products.scalar <= 0.25 * products.packed  # of vCPUs with dirty rings, one after another


@ON_X86
@pytest.mark.slow
def test_the_migrations_of_a_block_are_planned_together():
    state = np.zeros((len(Vm), LANES))
    text = assembly_of(plan_lengths, state, 0.1)
    assert text.count("vdivsd") <= 1  # of what is the same for all of them
    assert text.count("vdivpd") >= 2


@ON_X86
@pytest.mark.slow
@pytest.mark.parametrize("slots", [8, 32])
def test_the_vcpus_of_a_pack_are_encoded_together(slots):
    tiles = np.zeros((4, TILE_ROWS, slots), dtype=np.float32)
    vcpu = np.zeros((4, len(Vcpu), slots), dtype=np.float32)
    numbers = np.zeros((1, NUMBERS, LANES), dtype=np.float32)
    pack, out = (0,) * max(32 // slots, 1), np.zeros((4, observation_size(slots)), dtype=np.float32)
    products = count(assembly_of(encode_vcpus, vcpu, 0, tiles, numbers, pack, out, (0,) * slots), "mul")
    assert products.packed >= 40
    assert products.scalar == 0
