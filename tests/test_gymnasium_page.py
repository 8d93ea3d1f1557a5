"""Every Python block of docs/gymnasium.md runs, where its library is installed."""

import importlib
import re
import warnings
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "gymnasium.md"
LIBRARIES = {
    "Stable-Baselines3": "stable_baselines3",
    "sb3-contrib": "sb3_contrib",
    "rl_zoo3": "rl_zoo3",
    "CleanRL": "torch",
    "TorchRL": "torchrl",
    "tianshou": "tianshou",
    "skrl": "skrl",
    "RLlib": "ray.rllib",
}
"""Heading of a section -> the module that its snippet needs; all other snippets need Gymnasium alone."""


def snippets() -> dict[str, str]:
    """The Python blocks by the heading that they stand under."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    blocks = {}
    for section in sections:
        heading = section.splitlines()[0]
        for code in re.findall(r"^```python\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL):
            assert heading not in blocks, f"two blocks under {heading!r}"
            blocks[heading] = code
    return blocks


def test_the_page_has_a_snippet_for_each_library():
    assert set(LIBRARIES) < set(snippets())


@pytest.mark.slow
@pytest.mark.parametrize("heading", list(snippets()))
def test_a_snippet_runs(heading, tmp_path, monkeypatch):
    module = LIBRARIES.get(heading, "gymnasium")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other projects, in their own code
        try:
            importlib.import_module(module)
        except ImportError as error:
            pytest.skip(f"{heading} is not installed beside this project: {error}")
        exec(compile(snippets()[heading], f"{PAGE.name}, {heading}", "exec"), {"__name__": "snippet"})
