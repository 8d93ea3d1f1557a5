"""The environment is known to Gymnasium whichever of the two is imported first, and dqgym does not load Gymnasium."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
MADE = "assert type(made.unwrapped).__name__ == 'MigrationEnv'"
ORDERS = {
    "dqgym first": "import dqgym; import gymnasium as gym; made = gym.make('dqgym/Migration-v0')",
    "gymnasium first": "import gymnasium as gym; import dqgym; made = gym.make('dqgym/Migration-v0')",
    "named by its module": "import gymnasium as gym; made = gym.make('dqgym:dqgym/Migration-v0')",
    "a part of gymnasium first": "import dqgym; from gymnasium import spaces; import gymnasium as gym\n"
    "made = gym.make('dqgym/Migration-v0')",
    "looked for, then imported": "import dqgym, importlib.util; importlib.util.find_spec('gymnasium')\n"
    "import gymnasium as gym; made = gym.make('dqgym/Migration-v0')",
}


def run(script, *options, cwd=CHECKOUT):
    """Run a script in a process of its own."""
    return subprocess.run([sys.executable, *options, "-c", script], cwd=cwd, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
def test_it_is_made_whichever_is_imported_first(order):
    result = run(f"{ORDERS[order]}\n{MADE}")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_a_checkout_on_the_path_needs_no_installation(tmp_path):
    others = [path for path in sys.path if path.endswith("site-packages")]
    script = f"import sys; sys.path += [{str(CHECKOUT)!r}, *{others!r}]\n{ORDERS['dqgym first']}\n{MADE}"
    result = run(script, "-I", "-S", cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_importing_dqgym_loads_neither_gymnasium_nor_numpy():
    result = run("import dqgym, sys; print([name for name in ('gymnasium', 'numpy', 'numba') if name in sys.modules])")
    assert result.stdout.strip() == "[]"


def test_gymnasium_is_found_once_and_the_finder_leaves():
    script = "import sys, dqgym; before = len(sys.meta_path); import gymnasium; print(before - len(sys.meta_path))"
    assert run(script).stdout.strip() == "1"
