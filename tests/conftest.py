"""Settings of every test: no network, no GPU, little noise."""

import os

import pytest

# Read when the libraries are first imported, hence before any test module is.
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", CUDA_VISIBLE_DEVICES="", TQDM_DISABLE="1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make soak` damages more files than the tests do."""
    parser.addoption("--damaged-files", type=int, default=2000, help="Caffe files that are altered and read")
