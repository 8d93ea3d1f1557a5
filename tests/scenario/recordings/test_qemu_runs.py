"""The recorded QEMU migrations of the package, and folders of them that are not as they should be."""

import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from dqgym.scenario.recordings.qemu_runs import MIB, RecordedRun, RecordingError, read_qemu_runs

SHIPPED = Path(str(files("dqgym.scenario").joinpath("data/qemu_runs")))
RUNS = read_qemu_runs()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one run."""
    header, *rows = (SHIPPED / "index.csv").read_text().splitlines()
    (tmp_path / "index.csv").write_text("\n".join([header, *(row for row in rows if row.startswith("Q07,"))]) + "\n")
    shutil.copy(SHIPPED / "Q07.csv", tmp_path)
    return tmp_path


def run_named(name: str) -> RecordedRun:
    return next(run for run in RUNS if run.id == name)


def test_the_package_has_twenty_four_runs() -> None:
    assert len({run.id for run in RUNS}) == 24
    assert {run.mode for run in RUNS} == {"none", "auto-converge", "dirty-limit"}


def test_a_run_has_what_its_line_in_the_index_says() -> None:
    run = run_named("Q07")
    assert (run.vcpus, run.readers, run.writers) == (2, 1, 1)
    assert (run.working_set_bytes, run.bandwidth_bytes_per_s) == (128 * MIB, 64 * MIB)
    assert run.baseline_bytes_per_s == (499.46 * MIB, 499.54 * MIB)
    assert (run.total_time_s, run.downtime_s, run.max_throttle_percent) == (31.323, 0.009, 99)
    assert run.dirty_limit_bytes_per_s is None
    assert run_named("D07").dirty_limit_bytes_per_s == 10 * MIB
    assert run_named("Q11").tail_slow
    assert run_named("B17").open_loop
    assert not run_named("Q02").converged
    assert np.isnan(run_named("Q02").downtime_s)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)
def test_timelines_agree_with_the_index_and_with_themselves(run: RecordedRun) -> None:
    line = run.timeline
    assert (np.diff(line.time_s) > 0).all()
    assert line.time_s[-1] == pytest.approx(run.total_time_s, abs=0.6)  # a run is cancelled for a while
    assert line.throttle_percent.max() == run.max_throttle_percent
    for counter in (line.sent_pages, line.zero_pages, line.sent_bytes, line.syncs, *line.written_pages.T):
        assert (np.diff(counter) >= 0).all()
    np.testing.assert_allclose(line.sent_bytes, 4104 * line.sent_pages + 9 * line.zero_pages, rtol=0.01, atol=3e5)
    ran = line.run_share.mean(axis=0)
    np.testing.assert_allclose(ran, run.guest_runtime, atol=0.03)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.id)
def test_what_is_not_zero_is_the_working_set_and_a_little(run: RecordedRun) -> None:
    not_zero = run.timeline.total_bytes[0] - 4096 * run.zero_pages
    assert run.working_set_bytes < not_zero < run.working_set_bytes + MIB


def test_another_folder_is_read(folder: Path) -> None:
    (run,) = read_qemu_runs(folder)
    assert run == run_named("Q07")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("index.csv", "guest_runtime", "gest_runtime", r"index\.csv, line 1: missing columns: guest_runtime"),
        ("index.csv", ",2,1,128,", ",2,2,128,", r"line 2, column 'readers': '2' is not below the number of vCPUs, 2"),
        (
            "index.csv",
            ",auto-converge,",
            ",auto-convrge,",
            "column 'mode': 'auto-convrge' is not one of .*auto-converge",
        ),
        ("index.csv", "499.46+499.54", "499.46", "column 'baseline_mib_per_s': '499.46' is not 2 numbers"),
        ("index.csv", ",60,completed", ",soon,completed", "column 'limit_s': 'soon' is not a number"),
        ("index.csv", "99,50,False", "99,50,no", "column 'tail_slow': 'no' is not one of True, False"),
        ("Q07.csv", ",normal,", ",nrmal,", r"Q07\.csv, line 2: missing columns: normal"),
        ("Q07.csv", ",run1,", ",ran1,", r"Q07\.csv, line 2: missing columns: run1"),
        ("Q07.csv", "# {", "{", r"Q07\.csv, line 1: must be '# ' and a JSON object"),
    ],
)
def test_a_bad_file_is_an_error_that_says_where(folder: Path, file: str, old: str, new: str, message: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(RecordingError, match=message):
        read_qemu_runs(folder)


def test_a_cell_that_is_no_number_and_a_short_line_are_named(folder: Path) -> None:
    lines = (folder / "Q07.csv").read_text().splitlines()
    cells = lines[9].split(",")
    cells[13] = "many"
    (folder / "Q07.csv").write_text("\n".join([*lines[:9], ",".join(cells), *lines[10:]]))
    with pytest.raises(RecordingError, match=r"Q07\.csv, line 10, column 'normal': 'many' is not a number"):
        read_qemu_runs(folder)
    (folder / "Q07.csv").write_text("\n".join([*lines[:9], "1,2"]))
    with pytest.raises(RecordingError, match=r"Q07\.csv, line 10: 2 values for 28 columns"):
        read_qemu_runs(folder)


@pytest.mark.parametrize("file", ["index.csv", "Q07.csv"])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(RecordingError, match=f"cannot read the recording .*{file}: No such file"):
        read_qemu_runs(folder)


def test_an_empty_index_is_an_error(folder: Path) -> None:
    (folder / "index.csv").write_text((folder / "index.csv").read_text().splitlines()[0])
    with pytest.raises(RecordingError, match="no runs"):
        read_qemu_runs(folder)
