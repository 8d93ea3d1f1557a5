"""What a stopped command says; the records themselves are tested with an evaluation's journal."""

import pytest

from dqgym.errors import RunInterruptedError
from experiments.resuming import saying_how_to_go_on


def test_an_interruption_says_how_to_go_on():
    with pytest.raises(RunInterruptedError, match="2 runs") as told, saying_how_to_go_on(lambda: "2 runs are kept"):
        raise KeyboardInterrupt
    assert isinstance(told.value.__cause__, KeyboardInterrupt)


def test_an_error_stays_what_it_is_and_what_is_kept_is_said_beside_it(capsys):
    with pytest.raises(ZeroDivisionError), saying_how_to_go_on(lambda: "2 runs are kept"):
        raise ZeroDivisionError
    assert capsys.readouterr().err == "2 runs are kept\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_where_nothing_is_kept_nothing_is_said(error, capsys):
    with pytest.raises(error), saying_how_to_go_on(lambda: ""):
        raise error
    assert capsys.readouterr().err == ""


def test_what_is_kept_is_asked_when_the_block_stops():
    kept: list[str] = []

    def work():
        kept.append("one")
        raise KeyboardInterrupt

    with pytest.raises(RunInterruptedError, match="one"), saying_how_to_go_on(lambda: ", ".join(kept)):
        work()
