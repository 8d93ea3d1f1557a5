from __future__ import annotations

from pathlib import Path

import pytest

from experiments.bundles.export import export_run
from tests.experiments.made_runs import make_run

OBSERVATIONS = 100


@pytest.fixture(scope="session")
def per_vcpu_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with an untrained per-vCPU policy."""
    return make_run(tmp_path_factory.mktemp("runs") / "per-vcpu", "per-vcpu")


@pytest.fixture(scope="session")
def per_vcpu_bundle(per_vcpu_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``export`` makes of it. Not to be changed: make a copy."""
    return export_run(per_vcpu_run, tmp_path_factory.mktemp("bundles") / "per-vcpu", observations=OBSERVATIONS)
