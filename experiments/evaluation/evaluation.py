"""Paired evaluation: every throttle migrates the same scenarios with the same seeds."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from dqgym.backends.base import Backend
from dqgym.controller.guard import Takeover
from dqgym.controller.loop import OnProgress, run_migrations
from dqgym.controller.run import run_all
from dqgym.controller.timeline import Timeline, TimelineRecorder
from dqgym.results.rows import Row, TakeoverCount
from dqgym.scenario import Scenario
from dqgym.scenario.suites import Suite, get_suite
from experiments.evaluation.journal import Finished, Journal, RunKey, find
from experiments.evaluation.scenario_sources import draw_scenarios, on_host
from experiments.evaluation.throttle_sources import ThrottleSource
from experiments.kept_suites import Files, files_of, require_told_apart
from experiments.results.rows import rows_from_outcomes

log = logging.getLogger(__name__)

MakeBackend = Callable[[int | None], Backend]
"""Opens a backend with a number of vCPU slots; None: as many as the scenarios need."""


@dataclass(frozen=True)
class Task:
    """Migrations that every throttle is given: the scenarios of a suite, and a seed for each."""

    suite: str
    scenarios: tuple[Scenario, ...]
    seeds: tuple[int, ...]
    files: Files = ()
    """Of a suite of the user's own: what was read."""

    @property
    def vcpu_slots(self) -> int:
        """As many as the widest scenario needs."""
        return max(scenario.vcpus for scenario in self.scenarios)


@dataclass(frozen=True)
class Evaluation:
    """What became of all throttles on all tasks."""

    rows: tuple[Row, ...]
    takeovers: tuple[TakeoverCount, ...]


def draw_task(
    suite: str,
    count: int | None,
    seed: int,
    repetitions: int = 1,
    max_vcpus: int | None = None,
    scaled: bool = False,
    host: str | None = None,
) -> Task:
    """The migrations of a suite (``draw_scenarios``), each of them ``repetitions`` times, with other seeds.

    With a ``host``, a name or a file, all are played on it.

    Raises:
        BadInputError: there is no such suite; else as ``draw_scenarios`` and ``on_host``.
    """
    return _task(get_suite(suite), count, seed, repetitions, max_vcpus, scaled, host)


def _task(
    suite: Suite,
    count: int | None,
    seed: int,
    repetitions: int,
    max_vcpus: int | None,
    scaled: bool,
    host: str | None,
) -> Task:
    scenarios = on_host(draw_scenarios(suite, count, seed, max_vcpus, scaled), host) * repetitions
    return Task(suite.name, tuple(scenarios), tuple(range(seed, seed + len(scenarios))), files_of([suite]))


def draw_tasks(
    suites: Iterable[str],
    count: int | None,
    seed: int,
    repetitions: int = 1,
    max_vcpus: int | None = None,
    scaled: bool = False,
    host: str | None = None,
) -> list[Task]:
    """``draw_task`` of each suite, once. BadInputError also where two different ones have the same name."""
    chosen = list(map(get_suite, dict.fromkeys(suites)))
    require_told_apart(chosen)
    once = {suite.name: suite for suite in chosen}.values()
    return [_task(suite, count, seed, repetitions, max_vcpus, scaled, host) for suite in once]


def count_runs(throttles: Iterable[ThrottleSource], tasks: Sequence[Task], preferences: Sequence[float]) -> int:
    """How many runs ``evaluate`` takes."""
    return len(tasks) * sum(len(preferences) if one.heeds_preference else 1 for one in throttles)


def evaluate(
    throttles: Sequence[ThrottleSource],
    tasks: Sequence[Task],
    preferences: Sequence[float],
    make_backend: MakeBackend,
    on_run: Callable[[str, str], OnProgress | None],
    journal: Journal | None = None,
) -> Evaluation:
    """Run every throttle on every task: one that heeds the preference once at each, others once for all.

    Args:
        throttles: with distinct names.
        tasks: the migrations.
        preferences: at which the cost is taken.
        make_backend: opens a backend; every run has its own.
        on_run: called with the suite and the throttle before each run; returns a callback for its progress.
        journal: holds runs that are finished already, which are not run again, and gets the others.

    Raises:
        BadInputError: a throttle does not serve a scenario; nothing has run then.
    """
    for throttle in throttles:
        throttle.require_serves((scenario for task in tasks for scenario in task.scenarios), of_suites=True)
    finished: list[Finished] = []
    for task in tasks:
        for throttle in throttles:
            separately = [(value,) for value in preferences]
            for costed_at in separately if throttle.heeds_preference else [tuple(preferences)]:
                on_progress = on_run(task.suite, throttle.name)
                key = RunKey(task.suite, throttle.name, costed_at, throttle.training_seed, throttle.digest)
                done = None if journal is None else find(journal, key)
                if done is not None:
                    log.info("%s under %s is kept from an earlier evaluation", task.suite, throttle.name)
                else:
                    done = _run(throttle, task, key, make_backend, on_progress)
                    if journal is not None:
                        journal.add(done)
                finished.append(done)
    return Evaluation(
        tuple(row for done in finished for row in done.rows),
        tuple(takeover for done in finished for takeover in done.takeovers),
    )


def _run(
    throttle: ThrottleSource, task: Task, key: RunKey, make_backend: MakeBackend, on_progress: OnProgress | None
) -> Finished:
    """Every migration of a task under one throttle, asked to serve the first of the preferences."""
    suite, name, costed_at, training_seed, _ = key
    log.info("%s: %d migrations under %s", suite, len(task.scenarios), name)
    ready = throttle.ready(costed_at[0], task.scenarios, task.seeds)
    with closing(make_backend(throttle.vcpu_slots or task.vcpu_slots)) as backend:
        run = run_all(backend, task.scenarios, ready, task.seeds, on_progress=on_progress)
    scenarios = [scenario.name for scenario in task.scenarios]
    rows = rows_from_outcomes(run.outcomes, suite, scenarios, name, task.seeds, costed_at, training_seed)
    takeovers = _counted(run.takeovers, suite, name, costed_at[0])
    return Finished(suite, name, costed_at, tuple(rows), tuple(takeovers), training_seed, key.policy_digest)


def _counted(takeovers: Sequence[Takeover], suite: str, throttle: str, preference: float) -> list[TakeoverCount]:
    counts = Counter(one.reason.value for one in takeovers)
    return [TakeoverCount(suite, throttle, preference, reason, count) for reason, count in counts.items()]


def trace_migration(
    throttle: ThrottleSource, task: Task, index: int, preference: float, make_backend: MakeBackend
) -> Timeline:
    """The time line of one migration of a task."""
    # As many slots as in the whole task: the model is compiled for each number of them.
    with closing(make_backend(throttle.vcpu_slots or task.vcpu_slots)) as backend:
        recorder = TimelineRecorder(lambda: backend.facts)
        scenario, seed = task.scenarios[index], task.seeds[index]
        ready = throttle.ready(preference, [scenario], [seed])
        run_migrations(backend, [scenario], ready, [seed], observer=recorder)
        return recorder.timeline()
