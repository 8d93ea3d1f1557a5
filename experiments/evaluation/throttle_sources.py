"""Throttles by their names on the command line: a baseline, a training run, a policy bundle, or one from elsewhere.

``evaluate``, ``simulate`` and ``control`` all make their throttles here, so that a policy is guarded in the same way
wherever it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dqgym.controller.guard import Guard
from dqgym.controller.manifest import MANIFEST_FILE, VcpuSpec, sha256
from dqgym.controller.shipped import SHIPPED_BUNDLE
from dqgym.errors import BadInputError
from dqgym.names import did_you_mean
from dqgym.scenario import Scenario
from dqgym.telemetry.interval import ControlInterval
from dqgym.throttles.base import Throttle
from dqgym.throttles.registry import heeds_preference, make_throttle, options_file, throttle_names
from dqgym.throttles.roles import FALLBACK, OPPONENTS, ORACLE
from dqgym.throttles.table import TABLE, known_names, without_options
from experiments.foreign.sources import foreign_policy, is_zip

if TYPE_CHECKING:  # it needs Gymnasium, which a light installation has not
    from experiments.foreign.policy import ForeignPolicy

SHIPPED = "default"
"""The name of the policy that is shipped."""


@dataclass(frozen=True)
class ThrottleSource:
    """Where fresh throttles of one kind come from: a baseline by its name, a training run or a policy bundle.

    Attributes:
        name: how reports call it.
        learned: a trained policy.
        make: a fresh throttle for a preference; None takes its default.
        serves: how many vCPUs it can throttle; None: any number.
        tuned: a baseline that heeds the preference, as policies do; the others run once for all preferences.
        training_seed: of a policy: policies of one name that differ in it are one method, trained several times.
        digest: of the file with a policy's weights, or with a throttle's options; empty where there is none.
        model_only: it knows the future of the model's migrations, and of no others.
    """

    name: str
    learned: bool
    make: Callable[[float | None], Throttle]
    serves: VcpuSpec | None = None
    tuned: bool = False
    training_seed: int | None = None
    digest: str = ""
    model_only: bool = False

    @property
    def heeds_preference(self) -> bool:
        """Whether it is run at each preference."""
        return self.learned or self.tuned

    @property
    def vcpu_slots(self) -> int | None:
        """The number of vCPU slots that it needs of a backend; None: any."""
        return self.serves.slots if self.serves else None

    def ready(self, preference: float | None, scenarios: Sequence[Scenario], seeds: Sequence[int]) -> Throttle:
        """A fresh throttle for these migrations, which a clairvoyant one is told."""
        from dqgym.oracle.throttle import Clairvoyant  # loads numba

        throttle = self.make(preference)
        if isinstance(throttle, Clairvoyant):
            throttle.foresee(scenarios, seeds)
        return throttle

    def require_serves(self, scenarios: Iterable[Scenario], of_suites: bool = False) -> None:
        """Raise a BadInputError where a scenario has more vCPUs than it serves, or fewer; see ``require_served``."""
        if self.serves is not None:
            require_served(self.name, self.serves, scenarios, of_suites)

    def require_runs_on(self, backend: str) -> None:
        """Raise a BadInputError where a backend is not one for it."""
        if self.model_only and backend != "model":
            raise BadInputError(
                f"throttle {self.name!r} knows the future of the model's migrations: it runs with --backend model,"
                f" not with {backend!r}"
            )


def throttle_source(source: str, survey: ControlInterval | None = None) -> ThrottleSource:
    """What a name, a run directory or a bundle directory stands for; ``survey``: of a policy.

    ``default`` is the policy that is shipped; ``module:name`` is a throttle or a policy of somebody else, and so is a
    zip of Stable-Baselines3.

    Raises:
        BadInputError: it is none of them; the message names the nearest baseline.
        BadInputError: the run or the bundle cannot be used.
    """
    name = without_options(source)
    policy = None if name in TABLE.shipped else foreign_policy(source)
    if policy is not None:
        return _foreign(policy, survey)
    if TABLE.knows(name) and not Path(source).exists():
        make_throttle(source)  # what is wrong with a name shows here
        file = options_file(source)
        return ThrottleSource(
            source,
            False,
            lambda preference: make_throttle(source, preference),
            tuned=heeds_preference(source),
            digest="" if file is None else sha256(file.read_bytes()),
            model_only=name == ORACLE,
        )
    path = bundle_folder(source)
    if (path / MANIFEST_FILE).is_file():
        return _bundle(path, survey)
    if (path / "config.yaml").is_file():
        return _run(path, survey)
    if path.is_dir():
        raise BadInputError(f"{source}: neither a training run (config.yaml) nor a policy bundle ({MANIFEST_FILE})")
    throttles = known_names()
    raise BadInputError(
        f"{source!r} is no throttle, training run or policy bundle{did_you_mean(source, [SHIPPED, *throttles])},"
        " nor a zip of Stable-Baselines3 or module:name;"
        f" throttles: {', '.join(throttles)}; the shipped policy: {SHIPPED}"
    )


def require_served(policy: str, serves: VcpuSpec, scenarios: Iterable[Scenario], of_suites: bool = False) -> None:
    """Raise a BadInputError where a scenario has more vCPUs than a policy serves, or fewer.

    Args:
        policy: its name.
        serves: how many vCPUs it can throttle.
        scenarios: what it is to throttle.
        of_suites: they were taken of suites: the message says how to take others.
    """
    for scenario in scenarios:
        if not serves.low <= scenario.vcpus <= serves.high:
            too_wide = of_suites and scenario.vcpus > serves.high
            raise BadInputError(
                f"scenario {scenario.name!r} has {scenario.vcpus} vCPUs,"
                f" policy {policy!r} serves {serves.low} .. {serves.high}"
                + (f"; --max-vcpus {serves.high} leaves larger ones out" if too_wide else "")
            )


def line_up(
    sources: Sequence[str], with_baselines: bool, survey: ControlInterval | None = None
) -> list[ThrottleSource]:
    """The named throttles, each once, and beside them all baselines.

    With a survey, policies run twice, without it and with it. Throttles of one name are told apart, unless they are
    policies of different training seeds: one method, trained several times.
    """
    named = list(dict.fromkeys(sources))
    throttles = [throttle_source(source) for source in named]
    surveyed = [] if survey is None else [source for source, one in zip(named, throttles, strict=True) if one.learned]
    throttles += [throttle_source(name) for name in throttle_names() if with_baselines and name not in named]
    throttles += [throttle_source(source, survey) for source in surveyed]
    told_apart: list[ThrottleSource] = []
    for one in throttles:
        renamed, number = one, 1
        while any(_same(renamed, other) for other in told_apart):
            number += 1
            renamed = replace(one, name=f"{one.name} ({number})")
        told_apart.append(renamed)
    return told_apart


def _same(one: ThrottleSource, other: ThrottleSource) -> bool:
    """Whether nothing in the results would tell them apart, or a policy would pass for a baseline."""
    seeds = (one.training_seed, other.training_seed)
    return one.name == other.name and (seeds[0] == seeds[1] or None in seeds)


def choose_opponent(throttles: Sequence[ThrottleSource], wanted: str | None) -> str | None:
    """The throttle that statistics compare with; None where none but policies compete, and none is wanted.

    Raises:
        BadInputError: the wanted one does not compete.
    """
    names = [one.name for one in throttles]
    if wanted is not None:
        if wanted not in names:
            competing = ", ".join(dict.fromkeys(names))
            raise BadInputError(
                f"--opponent {wanted!r} does not compete{did_you_mean(wanted, names)}; those who do: {competing}"
            )
        return wanted
    baselines = [one.name for one in throttles if not one.learned]
    usual = [name for name in OPPONENTS if name in baselines]
    return next(iter([*usual, *baselines]), None)


def guarded(throttle: Throttle) -> Guard:
    """A policy behind its guard."""
    return Guard(throttle, make_fallback(FALLBACK))


def make_fallback(name: str) -> Throttle:
    """The throttle that takes over from a policy. BadInputError for an unknown one, and for one that has to know the
    future."""
    if name == ORACLE:
        raise BadInputError(f"fallback {name!r} has to know the future; fallbacks: {', '.join(throttle_names())}")
    return make_throttle(name)


def bundle_folder(source: str | Path) -> Path:
    """Where a policy lies: the shipped one for its name, else the path itself."""
    return SHIPPED_BUNDLE if str(source) == SHIPPED else Path(source)


def require_bundle(source: Path) -> None:
    """Raise a BadInputError where a path is no policy bundle; the message says what it is instead."""
    path = bundle_folder(source)
    if (path / MANIFEST_FILE).is_file():
        return
    if is_zip(str(source)):
        raise BadInputError(f"{source}: a zip, not a policy bundle; `dqgym export {source}` makes a bundle of it")
    if (path / "config.yaml").is_file():
        raise BadInputError(f"{source}: a training run; `dqgym export {source}` makes a bundle of its policy")
    if not path.exists() and TABLE.knows(without_options(str(source))):
        raise BadInputError(
            f"{source}: a throttle or policy, not a policy bundle; `dqgym evaluate` and `dqgym simulate` run it,"
            " `dqgym export` makes a bundle of a policy"
        )
    found = f"has no {MANIFEST_FILE}" if path.is_dir() else "not a folder" if path.exists() else "no such folder"
    hint = "" if path.exists() else did_you_mean(str(source), [SHIPPED])
    raise BadInputError(f"policy bundle {source}: {found}{hint}; the shipped policy is {SHIPPED!r}")


def _bundle(path: Path, survey: ControlInterval | None) -> ThrottleSource:
    from dqgym.controller.bundle import read_bundle

    bundle = read_bundle(path)
    config = bundle.manifest.training_config
    seed = config.get("seed")
    require_surveys(bundle.manifest.name, config, survey)
    return ThrottleSource(
        bundle.manifest.name + _suffix(survey),
        True,
        lambda preference: guarded(bundle.throttle(preference, survey)),
        bundle.manifest.vcpus,
        training_seed=seed if isinstance(seed, int) else None,
        digest=sha256((path / MANIFEST_FILE).read_bytes()),
    )


def _foreign(policy: ForeignPolicy, survey: ControlInterval | None) -> ThrottleSource:
    """A policy of another library, behind the guard like our own."""
    require_surveys(policy.name, policy.training_record(), survey)
    return ThrottleSource(
        policy.name + _suffix(survey),
        True,
        lambda preference: guarded(policy.throttle(preference, survey)),
        policy.vcpus,
        digest=policy.digest,
    )


def _run(path: Path, survey: ControlInterval | None) -> ThrottleSource:
    """The best policy of a training run so far."""
    from experiments.runs.run_directory import RunDirectory
    from experiments.runs.trained_policy import load_trained_policy  # loads torch

    run = RunDirectory.open(path)
    policy = load_trained_policy(run)
    require_surveys(policy.config.name, policy.config.model_dump(mode="json"), survey)
    return ThrottleSource(
        policy.config.name + _suffix(survey),
        True,
        lambda preference: guarded(policy.throttle(preference, survey)),
        policy.vcpus,
        training_seed=policy.config.seed,
        digest=sha256(run.best_model_path.read_bytes()),
    )


def _suffix(survey: ControlInterval | None) -> str:
    return "" if survey is None else "+survey"


def require_surveys(name: str, config: Mapping[str, Any], survey: ControlInterval | None) -> None:
    """A policy that has never seen a survey would not know what to make of it."""
    if survey is not None and not config.get("environment", {}).get("survey"):
        raise BadInputError(f"policy {name!r} was trained without surveys: it cannot use one")
