"""Settings of every test: no network, no GPU, little noise."""

import os
import shutil
from pathlib import Path

import pytest

# What the user set, or "all": xdist's workers begin with the environment that its controller has changed already.
VISIBLE = os.environ.setdefault("GPUS_OF_THE_TESTS", os.environ.get("CUDA_VISIBLE_DEVICES", "all"))

# Read when the libraries are first imported, hence before any test module is.
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", CUDA_VISIBLE_DEVICES="", TQDM_DISABLE="1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make soak` damages more files than the tests do."""
    parser.addoption("--damaged-files", type=int, default=2000, help="Caffe files that are altered and read")


@pytest.fixture(scope="session")
def gpu_environment() -> dict[str, str]:
    """The environment of a process that may use the GPU, which the tests themselves never do; skips where none is."""
    if VISIBLE == "":
        pytest.skip("CUDA_VISIBLE_DEVICES hides every GPU")
    if not Path("/dev/nvidia0").exists() and shutil.which("nvidia-smi") is None:
        pytest.skip("no NVIDIA GPU: neither /dev/nvidia0 nor nvidia-smi")
    given = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
    return given if VISIBLE == "all" else given | {"CUDA_VISIBLE_DEVICES": VISIBLE}
