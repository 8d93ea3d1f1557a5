import os
import stat

import pytest
from numba.core import config
from numba.core.caching import NullCache

from dqgym.jit import kernel_cache as module
from dqgym.jit.compile import kernel
from dqgym.jit.kernel_cache import kernel_cache


def function(x):
    return x + 1


@pytest.fixture
def read_only(monkeypatch, tmp_path):
    """Neither this folder nor the home directory can keep anything; temporary files are to lie in ``tmp_path``."""

    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setattr(module._Places, "_locator_classes", (module._TemporaryFolder,))
    monkeypatch.setattr(module, "TEMPORARY_FOLDERS", ())
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def own_folder(parent):
    return parent / f"dqgym-kernels-{os.getuid()}"


def test_kernels_are_kept_in_a_temporary_folder_that_nobody_else_can_use(read_only):
    dispatcher = kernel(function)
    assert dispatcher(1) == 2
    folder = own_folder(read_only)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.rglob("*.nbi"))
    again = kernel(function)
    assert again(1) == 2
    assert sum(again.stats.cache_hits.values()) == 1


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o755])
def test_a_folder_that_others_can_use_is_not_used(read_only, mode):
    folder = own_folder(read_only)
    folder.mkdir()
    folder.chmod(mode)
    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR"):
        assert isinstance(kernel_cache(function, "stamp"), NullCache)
    assert list(folder.iterdir()) == []


def test_a_link_in_its_place_is_not_followed(read_only):
    (read_only / "elsewhere").mkdir(mode=0o700)
    own_folder(read_only).symlink_to(read_only / "elsewhere")
    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR"):
        assert isinstance(kernel_cache(function, "stamp"), NullCache)


def test_without_any_folder_a_kernel_is_compiled_for_this_process(read_only, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(read_only / "nowhere"))
    with pytest.warns(RuntimeWarning, match="set NUMBA_CACHE_DIR"):
        dispatcher = kernel(function)
    assert dispatcher(1) == 2


def test_a_disk_that_is_full_when_a_kernel_is_written_does_not_stop_it(monkeypatch, read_only):
    dispatcher = kernel(function)

    def full(self, key, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(dispatcher._cache._cache_file), "save", full)
    assert dispatcher(1) == 2


def test_the_temporary_folder_is_the_last_place(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "chosen"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    assert kernel_cache(function, "stamp").cache_path.startswith(str(tmp_path / "chosen"))
    assert module._Places._locator_classes[-1] is module._TemporaryFolder
