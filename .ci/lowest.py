"""Make a virtual environment with the oldest version of each dependency that pyproject.toml allows.

    python .ci/lowest.py .venv-lowest

What the tests do not take to an end comes from the environment that runs this: packages that dqgym does not name
itself, the tools that check style and types, and torch, whose builds on PyPI bring several GB of CUDA packages.
"""

import re
import subprocess
import sys
import tomllib
import venv
from itertools import chain
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
AS_INSTALLED = ("torch", "mypy", "ruff", "setuptools")


def lowest(pyproject: dict) -> list[str]:
    """``name==version`` for each requirement with a lower bound."""
    project = pyproject["project"]
    extras = [extra for name, extra in project["optional-dependencies"].items() if name != "bench"]  # no test needs it
    requirements = chain(project["dependencies"], *extras)
    bounds = [re.match(r"([\w.-]+)>=([\w.]+)", requirement) for requirement in requirements]
    return [f"{bound[1]}=={bound[2]}" for bound in bounds if bound and bound[1] not in AS_INSTALLED]


def main() -> None:
    """Make the environment that the command line names, anew."""
    folder = Path(sys.argv[1]).resolve()
    wanted = lowest(tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")))
    print("the oldest versions allowed:", *wanted)
    print("as installed:", *AS_INSTALLED)
    venv.create(folder, clear=True, with_pip=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site_packages / "as_installed.pth").write_text("\n".join(others) + "\n", encoding="utf-8")
    pip = [folder / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, *wanted], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", CHECKOUT], check=True)


if __name__ == "__main__":
    main()
