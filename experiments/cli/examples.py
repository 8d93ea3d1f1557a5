"""Examples at the end of each command's help; the tests parse every one, and run those that take a moment."""

from __future__ import annotations

EXAMPLES = {
    "train": (
        "dqgym train quickstart --run-dir runs/first",
        "dqgym train ppo-per-vcpu --set training.frames=5_000_000 --set seed=1",
        "dqgym train --resume runs/first",
    ),
    "evaluate": (
        "dqgym evaluate runs/first --suite mixed --suite phases --out results/first",
        "dqgym evaluate default tuned-rule --no-baselines --suite cover-letter",
        "dqgym evaluate auto-converge:initial=50,increment=20 none --no-baselines",
    ),
    "compare": (
        "dqgym compare default tuned-rule --suite phases",
        "dqgym compare runs/first dirty-quota --from results/first",
    ),
    "results": ("dqgym results docs/results.md --from results/first --from results/second",),
    "tune": (
        "dqgym tune tuned-rule --suite phases --preference 0.2 --out mine.yaml",
        "dqgym tune auto-converge --suite mixed=2 --suite phases --trials 50",
    ),
    "export": ("dqgym export runs/first --out bundles/first",),
    "control": (
        "dqgym control default --suite cover-letter --preference 0.6",
        "dqgym control runs/first/bundle --backend kvm --scenario mine.yaml",
    ),
    "simulate": (
        "dqgym simulate streaming --throttle none",
        'dqgym simulate cover-letter:row-10 --throttle "dirty-limit:limit=100 MiB/s"',
        "dqgym simulate mine.yaml --trace trace.json --plot trace.png",
    ),
    "migrate": (
        "dqgym migrate kvm-lab:quiet-guest --throttle dirty-quota",
        "dqgym migrate mine.yaml --scale --destination 10.0.0.2:4444",
    ),
    "receive": ("dqgym receive --listen 127.0.0.1:4444 --once",),
    "calibrate": (
        "dqgym calibrate",
        "dqgym calibrate --fit --out results/fit",
        "dqgym calibrate --backend kvm --results results/on-kvm",
    ),
    "suites": ("dqgym suites", "dqgym suites phases --seed 3"),
    "throttles": ("dqgym throttles", "dqgym throttles auto-converge"),
    "configs": ("dqgym configs", "dqgym configs quickstart > mine.yaml"),
    "import": (
        "dqgym import kubevirt virt-launcher.log --vcpus 2 --out mine.yaml",
        "dqgym import query-migrate migration.jsonl --throttle none",
    ),
    "record": ("dqgym record --qmp /run/vm/qmp.sock --out migration.jsonl",),
    "probe": ("dqgym probe", "dqgym probe --json"),
    "bench": ("dqgym bench env --vcpus 8", "dqgym bench policy"),
    "bench env": (
        "dqgym bench env --n-envs 256 --n-envs 1024 --vcpus 8",
        "dqgym bench env --all-suites --update docs/speed.md",
        "dqgym bench env --against HEAD~3 --suite mixed --suite phases --vcpus 8",
    ),
    "bench train": ("dqgym bench train --n-envs 256 --repeats 1",),
    "bench policy": ("dqgym bench policy --vcpus 8 --decisions 1000",),
}
"""By command."""


def examples_text(command: str) -> str:
    """The end of a command's help; ``\\b`` keeps its lines."""
    return "\n".join(["\b", "Examples:", *(f"  {one}" for one in EXAMPLES[command])]) if command in EXAMPLES else ""
