"""The compiled library: built once by this machine's compiler, and kept in a cache that nobody else can write to."""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

SOURCES = tuple(Path(__file__).with_name(name) for name in ("winograd.cpp", "direct.cpp", "amx.cpp"))
HEADER = Path(__file__).with_name("vectors.h")
ONE_THREAD = ("-O3", "-march=native", "-fno-math-errno", "-std=c++17", "-fPIC", "-c")
COMPILE = (*ONE_THREAD, "-fopenmp")
LINK = ("-shared",)  # PyTorch's own OpenMP is already loaded; a second one would have its own threads
MOST_CORES = 2
"""With more cores, PyTorch's direct convolutions on all cores are about as fast as Winograd's on one."""
_SECONDS = 300
_DIGEST = 32


class NotBuiltError(Exception):
    """There is no library; the message gives the reason in a few words."""


def cache_folder() -> Path:
    """The folder of the built library: `$VGG_ZOO_CACHE`, or `vgg_zoo` in the user's cache folder."""
    named = os.environ.get("VGG_ZOO_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vgg_zoo"


def library() -> ctypes.CDLL:
    """The library, from the cache or built.

    Raises:
        NotBuiltError: There is no compiler, or it fails; or it has no OpenMP, and this machine has more than
            `MOST_CORES` cores. OSError, subprocess.SubprocessError: A file or a command fails.
    """
    if platform.system() != "Linux":
        raise NotBuiltError(f"they are built on Linux, not on {platform.system()}")
    compiler = shlex.split(os.environ.get("CXX") or "g++")
    if not compiler or shutil.which(compiler[0]) is None:
        raise NotBuiltError(f"there is no compiler {' '.join(compiler)!r}; $CXX names another one")
    flags = _flags(compiler)
    name = f"kernels-{_key(compiler, flags)}.so"
    try:
        folder = cache_folder() / "kernels"  # a separate folder, because other files of the cache may belong to a group
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (folder / name).is_file() or not _is_whole(folder / name):
            _build(compiler, flags, folder / name)
        if not _is_ours(folder / name):
            raise OSError("others may write to it")
        return ctypes.CDLL(str(folder / name))
    except (OSError, RuntimeError):  # the home folder is not writable, does not exist, or belongs to somebody else
        with tempfile.TemporaryDirectory() as private:
            _build(compiler, flags, Path(private) / name)
            return ctypes.CDLL(str(Path(private) / name))


def _flags(compiler: list[str]) -> tuple[str, ...]:
    """The flags for OpenMP if the compiler supports it: Apple's clang does not, and others may lack its header.

    Raises:
        NotBuiltError: It does not, and this machine has too many cores to leave all but one idle.
    """
    if _reads(compiler, "-fopenmp", "#include <omp.h>") or not _reads(compiler):  # a broken one fails and is quoted
        return COMPILE
    if _cores() > MOST_CORES:
        raise NotBuiltError(f"{' '.join(compiler)!r} has no OpenMP, and one thread of {_cores()} would be slower")
    return ONE_THREAD


def _reads(compiler: list[str], flag: str = "-O3", source: str = "") -> bool:
    command = [*compiler, flag, "-x", "c++", "-E", "-"]
    given = source.encode() + b"\n"
    return not subprocess.run(command, input=given, capture_output=True, timeout=_SECONDS, check=False).returncode  # noqa: S603


def _cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _key(compiler: list[str], flags: tuple[str, ...]) -> str:
    """A hash of everything that the library depends on: source, flags, compiler and CPU."""
    version = subprocess.run([*compiler, "--version"], capture_output=True, timeout=_SECONDS, check=True).stdout  # noqa: S603
    parts = [
        *(source.read_bytes() for source in (*SOURCES, HEADER)),
        " ".join([*compiler, *flags, *LINK]).encode(),
        version,
        _cpu().encode(),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


def _cpu() -> str:
    """The properties of the CPU that -march=native depends on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else [platform.processor()]
    told = ("vendor_id", "cpu family", "model\t", "model name", "flags", "CPU implementer", "CPU part", "Features")
    return "\n".join([platform.machine(), *sorted({line for line in lines if line.startswith(told)})])


def _build(compiler: list[str], flags: tuple[str, ...], target: Path) -> None:
    """Compile next to the target and then rename: other processes may build it at the same time."""
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        objects, library = [Path(work) / f"{source.stem}.o" for source in SOURCES], Path(work) / "kernels.so"
        compile_each = [[*flags, source, "-o", built] for source, built in zip(SOURCES, objects, strict=True)]
        for arguments in (*compile_each, [*LINK, *objects, "-o", library]):
            command = [*compiler, *map(str, arguments)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
            if done.returncode:
                raise NotBuiltError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
        content = library.read_bytes()
        library.write_bytes(content + hashlib.sha256(content).digest())  # bytes after an ELF file are ignored
        library.chmod(0o700)  # with a umask of 002 the group could write, and the library would not be loaded
        library.replace(target)


def _is_whole(library: Path) -> bool:
    """Whether the library is undamaged: if a damaged one were mapped, reading beyond its end would kill the process."""
    content = library.read_bytes()
    return hashlib.sha256(content[:-_DIGEST]).digest() == content[-_DIGEST:]


def _is_ours(library: Path) -> bool:
    """Whether only this user can have written the library."""
    if not hasattr(os, "getuid"):
        return True
    told = [library.stat(), library.parent.stat()]
    return all(one.st_uid == os.getuid() and not one.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for one in told)
