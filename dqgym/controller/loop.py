"""The control loop: telemetry in, command out, until every migration has ended.

Evaluation, the simulator and the real controller all run this one loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dqgym.arrays import FloatArray
from dqgym.backends.base import Backend, Outcomes
from dqgym.errors import BadInputError
from dqgym.telemetry.command import Command
from dqgym.telemetry.telemetry import Telemetry
from dqgym.throttles.base import Throttle, survey_of

if TYPE_CHECKING:
    from dqgym.scenario import Scenario

Observer = Callable[[FloatArray, Command, Telemetry], None]
"""Called after each step with the interval [N] in seconds, the command, and the telemetry that came of it."""
OnProgress = Callable[[int, int], None]
"""Called after each step with the number of migrations that have ended, and N."""


def run_migrations(
    backend: Backend,
    scenarios: Sequence[Scenario],
    throttle: Throttle,
    seeds: Sequence[int],
    observer: Observer | None = None,
    on_progress: OnProgress | None = None,
) -> Outcomes:
    """Migrate every scenario side by side under one throttle, and say what became of them.

    The backend stays open for the next run; whoever made it closes it. On an error, Ctrl-C included, it is closed here,
    so that no migration goes on without a throttle.

    Raises:
        BadInputError: no scenarios, another number of seeds, more migrations than the backend runs side by side, or a
            throttle that wants a survey on a backend that makes none.
    """
    n = _checked_count(backend, scenarios, seeds)
    survey = survey_of(throttle)
    if survey is not None and not backend.capabilities.survey:
        raise BadInputError(f"backend {backend.name!r} makes no surveys; throttle {throttle.name!r} wants one")
    try:
        telemetry = backend.start(scenarios, seeds, survey)
        throttle.reset(backend.facts)
        interval_s = throttle.control_interval.seconds(backend.facts)
        while not telemetry.done.all():
            command = throttle.act(telemetry)
            telemetry = backend.step(command, interval_s)
            if observer is not None:
                observer(interval_s, command, telemetry)
            if on_progress is not None:
                on_progress(int(telemetry.done.sum()), n)
        return backend.outcomes()
    except BaseException:
        backend.close()
        raise


def _checked_count(backend: Backend, scenarios: Sequence[Scenario], seeds: Sequence[int]) -> int:
    n, most = len(scenarios), backend.capabilities.max_migrations
    if n == 0:
        raise BadInputError("scenarios: there must be at least one")
    if len(seeds) != n:
        raise BadInputError(f"seeds: got {len(seeds)} for {n} scenarios; there must be one each")
    if most is not None and n > most:
        raise BadInputError(f"scenarios: got {n}; backend {backend.name!r} runs at most {most} side by side")
    return n
