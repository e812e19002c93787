"""The kernels as other compilers, CPUs and a sanitizer have them: a program without PyTorch that checks every shape."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vgg_zoo.fast import kernels as compiled
from vgg_zoo.fast.library import COMPILE, SOURCES

DRIVER = Path(__file__).with_name("kernel_check.cpp")
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
NEON = ("-static",)  # the emulator then needs none of that system's files
CASES = "150"


def cpu_has(feature: str) -> bool:
    """Whether this CPU has it, according to the system."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and feature in cpuinfo.read_text().split()


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernels are built on Linux")
needs_avx2 = pytest.mark.skipif(platform.machine() != "x86_64" or not cpu_has("avx2"), reason="a CPU without AVX2")


def checked(folder: Path, compiler: str, *flags: str, runner: tuple[str, ...] = ()) -> str:
    """What the program says: built with the kernels' own flags and these, which come last."""
    for program in (compiler, *runner):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program}")
    own = [flag for flag in COMPILE if flag not in ("-c", "-fPIC") and not (runner and flag.startswith("-march"))]
    empty = folder / "empty.cpp"
    empty.write_text("int main() {}\n")
    tried = subprocess.run([compiler, *own, *flags, empty, "-o", folder / "empty"], check=False, capture_output=True)
    if tried.returncode:
        pytest.skip(f"{compiler} cannot build with {' '.join(flags)}: {tried.stderr.decode()[-200:]}")
    subprocess.run([compiler, *own, *flags, *SOURCES, DRIVER, "-o", folder / "check"], check=True, capture_output=True)
    done = subprocess.run([*runner, folder / "check", CASES], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_kernels_touch_nothing_but_their_buffers(tmp_path: Path) -> None:
    """Each of exactly its size; nor do they do what C++ leaves undefined."""
    said = checked(tmp_path, "g++", *SANITIZE)
    assert "150 shapes for each kernel, 0 wrong" in said
    kernels = compiled.kernels()
    assert ("with AMX" in said) == (kernels is not None and kernels.takes_amx)


@needs_avx2
@pytest.mark.slow
@pytest.mark.parametrize("more", [(), SANITIZE])
def test_with_avx2_alone(more: tuple[str, ...], tmp_path: Path) -> None:
    """The blocks of a CPU without AVX-512."""
    assert "0 wrong, panels of 16" in checked(tmp_path, "g++", "-march=haswell", *more)


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_in_one_thread(compiler: str, tmp_path: Path) -> None:
    """As a compiler without OpenMP builds them."""
    assert "0 wrong" in checked(tmp_path, compiler, "-fno-openmp")


@pytest.mark.slow
def test_on_an_emulated_arm(tmp_path: Path) -> None:
    """With NEON's registers of four numbers."""
    assert "0 wrong, panels of 16" in checked(tmp_path, "aarch64-linux-gnu-g++", *NEON, runner=("qemu-aarch64",))


@pytest.mark.slow
def test_the_sanitizer_sees_one_number_too_many(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    driver = DRIVER.read_text()
    short = driver.replace(
        "y = empty(batch * down * across * outputs)", "y = empty(batch * down * across * outputs - 1)"
    )
    assert short != driver
    (tmp_path / "short.cpp").write_text(short)
    command = ["g++", "-std=c++17", *SANITIZE, *SOURCES, tmp_path / "short.cpp", "-o", tmp_path / "check"]
    if shutil.which("g++") is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("there is no g++ with sanitizers")
    done = subprocess.run([tmp_path / "check", CASES], check=False, capture_output=True, text=True)
    assert done.returncode
    assert "AddressSanitizer" in done.stderr
