"""Fitting the global parameters to Table A, all rows together, and with a shape of machine held out.

What is made small is a sum over rows of a loss of ln(model / letter), in which a row that is far off weighs less than
in a sum of squares. How far the parameters are from the middles of their bounds is added in the same way: it keeps
those that the rows at hand say little about where they are plausible. Rows that never converge say nothing about times,
so they are left out; whether they still do not converge is for the comparison afterwards to show.

Rounds are whole, so times change in small jumps. A least-squares fit finds the valley; a simplex search, which needs no
derivatives, then looks around in it for the costs of a quota, which are the ones that do not matter to ``current`` and
so are cheap to try.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares, minimize

from dqgym.arrays import FloatArray
from dqgym.model.parameters import ModelParameters
from dqgym.scenario import Limits
from dqgym.scenario.limits import pass_times
from dqgym.scenario.suites.cover_letter import LetterRow, letter_rows, letter_scenario
from dqgym.throttles.dirty_quota import DirtyQuotaOptions
from experiments.calibration.settings import Settings
from experiments.reporting.letter_rows import LETTER_TIME_S

RATIO = ("dirty-quota", "ratio")
"""The option of a throttle that is fitted along."""
BOUNDS: dict[str, tuple[float, float]] = {
    "write_bytes_per_s": (0.5e9, 20e9),
    "fault_s": (0.02e-6, 1.5e-6),
    "exit_bytes_per_s": (20e6, 2e9),
    "contention": (1e-3, 0.3),
    "ratio": (1.0, 3.0),
}
"""Bounds of the fitted parameters: speeds of one core, a fault between a cache miss and what row 13 allows."""
HOST = ("write_bytes_per_s", "fault_s")
"""The parameters that matter without a dirty-rate limit: nothing exits then. The first ones of ``BOUNDS``."""
_OF_MODEL = tuple(BOUNDS)[:-1]
MOST_STEPS = 8
LOSS_SCALE = 0.05
"""Deviations above this weigh less than their square: rows of the letter that should be alike differ by that much."""
PRIOR_DEVIATION = 0.1
"""Weight of a parameter that is one standard deviation from the middle of its bounds (of logarithms; the bounds are
two away): as much as a row that is off by this. Without the rows of 512 GB, contention would run to its bound."""
DIFFERENCE = 0.05
"""Change of a parameter's logarithm for its derivative."""
MOST_TRIALS = 120
"""Of the simplex search."""
DEADLINE_PASS_TIMES = 12.0
"""No row that converges takes longer than 8 pass times; the fit need not wait for 20."""

Shape = tuple[int, int]
"""Memory in GB and number of threads."""
OnEvaluation = Callable[[int, float], None]
"""Called with the number of evaluations so far, and the mean \\|ln(model / letter)\\| of the last one."""


@dataclass(frozen=True)
class HeldOut:
    """A fit without the rows of one shape.

    Attributes:
        shape: memory in GB and threads.
        settings: as fitted.
        errors: model / letter - 1 on the rows held out, by throttle and scenario.
    """

    shape: Shape
    settings: Settings
    errors: dict[str, dict[str, float]]


class TableFit:
    """Fits settings to Table A; keeps every evaluation, so that fits of other rows need fewer.

    Args:
        start: settings to begin with; what is not fitted stays.
        on_evaluation: progress.
    """

    def __init__(self, start: Settings, on_evaluation: OnEvaluation | None = None) -> None:
        self._start = start
        self._on_evaluation = on_evaluation
        self._rows = {throttle: _fitted_rows(throttle) for throttle in LETTER_TIME_S}
        self._deviations: dict[tuple[str | float, ...], FloatArray] = {}
        self._evaluations = 0

    def fit(self) -> Settings:
        """The settings that fit all rows best."""
        return self._fit(self._start, held_out=None)

    def leave_one_out(self, fitted: Settings) -> list[HeldOut]:
        """A fit without each shape in turn, each beginning with ``fitted``."""
        shapes = dict.fromkeys(_shape(row) for row in letter_rows().values())
        return [self._held_out(fitted, shape) for shape in shapes]

    def _held_out(self, fitted: Settings, shape: Shape) -> HeldOut:
        settings = self._fit(fitted, held_out=shape)
        errors = {
            throttle: {
                row.scenario: math.expm1(deviation)
                for row, deviation in zip(rows, self._deviation(throttle, settings), strict=True)
                if _shape(row) == shape
            }
            for throttle, rows in self._rows.items()
        }
        return HeldOut(shape, settings, errors)

    def _fit(self, start: Settings, held_out: Shape | None) -> Settings:
        def residuals(logarithms: FloatArray) -> FloatArray:
            settings = _with_values(start, np.exp(logarithms))
            deviations = [
                deviation
                for throttle, rows in self._rows.items()
                for row, deviation in zip(rows, self._deviation(throttle, settings), strict=True)
                if _shape(row) != held_out
            ]
            self._evaluations += 1
            if self._on_evaluation is not None:
                self._on_evaluation(self._evaluations, float(np.mean(np.abs(deviations))))
            return np.array([*deviations, *_prior_deviations(logarithms)])

        low, high = np.log(list(BOUNDS.values())).T
        begin = np.log(_values(start)).clip(low + 1e-6, high - 1e-6)
        steps = DIFFERENCE / np.maximum(np.abs(begin), 1e-9)  # scipy takes them relative to the value
        valley = least_squares(
            residuals, begin, bounds=(low, high), diff_step=steps, loss="soft_l1", f_scale=LOSS_SCALE,
            x_scale=np.ones(len(begin)), max_nfev=MOST_STEPS, ftol=1e-4, xtol=1e-4,
        ).x  # fmt: skip
        host, quota = valley[: len(HOST)], valley[len(HOST) :]
        corners = quota + DIFFERENCE * np.vstack([np.zeros(len(quota)), np.eye(len(quota))])
        best = minimize(
            lambda logarithms: _soft_loss(residuals(np.concatenate([host, logarithms]))), quota, method="Nelder-Mead",
            bounds=list(zip(low, high, strict=True))[len(HOST) :],
            options={"initial_simplex": corners, "maxfev": MOST_TRIALS, "xatol": 1e-3, "fatol": 1e-6},
        ).x  # fmt: skip
        return _with_values(start, np.exp(np.concatenate([host, best])))

    def _deviation(self, throttle: str, settings: Settings) -> FloatArray:
        """ln(model / letter) of each row that converges in the letter."""
        values = fitted_values(settings)
        matters = HOST if throttle == "current" else tuple(values)
        key: tuple[str | float, ...] = (throttle, *(values[name] for name in matters))
        if key not in self._deviations:
            rows = self._rows[throttle]
            scenarios = [
                letter_scenario(row).model_copy(update={"limits": Limits(deadline=pass_times(DEADLINE_PASS_TIMES))})
                for row in rows
            ]
            model_s = settings.migrate(scenarios, settings.throttle(throttle)).total_time_s
            letter_s = np.array([LETTER_TIME_S[throttle](row) for row in rows])
            self._deviations[key] = np.log(model_s / letter_s)
        return self._deviations[key]


def sources() -> dict[str, str]:
    """The sources of fitted values, for ``save_parameters``."""
    said = "fitted to Table A of the dirty-quota cover letter by `dqgym calibrate --fit`"
    return dict.fromkeys((*_OF_MODEL, ".".join(RATIO)), said)


def fitted_values(settings: Settings) -> dict[str, float]:
    """The fitted values by name; the ratio last."""
    return dict(zip(BOUNDS, _values(settings).tolist(), strict=True))


def _prior_deviations(logarithms: FloatArray) -> FloatArray:
    """The residuals that the parameters add: 0 in the middle of their bounds. No row of the letter is used."""
    low, high = np.log(list(BOUNDS.values())).T
    standard = (high - low) / 4.0
    distances: FloatArray = PRIOR_DEVIATION * (logarithms - (low + high) / 2.0) / standard
    return distances


def _soft_loss(deviations: FloatArray) -> float:
    """The sum that ``least_squares`` makes small with its loss ``soft_l1``."""
    return float(np.sum(np.sqrt(1.0 + (deviations / LOSS_SCALE) ** 2) - 1.0))


def _fitted_rows(throttle: str) -> list[LetterRow]:
    """The rows that converge in the letter, row 9 in the reading that fits."""
    return [
        row for row in letter_rows().values() if not row.likely_misprint and math.isfinite(LETTER_TIME_S[throttle](row))
    ]


def _shape(row: LetterRow) -> Shape:
    return row.memory_gb, row.threads


def _values(settings: Settings) -> FloatArray:
    """In the order of ``BOUNDS``."""
    throttle, option = RATIO
    ratio = settings.throttle_options.get(throttle, {}).get(option, DirtyQuotaOptions().ratio)
    parameters = settings.parameters._asdict()
    return np.array([*(parameters[name] for name in _OF_MODEL), ratio])


def _with_values(settings: Settings, values: FloatArray) -> Settings:
    *of_model, ratio = values.tolist()
    throttle, option = RATIO
    options = {**settings.throttle_options, throttle: {**settings.throttle_options.get(throttle, {}), option: ratio}}
    parameters: ModelParameters = settings.parameters._replace(**dict(zip(_OF_MODEL, of_model, strict=True)))
    return replace(settings, parameters=parameters, throttle_options=options)
