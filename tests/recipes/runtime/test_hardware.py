"""Devices, precisions, and what results say of them. GPUs are made up here: PyTorch's own answers are replaced."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from command_line.parser import MistypedError
from recipes.runtime.hardware import (
    check_devices,
    hardware,
    loading_processes,
    precision_of,
    set_arithmetic,
    use_device,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def own_settings() -> Iterator[None]:
    """PyTorch's settings belong to the process; they are as before when a test is over."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before[:2]
    torch.set_float32_matmul_precision(before[2])
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = filled
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with GPUs of a compute capability."""

    def made(capability: tuple[int, int], count: int = 1) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Testa T4")

    return made


def settings() -> tuple[bool, bool, bool]:
    """Whether TF32 is allowed in convolutions and in products, and cuDNN tries algorithms."""
    return (
        torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision() != "highest",
        torch.backends.cudnn.benchmark,
    )


def test_fp32_is_ieee_and_tf32_a_precision_of_its_own(card: Any) -> None:
    """Whatever PyTorch or a launcher set before; its own default has TF32 in convolutions."""
    card((9, 0))
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    set_arithmetic("fp32", GPU, deterministic=False)
    assert settings() == (False, False, True)
    set_arithmetic("tf32", GPU, deterministic=True)
    assert settings() == (True, True, False)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
    set_arithmetic("bf16", GPU, deterministic=False)
    assert settings() == (False, False, True)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_card_without_the_arithmetic_is_named(precision: str, card: Any) -> None:
    """With its compute capability and the way out."""
    card((7, 5))
    with pytest.raises(ValueError, match=rf"--precision {precision} needs.*8\.0.*Testa T4 has 7\.5; take fp32"):
        set_arithmetic(precision, GPU, deterministic=False)
    set_arithmetic("fp32", GPU, deterministic=False)


def test_tf32_is_no_arithmetic_of_a_cpu() -> None:
    """There it would silently be fp32."""
    with pytest.raises(ValueError, match="tf32 is arithmetic of NVIDIA's GPUs, and this is a cpu; take fp32"):
        set_arithmetic("tf32", CPU, deterministic=False)


def test_more_processes_than_gpus_are_refused(card: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL would say "Duplicate GPU", or CUDA "invalid device ordinal"; of MIG instances PyTorch sees one."""
    card((8, 0), count=2)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert check_devices() is None
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(ValueError, match=r"4 processes on this machine, and PyTorch sees 2 GPU.*Start 2.*MIG"):
        check_devices()
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert check_devices() is None


@pytest.mark.parametrize(
    ("cuda", "said"),
    [("13.0", "its driver is 470.1, and this PyTorch was built for CUDA 13.0"), (None, "built without CUDA")],
)
def test_a_gpu_that_pytorch_cannot_use_is_said(cuda: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its driver is too old, or PyTorch has no CUDA: the CPU does the work, and somebody waits for weeks."""
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/nvidia0" or exists(path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: SimpleNamespace(stdout="470.1\n"))
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert said in str(check_devices())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert check_devices() is None


def test_the_precision_is_the_users_else_the_launchers() -> None:
    """And else fp32."""
    bf16, no = (SimpleNamespace(mixed_precision=mixed) for mixed in ("bf16", "no"))
    asked: list[Any] = [("fp64", bf16), (None, bf16), (None, no), ("tf32", no)]
    assert [precision_of(*each) for each in asked] == ["fp64", "bf16", "fp32", "tf32"]


def test_processes_that_load_share_the_cores_of_a_machine_with_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a CPU computes the net, it has no core to spare; a given number is always used."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert [loading_processes(None, device) for device in (CPU, GPU)] == [0, 2]
    assert [loading_processes(3, device) for device in (CPU, GPU)] == [3, 3]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "64")
    assert loading_processes(None, GPU) == 1


def test_results_say_on_what_they_were_computed() -> None:
    """On a CPU: its name and threads."""
    found = hardware()
    assert found["device"] == "cpu"
    assert found["threads"] == torch.get_num_threads()
    assert found["deterministic"] is False


def test_a_device_is_taken_as_accelerate_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU by the variable of its launcher; a GPU that is not there, or that the launcher forbids, is refused."""
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for device in ("auto", "cuda"):
        use_device(device)
    assert "ACCELERATE_USE_CPU" not in os.environ
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MistypedError, match="--device cuda: PyTorch sees no GPU here"):
        use_device("cuda")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "no")  # set, so that it is put back
    use_device("cpu")
    assert os.environ["ACCELERATE_USE_CPU"] == "true"
    with pytest.raises(MistypedError, match="the launcher says that the CPU is to be used"):
        use_device("cuda")
