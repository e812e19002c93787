"""Building the kernels: without a compiler, with a broken one, twice at once, with a damaged or foreign cache."""

import ctypes
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from vgg_zoo.fast import kernels as compiled
from vgg_zoo.fast import library as kernel_library

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernels are built on Linux")
needs_compiler = pytest.mark.skipif(compiled.kernels() is None, reason=str(compiled.why_not()))


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The kernels' folder of an empty cache, and nothing tried yet."""
    monkeypatch.setenv("VGG_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiled, "_found", [])
    return tmp_path / "cache" / "kernels"


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """$VGG_ZOO_CACHE, else in the user's cache folder."""
    monkeypatch.setenv("VGG_ZOO_CACHE", "/somewhere")
    assert kernel_library.cache_folder() == Path("/somewhere")
    monkeypatch.delenv("VGG_ZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert kernel_library.cache_folder() == Path("/cache/vgg_zoo")


@pytest.mark.parametrize(
    ("compiler", "reason"), [("no-such-compiler", "there is no compiler"), ("false", "CalledProcessError")]
)
def test_without_a_compiler_there_are_no_kernels(
    compiler: str, reason: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the reason is given; no file remains, and there is no warning."""
    monkeypatch.setenv("CXX", compiler)
    assert compiled.kernels() is None
    assert reason in str(compiled.why_not())
    assert not cache.exists()


@pytest.mark.skipif(shutil.which("sh") is None, reason="no shell")
def test_a_compiler_that_fails_is_quoted(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that knows its version and no more."""
    broken = tmp_path / "broken"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "no space" >&2\nexit 1\n')
    broken.chmod(0o700)
    monkeypatch.setenv("CXX", str(broken))
    assert compiled.kernels() is None
    assert "no space" in str(compiled.why_not())
    assert not list(cache.glob("*"))


@pytest.fixture
def compiler_without_openmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where its header is not installed."""
    wrapper = tmp_path / "without_openmp"
    wrapper.write_text('#!/bin/sh\ncase " $* " in *" -fopenmp "*) echo "no omp.h" >&2; exit 1;; esac\nexec g++ "$@"\n')
    wrapper.chmod(0o700)
    monkeypatch.setenv("CXX", str(wrapper))


@needs_compiler
@pytest.mark.slow
def test_without_openmp_one_thread_computes(
    compiler_without_openmp: None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On few cores; the kernels pass the check of all others, with any number of threads."""
    monkeypatch.setattr(kernel_library, "_cores", lambda: kernel_library.MOST_CORES)
    assert compiled.why_not() is None
    assert len(list(cache.iterdir())) == 1
    assert _difference() < 1e-2


@needs_compiler
def test_without_openmp_pytorch_takes_many_cores(
    compiler_without_openmp: None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread would be slower."""
    monkeypatch.setattr(kernel_library, "_cores", lambda: 16)
    assert compiled.kernels() is None
    assert "has no OpenMP, and one thread of 16 would be slower" in str(compiled.why_not())


@needs_compiler
@pytest.mark.parametrize("kernel", ["winograd", "fc6", "first", "product", "normalise"])
def test_a_kernel_that_computes_something_else_is_not_used(
    kernel: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a broken compiler; it is named."""
    right = getattr(compiled.Kernels, kernel)
    monkeypatch.setattr(compiled.Kernels, kernel, lambda *given, **more: right(*given, **more) + 0.01)
    assert compiled.kernels() is None
    assert f"computes something else than PyTorch does ({kernel})" in str(compiled.why_not())


@needs_compiler
def test_autocast_does_not_change_what_they_are_checked_against(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may first ask for them there."""
    monkeypatch.setattr(compiled, "_found", [])
    with torch.autocast("cpu", torch.bfloat16):
        assert compiled.why_not() is None


@needs_compiler
def test_a_library_is_built_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And found again."""
    kernel_library.library()
    (library,) = cache.iterdir()
    before = library.stat()
    monkeypatch.setattr(kernel_library, "_build", None)
    kernel_library.library()
    assert library.stat() == before


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"\x7fELF", None])
def test_a_damaged_library_is_built_again(content: bytes | None, cache: Path) -> None:
    """Rather than mapped; None cuts the end off."""
    kernel_library.library()
    (library,) = cache.iterdir()
    damaged = library.read_bytes()[:-100] if content is None else content
    library.unlink()  # this process has it mapped
    library.write_bytes(damaged)
    kernel_library.library()
    assert kernel_library._is_whole(library)


@needs_compiler
@pytest.mark.parametrize("others", [stat.S_IWGRP, stat.S_IWOTH])
def test_a_cache_that_others_may_write_to_is_not_trusted(
    others: int, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a group or everybody, whose code we would run; a library that is built elsewhere is loaded instead."""
    kernel_library.library()
    cache.chmod(stat.S_IRWXU | others)
    loaded: list[str] = []
    monkeypatch.setattr(kernel_library.ctypes, "CDLL", lambda name: loaded.append(name) or object())
    kernel_library.library()
    assert not Path(loaded[0]).is_relative_to(cache)


@needs_compiler
def test_a_groups_umask_leaves_the_library_trusted(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """002 is the default of many systems; the library must not be built again by every process for it."""
    before = os.umask(0o002)
    try:
        kernel_library.library()
        (library,) = cache.iterdir()
        loaded: list[str] = []
        monkeypatch.setattr(kernel_library.ctypes, "CDLL", lambda name: loaded.append(name) or object())
        kernel_library.library()
    finally:
        os.umask(before)
    assert loaded == [str(library)]


@needs_compiler
def test_a_cache_that_cannot_be_written_to_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is then built for this process alone."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VGG_ZOO_CACHE", str(tmp_path / "file" / "folder"))
    assert isinstance(kernel_library.library(), ctypes.CDLL)


@needs_compiler
def test_a_library_that_computes_something_else_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with it."""
    monkeypatch.setattr(compiled.Kernels, "winograd", lambda self, x, u, bias, y, relu: y.zero_())
    assert compiled.kernels() is None
    assert "something else" in str(compiled.why_not())


@needs_compiler
@pytest.mark.slow
def test_two_processes_may_build_at_once(cache: Path) -> None:
    """Both have a library, and one is left."""
    command = [sys.executable, "-c", "from vgg_zoo.fast import kernels; print(kernels.why_not())"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(2)]
    assert [process.communicate(timeout=300)[0].strip() for process in running] == ["None", "None"]
    assert len(list(cache.iterdir())) == 1


def _in_a_fork(queue: "multiprocessing.Queue[float]") -> None:
    torch.set_num_threads(1)  # as the workers of a DataLoader do
    queue.put(_difference())


def _difference() -> float:
    kernels = compiled.kernels()
    assert kernels is not None
    torch.manual_seed(0)
    x, weight, bias = torch.randn(1, 64, 40, 40), torch.randn(64, 64, 3, 3), torch.randn(64)
    y = torch.empty(1, 40, 40, 64)
    kernels.winograd(x.permute(0, 2, 3, 1).contiguous(), kernels.winograd_weight(weight), bias, y, relu=False)
    return float((y.permute(0, 3, 1, 2) - F.conv2d(x, weight, bias, padding=1)).abs().max())


@needs_compiler
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_does_not_hang() -> None:
    """Though OpenMP's threads stay behind in the parent."""
    assert _difference() < 1e-2
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_a_fork, args=(queue,))
    child.start()
    try:
        assert queue.get(timeout=60) < 1e-2
    finally:
        child.kill()
        child.join()
