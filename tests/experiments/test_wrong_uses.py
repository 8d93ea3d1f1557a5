"""Wrong uses of every command: exit code 2, one message that names what is wrong, nothing else."""

import os

import pytest
from typer.testing import CliRunner

from dqgym.backends.kvm.host import probe
from dqgym.results.rows_file import COLUMNS
from experiments.cli.app import app

WRONG_USES = [
    ("control nothere", "policy bundle nothere: no such folder"),
    ("control defualt --suite mixed", "did you mean 'default'?"),
    ("control tuned-rule --suite mixed", "a throttle or policy, not a policy bundle"),
    ("control {pipes} --suite mixed", "has no manifest.json"),
    ("control {deep} --suite mixed", "manifest.json: not valid JSON: nested too deep"),
    ("control default", "name either --suite or --scenario"),
    ("control default --scenario x.yaml --max-vcpus 4", "--max-vcpus goes with --suite"),
    ("control default --suite guest-runtime --max-vcpus 4", "no scenario with 4 vCPUs or fewer, only from 7"),
    ("control default --suite mixed --decision-deadline-s=-1", "--decision-deadline-s -1 must be a positive number"),
    ("control default --suite mixed --survey 3x", "survey '3x'"),
    ("control default --suite mixed --destination a:1", "--destination goes with --backend kvm"),
    ("control default --suite mixed --fallback oracle", "fallback 'oracle' has to know the future"),
    ("evaluate --suite mixd", "did you mean 'mixed'?"),
    ("evaluate {deep}", "manifest.json: not valid JSON: nested too deep"),
    ("evaluate none --resume", "--resume needs the --out"),
    ("evaluate none --out {pipes}", "exists and is not a folder of `dqgym evaluate`"),
    ("evaluate none --out {empty}/file/x", "cannot write"),
    ("evaluate none --out {empty}/out --resume", "nothing to resume"),
    ("evaluate none --no-baselines --suite cover-letter --scale", "'row-07' has 32 vCPUs; the kvm backend holds 16"),
    ("compare none none", "A and B are both 'none'"),
    ("compare none current --from {pipes}", "has neither results.csv nor results.csv.gz"),
    ("compare none current --from {deep}", "must have the columns"),
    ("compare none current --from {empty} --host tls-kit", "--host decide what runs; with --from nothing does"),
    *(
        (f"{command} --host tls-kti", "did you mean 'tls-kit'?")
        for command in (
            "simulate kvm-lab:quiet-guest",
            "evaluate none --no-baselines --suite cover-letter",
            "compare none current --suite cover-letter",
            "control default --suite cover-letter",
        )
    ),
    ("evaluate none --backend kvm --host tls-kit", "--host tls-kit says what the model plays"),
    ("control default --suite mixed --backend kvm --host tls-kit", "it does not go with --backend kvm"),
    ("results {empty}/page.md --from {pipes}", "it is a pipe, not a regular file"),
    ("results {empty}/page.md --from {deep}", "summary.json: not valid JSON: nested too deep"),
    ("results {empty}/page.md --from {empty}", "cannot read summary"),
    ("results {empty}/file --from {empty}", "must have the lines"),
    ("tune none", "cannot tune 'none'"),
    ("tune dirty-quota --out {deep}/manifest.json", "manifest.json"),
    ("simulate kvm-lab:quiet-gest", "did you mean 'quiet-guest'?"),
    ("simulate nowhere.yaml", "cannot read scenario nowhere.yaml"),
    ("simulate kvm-lab:quiet-guest --throttle orcale", "did you mean 'oracle'?"),
    ("simulate kvm-lab:quiet-guest --trace /nowhere/x", "cannot write /nowhere/x"),
    ("simulate kvm-lab:quiet-guest --plot /dev/null", "it is a device, not a regular file"),
    ("migrate kvm-lab:quiet-guest --throttle oracle", "it runs with --backend model, not with 'kvm'"),
    ("migrate cover-letter:row-07 --scale", "`--scale` keeps the number of vCPUs"),
    ("migrate kvm-lab:quiet-guest --destination here", "must be HOST:PORT"),
    ("receive --listen nowhere.invalid:80", "cannot listen on nowhere.invalid:80"),
    ("calibrate --out {pipes}", "exists and is not a folder of `dqgym calibrate`"),
    ("calibrate --backend kvm --results {pipes}", "has neither results.csv nor results.csv.gz"),
    ("calibrate --backend kvm --results {deep}", "must have the columns"),
    ("calibrate --backend kvm --results {wrong}", "results.csv, line 2: 1 cells"),
    ("calibrate --parameters /nowhere.yaml", "/nowhere.yaml"),
    ("calibrate --update {empty}/file", "must have the lines"),
    ("suites nowhere", "unknown suite 'nowhere'"),
    ("train nowhere.yaml", "nowhere.yaml"),
    ("train", "give a config, or --resume RUN"),
    ("export {empty}", "{empty}"),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Folders with pipes, with JSON 100,000 lists deep, with rows that are none, and one with a file of text."""
    root = tmp_path_factory.mktemp("places")
    folders = {name: root / name for name in ("pipes", "deep", "wrong", "empty")}
    for folder in folders.values():
        folder.mkdir()
    for name in ("results.json", "summary.json", "results.csv", "manifest.json"):
        os.mkfifo(folders["pipes"] / name)
        (folders["deep"] / name).write_text("[" * 100_000)
    (folders["wrong"] / "results.csv").write_text(",".join(COLUMNS) + "\na\n")
    (folders["empty"] / "file").write_text("mine")
    return folders


@pytest.mark.slow
@pytest.mark.parametrize(("line", "said"), WRONG_USES, ids=[line for line, _ in WRONG_USES])
def test_a_wrong_use_is_one_message_and_exit_code_2(line, said, places, monkeypatch):
    monkeypatch.setattr(probe, "require_kvm", lambda kernel=None: None)
    result = CliRunner().invoke(app, line.format(**places).split())
    assert result.exit_code == 2, result.exception or result.output
    assert said.format(**places) in result.stderr
    assert result.stderr.count("error: ") == 1
    assert result.stdout == ""
    assert (places["empty"] / "file").read_text() == "mine"
