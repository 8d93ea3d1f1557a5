"""This checkout against another revision of it: the same environments, sampled in turn on one core, and the ratios.

Two processes have one tree each (``stepping_worker``), and one waits while the other runs. A ratio is that of two
medians of environment steps per CPU second; its spread is that of the ratios of samples that follow one another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from dqgym.errors import BadInputError
from experiments.bench import stepping_worker
from experiments.bench.env_rate import Sampling
from experiments.bench.hardware import hardware
from experiments.bench.source_tree import CHECKOUT, describe_checkout, revision_of, tree_of

NEW, OLD = "this checkout", "against"
CARTPOLE = "CartPole"


class Worker:
    """A process that steps environments of one tree."""

    def __init__(self, tree: Path, kernels: Path | None) -> None:
        variables = {"PYTHONPATH": os.fspath(tree), "OMP_NUM_THREADS": "1"}
        if kernels is not None:
            variables["NUMBA_CACHE_DIR"] = os.fspath(kernels)
        self._process = subprocess.Popen(
            [sys.executable, "-P", stepping_worker.__file__, os.fspath(tree)],
            cwd=tree, env={**os.environ, **variables}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True,  # Ctrl-C is for this process, which then ends that one
        )  # fmt: skip

    def call(self, name: str, *arguments: Any) -> Any:
        """What the process answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended, and said why
            self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process that steps environments ended with {self._process.wait()}")
        return json.loads(answer)

    def end(self) -> None:
        """At once."""
        self._process.kill()
        self._process.communicate()


def compare_with(
    name: str, suites: Sequence[str], n_envs: Sequence[int], vcpus: Sequence[int], sampling: Sampling
) -> dict[str, Any]:
    """Rates of this checkout and of the revision of that name, their ratios, and CartPole's rate in the same run.

    Raises:
        BadInputError: there is no such revision, or nothing that both of them have.
    """
    revision = revision_of(name)
    results, left_out = [], []
    with _one_core(), tree_of(revision) as tree, _workers(tree) as workers:
        for slots in vcpus:
            for n in n_envs:
                found, reasons = _of_size(workers, suites, n, slots, sampling)
                results += found
                left_out += reasons
    if not results:
        raise BadInputError("; ".join(left_out))
    return {
        "against": name,
        "revision": revision,
        "checkout": describe_checkout(),
        "results": results,
        "left_out": left_out,
        "hardware": hardware(),
    }


def _of_size(
    workers: dict[str, Worker], suites: Sequence[str], n_envs: int, slots: int, sampling: Sampling
) -> tuple[list[dict[str, Any]], list[str]]:
    """A result for each suite that both trees have, and why others are left out."""
    compared, left_out = [], []
    for suite in suites:
        problems = {
            tree: answer["problem"]
            for tree, worker in workers.items()
            if (answer := worker.call("make", suite, suite, slots, n_envs)) is not None
        }
        if problems:
            left_out += [f"{suite} with {slots} vCPU slots, {tree}: {problem}" for tree, problem in problems.items()]
        else:
            compared.append(suite)
    if not compared:
        return [], left_out
    workers[NEW].call("make", CARTPOLE, None, slots, n_envs)
    rates: dict[tuple[str, str], list[float]] = {}
    for _ in range(sampling.repeats):
        for tree, key in ((NEW, CARTPOLE), *((tree, suite) for suite in compared for tree in (OLD, NEW))):
            steps, cpu_s = workers[tree].call("sample", key, sampling.sample_s)
            rates.setdefault((tree, key), []).append(steps / cpu_s)
    workers[NEW].call("drop", CARTPOLE)
    for suite in compared:
        for worker in workers.values():
            worker.call("drop", suite)
    return [_result(suite, n_envs, slots, rates) for suite in compared], left_out


def _result(suite: str, n_envs: int, slots: int, rates: dict[tuple[str, str], list[float]]) -> dict[str, Any]:
    old, new, cartpole = (np.array(rates[of]) for of in ((OLD, suite), (NEW, suite), (NEW, CARTPOLE)))
    low, high = np.percentile(new / old, (25, 75))
    return {
        "suite": suite,
        "vcpus": slots,
        "n_envs": n_envs,
        "old_steps_per_cpu_s": float(np.median(old)),
        "new_steps_per_cpu_s": float(np.median(new)),
        "ratio": float(np.median(new) / np.median(old)),
        "ratio_quartiles": [float(low), float(high)],
        "cartpole_steps_per_cpu_s": float(np.median(cartpole)),
        "share_of_cartpole": float(np.median(new) / np.median(cartpole)),
    }


@contextmanager
def _workers(tree: Path) -> Iterator[dict[str, Worker]]:
    """One with each tree; that of the other revision keeps its kernels beside it."""
    workers: dict[str, Worker] = {}
    try:
        workers[NEW] = Worker(CHECKOUT, None)
        workers[OLD] = Worker(tree, tree.with_name("kernels"))
        yield workers
    finally:
        for worker in workers.values():
            worker.end()


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this process and those that it starts on one core, where the system lets them."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
