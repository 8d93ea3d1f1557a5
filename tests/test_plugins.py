"""Throttles, suites, patterns and backends that a program registers."""

import multiprocessing
import pickle
import subprocess
import sys
from dataclasses import replace
from operator import attrgetter
from typing import Annotated

import gymnasium as gym
import numpy as np
import pytest
from pydantic import Field

import dqgym
from dqgym.backends.model import ModelBackend
from dqgym.backends.registry import BACKENDS
from dqgym.plugins import (
    BadInputError,
    ControlInterval,
    Described,
    FixedSuite,
    HotSet,
    Scenario,
    Style,
    ThrottleOptions,
    free_command,
    get_suite,
    make_backend,
    make_throttle,
    run_all,
)
from dqgym.scenario import ConstantLink, VcpuGroup, VirtualMachine, scenario_from_yaml
from dqgym.scenario.patterns import PATTERNS
from dqgym.scenario.record import FROM_AFAR, FROM_FILE
from dqgym.scenario.suites.registry import SUITES
from dqgym.throttles.registry import throttle_names
from dqgym.throttles.table import TABLE, table_styles

MIB = 2**20


class CapOptions(ThrottleOptions):
    run_share: Annotated[float, Field(gt=0, le=1), Described("of the time")] = 0.3


class Cap:
    """Every vCPU runs a fixed share of the time.

    No more is said.
    """

    control_interval = ControlInterval.parse("0.04 T0")

    def __init__(self, options: CapOptions | None = None) -> None:
        self.options = options or CapOptions()

    def reset(self, facts):
        caps = np.full(facts.present.shape, self.options.run_share, dtype=np.float32)
        self._command = replace(free_command(facts), run_share_cap=caps)

    def act(self, telemetry):
        return self._command


class Needy(Cap):
    def __init__(self, share) -> None:
        super().__init__()


class Seconds(Cap):
    control_interval = 0.1


def registered_and_made(make) -> None:
    dqgym.register_throttle("own", make)
    make_throttle("own")


def scenario(pattern: str = "uniform") -> Scenario:
    return Scenario(
        name="small",
        vm=VirtualMachine(memory_bytes=256 * MIB),
        workload=(VcpuGroup(vcpus=1, pattern=pattern, working_set_bytes=64 * MIB, write_rate_bytes_per_s=20 * MIB),),
        link=ConstantLink(bandwidth_bytes_per_s=64 * MIB),
    )


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch) -> None:
    """What a test adds is known to it alone."""
    for table in (TABLE, SUITES, PATTERNS, BACKENDS):
        monkeypatch.setattr(table, "_added", {})
        monkeypatch.setattr(table, "_referenced", {})


def runtime(throttle: str) -> float:
    outcomes = run_all(make_backend("model"), [scenario()], make_throttle(throttle), [0]).outcomes
    return float(outcomes.guest_runtime[0])


@pytest.mark.slow
def test_a_registered_throttle_is_made_with_its_options_and_named_in_reports():
    dqgym.register_throttle("cap", Cap, style=Style("#123456", "d"))
    assert make_throttle("cap").name == "cap"
    assert make_throttle("cap:run_share=0.5").name == "cap:run_share=0.5"
    assert runtime("cap:run_share=0.5") == pytest.approx(0.5, abs=0.05)
    assert runtime("cap") == pytest.approx(0.3, abs=0.05)
    assert table_styles()["cap"] == Style("#123456", "d")
    assert TABLE.row("cap").summary == "Every vCPU runs a fixed share of the time."
    assert "cap" not in throttle_names()


def test_a_throttle_by_reference_takes_options_after_a_second_colon(monkeypatch):
    monkeypatch.setitem(sys.modules, "of_this_test", sys.modules[__name__])
    name = "of_this_test:Cap"
    assert make_throttle(f"{name}:run_share=0.5").options.run_share == 0.5
    assert make_throttle(name, run_share=0.7).options.run_share == 0.7
    with pytest.raises(BadInputError, match=r"unknown option of throttle 'of_this_test:Cap': 'run_shar' .did you mean"):
        make_throttle(f"{name}:run_shar=0.5")
    with pytest.raises(BadInputError, match="run_share=2"):
        make_throttle(f"{name}:run_share=2")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Needy, "throttle 'own' needs share: what can be chosen is one argument"),
        (Seconds, r"control_interval=0.1 must be a ControlInterval"),
        (lambda: object(), "a object is none: it has no control_interval, reset, act"),
        (lambda: 1 / 0, "throttle 'own' cannot be made: ZeroDivisionError"),
    ],
)
def test_what_is_no_throttle_is_refused_before_it_runs(make, message):
    with pytest.raises(BadInputError, match=message):
        registered_and_made(make)


def test_names_that_ship_cannot_be_taken():
    with pytest.raises(BadInputError, match="throttle 'none' ships with dqgym"):
        dqgym.register_throttle("none", Cap)
    with pytest.raises(BadInputError, match="suite 'mixed' ships with dqgym"):
        dqgym.register_suite("mixed", [scenario()])


@pytest.mark.parametrize("given", [[scenario()], lambda: [scenario()], FixedSuite("x", "y", lambda: (scenario(),))])
def test_a_suite_is_scenarios_a_function_or_a_suite(given):
    dqgym.register_suite("own", given)
    assert get_suite("own").name == "own"
    assert [one.name for one in get_suite("own").scenarios()] == ["small"]


@pytest.mark.parametrize("given", [[], 5, ["mixed"], lambda: None])
def test_what_is_no_suite_is_refused(given):
    with pytest.raises(BadInputError, match="suite 'own' must be a suite, or scenarios"):
        dqgym.register_suite("own", given)


@pytest.mark.slow
def test_environments_know_registered_suites_and_backends():
    class Named(ModelBackend):
        name = "named"

    dqgym.register_suite("own", [scenario()])
    dqgym.register_backend("named", Named)
    env = gym.make("dqgym/Migration-v0", suite="own", backend="named")
    env.reset(seed=1)
    assert env.unwrapped.backend.name == "named"
    assert gym.make_vec("dqgym/Migration-v0", num_envs=2, suite="own").single_action_space.shape == (1,)


def test_a_backend_must_take_the_slots_and_have_the_parts():
    with pytest.raises(BadInputError, match="what makes it must take vcpu_slots"):
        dqgym.register_backend("own", lambda: None)
    dqgym.register_backend("own", lambda vcpu_slots: object())
    with pytest.raises(BadInputError, match="a object is none: it has no name, capabilities"):
        make_backend("own")


def test_a_registered_pattern_stands_in_scenario_files():
    text = "name: s\nvm: {memory: 256 MiB}\nlink: {kind: constant, bandwidth: 64 MiB/s}\nworkload:\n"
    text += "- {vcpus: 1, pattern: counters, working_set: 64 MiB, write_rate: 20 MiB/s}\n"
    with pytest.raises(BadInputError, match="counters"):
        scenario_from_yaml(text)
    dqgym.register_pattern("counters", "few pages", hot=HotSet(0.05, 0.9))
    assert scenario_from_yaml(text).workload[0].hot_set == HotSet(0.05, 0.9)


def test_an_unknown_pattern_is_answered_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"unknown pattern 'unifrom' \(did you mean 'uniform'\?\)"):
        scenario("unifrom")


@pytest.mark.slow
def test_a_pattern_travels_to_a_process_that_has_not_registered_it():
    dqgym.register_pattern("counters", "few pages", hot=HotSet(0.05, 0.9))
    packed = pickle.dumps(scenario("counters"))
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).workload[0].hot_set.share)"
    done = subprocess.run([sys.executable, "-c", code], input=packed, capture_output=True, check=True)
    assert float(done.stdout) == 0.9


@pytest.mark.slow
def test_a_pattern_travels_to_a_spawned_worker():
    dqgym.register_pattern("counters", "few pages", hot=HotSet(0.05, 0.9))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(attrgetter("hot_set"), (scenario("counters").workload[0],)) == HotSet(0.05, 0.9)


def test_a_scenario_with_shipped_patterns_is_pickled_as_before():
    one = pickle.loads(pickle.dumps(scenario()))
    assert one == scenario()
    assert one.workload[0].writes


@pytest.mark.slow
def test_importing_dqgym_does_not_import_what_plug_ins_need():
    code = "import sys, dqgym; print('dqgym.plugins' in sys.modules, 'numba' in sys.modules, dqgym.register_suite)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False False <function register_suite")


@pytest.mark.parametrize(
    ("row", "shipped"),
    [
        ({"sequential": True}, "sequential"),
        ({}, "uniform"),
        ({"hot": HotSet(0.05, 0.9)}, "hot-cold"),
        ({"does": "reads"}, "read-only"),
        ({"does": "nothing"}, "idle"),
    ],
)
def test_a_pattern_can_be_said_in_the_words_of_those_that_ship(row, shipped):
    dqgym.register_pattern("own", "mine", **row)
    sizes = {} if "does" in row else {"working_set_bytes": 64 * MIB, "write_rate_bytes_per_s": 20 * MIB}
    own = VcpuGroup(vcpus=1, pattern="own", **sizes)
    plain = own.in_shipped_patterns()
    assert plain.pattern == shipped
    assert VcpuGroup(**plain.model_dump()) == plain
    assert [(one.writes, one.reads, one.sequential, one.hot_set) for one in (own, plain)].count(
        (own.writes, own.reads, own.sequential, own.hot_set)
    ) == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"does": "flies"}, "does='flies' must be one of writes, reads, nothing"),
        ({"sequential": True, "hot": HotSet(0.1, 0.9)}, "only random writes have a hot part"),
        ({"hot": HotSet(0.5, 0.1)}, "hot share 0.1 must be from its fraction to 1"),
        ({"hot": HotSet(0.0, 0.1)}, "must be from 0.000001"),
        ({"hot": "cold"}, "hot='cold' must be a HotSet"),
    ],
)
def test_parts_of_a_pattern_that_do_not_go_together_are_refused(row, message):
    with pytest.raises(BadInputError, match=message):
        dqgym.register_pattern("own", "mine", **row)


def test_what_comes_over_a_network_imports_nothing(tmp_path, monkeypatch):
    (tmp_path / "of_a_stranger.py").write_text("raise SystemExit('executed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    content = scenario().model_dump(mode="json", by_alias=True, exclude_none=True)
    assert Scenario.model_validate(content, context=FROM_AFAR) == scenario()
    content["workload"][0]["pattern"] = "of_a_stranger:PATTERN"
    with pytest.raises(SystemExit, match="executed"):
        Scenario.model_validate(content, context=FROM_FILE)
    with pytest.raises(ValueError, match="unknown pattern 'of_a_stranger:PATTERN'"):
        Scenario.model_validate(content, context=FROM_AFAR)
