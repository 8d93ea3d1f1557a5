"""Remake every stored result of docs/, in order: trainings, evaluations, tables, pages. Resumable.

    python .ci/remake_results.py [--list] [--train] [--kvm] [STEP ...]

Without STEPs: all, but those that train a policy (``--train``) or migrate on KVM (``--kvm``), for which it takes what
is stored. A step that is done leaves a file in results/remade and is left out the next time; delete that folder to
begin anew. What a stored evaluation ran says its summary.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
EVALUATIONS = CHECKOUT / "docs" / "evaluations"
DONE = CHECKOUT / "results" / "remade"
ABLATION = "--set training.frames=6_000_000"
ABLATIONS = {
    "reference": ("default", "", (1, 2)),
    "no-history": ("default", "--set algorithm.policy.history=false", (1, 2)),
    "no-shared-output": ("default", "--set algorithm.policy.shared_output=false", (1, 2)),
    "never-surveyed": ("default", "--set environment.survey=null", (1, 2)),
    "only-0.2": ("default", "--set environment.preference=[0.2,0.2] --set evaluation.preferences=[0.2]", (1, 2)),
    "ppo": ("ppo-privileged", "", (1,)),
    "ppo-plain-critic": ("ppo-privileged", "--set algorithm.privileged_critic=false", (1,)),
}
"""As docs/training.md lists them: config, what is set, seeds."""


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: by which it is asked for.
        command: of dqgym.
        needs: what must be asked for, beside the step: ``train`` or ``kvm``; empty: nothing.
        drop: folder of which only summary.json is kept.
    """

    name: str
    command: str
    needs: str = ""
    drop: Path | None = None

    @property
    def stamp(self) -> Path:
        """The file that says it is done."""
        return DONE / self.name


def steps() -> Iterator[Step]:
    """All, in order."""
    yield Step("calibrate", "calibrate --update docs/model.md --json")
    yield Step("field", "calibrate field --update docs/model.md --json")
    yield Step("quickstart", "train configs/quickstart.yaml --run-dir runs/quickstart --reuse", "train")
    yield Step("quickstart-bundle", "export runs/quickstart --force", "train")
    for seed in range(1, 6):
        config = f"train configs/default.yaml --set seed={seed}"
        yield Step(f"default-{seed}", f"{config} --run-dir runs/default-{seed} --reuse", "train")
    yield Step("shipped", "export runs/default-5 --out dqgym/controller/policies/default --force", "train")
    for name, (config, options, seeds) in ABLATIONS.items():
        for seed in seeds:
            run = f"ablation-{name}"
            command = f"train configs/{config}.yaml {ABLATION} --set name={run} {options} --set seed={seed}"
            yield Step(f"{run}-{seed}", f"{command} --run-dir runs/{run}-{seed} --reuse", "train")
    summaries = sorted(EVALUATIONS.glob("*/summary.json"), key=_age)
    yield from map(_evaluation, summaries)
    yield Step("page", _page_command())
    rows = "evaluate runs/quickstart --suite cover-letter --out runs/quickstart/report --force"
    yield Step("quickstart-rows", rows, "train")


def _evaluation(summary: Path) -> Step:
    command = json.loads(summary.read_text())["origin"]["command"].removeprefix("dqgym ")
    trained = "runs/" in command
    needs = "kvm" if "--backend kvm" in command else "train" if trained else ""
    return Step(f"evaluation-{summary.parent.name}", f"{command} --force", needs, summary.parent)


def _age(summary: Path) -> tuple[bool, str]:
    """Those of shipped policies first: they need no training."""
    return "runs/" in summary.read_text(), summary.parent.name


def _page_command() -> str:
    """The one that stands on the page."""
    page = (CHECKOUT / "docs" / "results.md").read_text().splitlines()
    return next(line for line in page if line.startswith("dqgym results ")).removeprefix("dqgym ")


def run(step: Step) -> None:
    """Run a step and keep how long it took; ends the program where it fails."""
    print(f"{step.name}: dqgym {step.command}", flush=True)
    began_s = time.monotonic()
    dqgym = str(Path(sys.executable).with_name("dqgym"))
    done = subprocess.run([dqgym, *shlex.split(step.command)], cwd=CHECKOUT, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(f"{step.name} ended with {done.returncode}; run this again to go on")
    for path in step.drop.iterdir() if step.drop else ():
        if path.name != "summary.json":
            path.unlink()
    DONE.mkdir(parents=True, exist_ok=True)
    step.stamp.write_text(f"{time.monotonic() - began_s:.0f} s\n")
    print(f"{step.name}: {step.stamp.read_text()}", end="", flush=True)


def main() -> None:
    """Run what is asked for and not done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP")
    parser.add_argument("--list", action="store_true", help="print the steps, and how long those that are done took")
    parser.add_argument("--train", action="store_true", help="train the policies, too")
    parser.add_argument("--kvm", action="store_true", help="migrate on KVM, too")
    options = parser.parse_args()
    every = list(steps())
    unknown = set(options.steps) - {step.name for step in every}
    if unknown:
        sys.exit(f"unknown steps: {', '.join(sorted(unknown))}; --list prints them")
    asked = {name for name in ("train", "kvm") if getattr(options, name)} | {""}
    for step in every:
        if options.list:
            done = step.stamp.read_text().strip() if step.stamp.exists() else "to do"
            print(f"{step.name:30} {done:>8}  {step.needs:5}  dqgym {step.command}")
        elif (step.name in options.steps if options.steps else step.needs in asked) and not step.stamp.exists():
            run(step)


if __name__ == "__main__":
    main()
