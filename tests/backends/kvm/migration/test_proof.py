import numpy as np
import pytest

from dqgym.backends.kvm.migration.proof import ProofFailedError, evidence, memory_hash, prove, require_exactly_once

PAGES = 16


class Guest:
    """As much of a machine as the proof needs: memory whose pages begin with counters, and what was issued."""

    def __init__(self, seed=0):
        self.memory = np.random.default_rng(seed).integers(0, 256, PAGES * 4096, dtype=np.uint8)
        self.counters = self.memory.view(np.int64)[::512]
        self.counters[:] = 0
        self.issued = np.zeros(PAGES, dtype=np.int64)

    def store(self, *pages):
        np.add.at(self.counters, list(pages), 1)
        np.add.at(self.issued, list(pages), 1)


def moved(source):
    """The image that a destination received, and the guest that runs on from it."""
    image, guest = source.memory.copy(), Guest()
    guest.memory[:] = image
    return image, guest


def test_a_faithful_move_is_proven_with_the_number_of_stores():
    source = Guest()
    source.store(1, 2, 2, 5)
    image, guest = moved(source)
    guest.store(2, 7)
    document, raw = evidence(image, guest)
    proof = prove(source, document, memoryview(raw))
    assert proof.memory_hash == memory_hash(source.memory)
    assert (proof.stores, proof.stores_at_destination) == (6, 2)


@pytest.mark.parametrize("offset", [0, 8, 4095, 9 * 4096 + 100, PAGES * 4096 - 1])
def test_one_wrong_byte_of_the_image_is_found(offset):
    source = Guest()
    image, guest = moved(source)
    image[offset] ^= 1
    with pytest.raises(ProofFailedError, match="hash"):
        prove(source, *_sent(image, guest))


def test_a_store_that_was_lost_and_one_that_was_played_twice_are_told_apart():
    source = Guest()
    image, guest = moved(source)
    guest.store(3, 3, 4)
    guest.counters[3] -= 1
    with pytest.raises(ProofFailedError, match=r"1 of 16 pages .*page 3.*1 stores were lost, 0 were too many"):
        prove(source, *_sent(image, guest))
    guest.counters[3] += 1
    guest.counters[4] += 2
    with pytest.raises(ProofFailedError, match=r"page 4.*0 stores were lost, 2 were too many"):
        prove(source, *_sent(image, guest))


def test_evidence_of_another_size_is_refused():
    source = Guest()
    image, guest = moved(source)
    document, raw = _sent(image, guest)
    with pytest.raises(ProofFailedError, match="bytes, must have"):
        prove(source, document, raw[:-8])


def test_errors_that_cancel_out_over_all_pages_are_found():
    with pytest.raises(ProofFailedError, match="2 of 3 pages"):
        require_exactly_once(np.array([1, 2, 3]), np.array([2, 1, 3]))


def _sent(image, guest):
    document, raw = evidence(image, guest)
    return document, memoryview(raw)
