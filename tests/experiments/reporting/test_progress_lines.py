"""Plain lines about long work, on an injected clock."""

import pytest

from experiments.reporting import progress
from experiments.reporting.progress_lines import ProgressLines, duration


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def said():
    return []


def test_a_line_at_the_start_one_a_minute_one_at_the_end(clock, said):
    with ProgressLines("training", 1000, "frames", write=said.append, clock=clock) as lines:
        for second in range(200):
            clock.now_s = 1000.0 + second
            lines.update(5 * second)
    assert said == [
        "training: 1,000 frames to do",
        "training: 1 min, 300 of 1,000 frames (30%), about 2 min left",
        "training: 2 min, 600 of 1,000 frames (60%), about 1 min left",
        "training: 3 min, 900 of 1,000 frames (90%), about 20 s left",
        "training: ended after 3 min",
    ]


def test_what_was_done_before_a_resume_does_not_count_as_pace(clock, said):
    with ProgressLines("training", 1000, "frames", write=said.append, clock=clock) as lines:
        lines.update(800)
        clock.now_s += 60
        lines.update(900)
    assert said[1] == "training: 1 min, 900 of 1,000 frames (90%), about 1 min left"


def test_what_has_no_known_end_says_what_it_does(clock, said):
    with ProgressLines("fitting", write=said.append, clock=clock) as lines:
        clock.now_s += 61
        lines.update(0, "evaluation 12")
    assert said == ["fitting: begun", "fitting: 1 min, evaluation 12", "fitting: ended after 1 min"]


@pytest.mark.parametrize("steps", [0, 1])
def test_a_failure_is_left_to_its_own_message_and_before_any_work_nothing_is_said(clock, said, steps):
    def failing():
        with ProgressLines("migrations", 4, "runs", write=said.append, clock=clock) as lines:
            for _ in range(steps):
                lines.update(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert said == ["migrations: 4 runs to do"] * steps


def test_without_a_first_line_short_work_is_silent(clock, said):
    with ProgressLines("vm under none", begin=False, write=said.append, clock=clock) as lines:
        clock.now_s += 59
        lines.update(0, "round 2")
    assert said == []
    with ProgressLines("vm under none", begin=False, write=said.append, clock=clock) as lines:
        clock.now_s += 60
        lines.update(0, "round 3")
    assert said == ["vm under none: 1 min, round 3", "vm under none: ended after 1 min"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (3540, "59 min"), (3599, "1 h 00 min"), (3900, "1 h 05 min")],
)
def test_durations_are_said_as_people_say_them(seconds, said):
    assert duration(seconds) == said


def test_runs_count_in_parts(capsys, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "ProgressLines", lambda *about: ProgressLines(*about, clock=clock))
    with progress.showing_progress(4) as on_run:
        first = on_run("mixed", "none")
        first(0, 10)
        first(10, 10)
        on_progress = on_run("mixed", "tuned-rule")
        clock.now_s += 60
        on_progress(5, 10)
    assert capsys.readouterr().err.splitlines() == [
        "migrations: 4 runs to do",
        "migrations: 1 min, 2 of 4 runs (38%), about 2 min left, mixed: tuned-rule",
        "migrations: ended after 1 min",
    ]


@pytest.mark.parametrize("show", [progress.showing_progress, progress.saying_frames])
def test_nothing_is_said_where_a_command_is_to_be_quiet(show, capsys):
    with show(3, False):
        pass
    assert capsys.readouterr() == ("", "")
