"""The same net, with the same weights, as each library runs it on a CPU.

An implementation is built once for a net and then prepared for images of one shape: what it compiles or reorders then
is not timed.
"""

import inspect
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

import vgg_zoo
from benchmarks.nets import NETS, PEERS
from vgg_zoo import VGG
from vgg_zoo.extras import install
from vgg_zoo.weights.state_dict import CLASSIFIER

COMPILERS = (os.environ.get("CXX", "c++"), "g++", "clang++")

Forward = Callable[[], Tensor]
"""A forward pass over images that it holds: class scores (B, classes)."""
Prepare = Callable[[Tensor], Forward]
"""Takes the images, (B, 3, H, W), RGB minus mean and divided by deviation."""


class NotHereError(Exception):
    """An implementation cannot run on this machine; the message says why, and what would help."""


def zoos_net(net: str, **arguments: Any) -> VGG:
    """The zoo's, by the paper's name."""
    model = timm.create_model(NETS[net], **arguments)
    assert isinstance(model, VGG)
    return model


def timms_net(net: str, ours: VGG) -> nn.Module:
    """timm's own, with our weights."""
    model: nn.Module = timm.create_model(PEERS[net])
    model.load_state_dict(ours.state_dict())
    return model


def torchvisions_net(net: str, ours: VGG, **arguments: Any) -> nn.Module:
    """torchvision's, with our weights under its names."""
    names = {timms: theirs for theirs, timms in CLASSIFIER.items()}
    weights = {}
    for key, value in ours.state_dict().items():
        layer, _, kind = key.rpartition(".")
        weights[f"{names.get(layer, layer)}.{kind}"] = value.flatten(1) if layer in names and value.ndim > 1 else value
    model: nn.Module = torchvision.models.get_model(PEERS[net], init_weights=False, **arguments)
    model.load_state_dict(weights)
    return model


class Subject:
    """A net under test, and the file that other runtimes read.

    Args:
        net: The paper's name.
        folder: For that file, which other processes may share.
        threads: For runtimes with threads of their own.
    """

    def __init__(self, net: str, folder: Path, threads: int) -> None:
        self.name, self.folder, self.threads = net, folder, threads
        torch.manual_seed(0)
        self.net = zoos_net(net).eval()

    @cached_property
    def fast(self) -> Any:
        """`ours`."""
        return vgg_zoo.fast_inference(self.net)

    @cached_property
    def fast_bf16(self) -> Any:
        """`ours, bf16`."""
        make: Any = vgg_zoo.fast_inference
        try:
            return make(self.net, precision="bf16")
        except (ValueError, RuntimeError) as error:
            raise NotHereError(f"cannot be made: {error}") from error

    @cached_property
    def onnx(self) -> Path:
        """The dense net for images of any number and size."""
        try:
            from hub.repository.dense_onnx import write_dense_onnx
        except ImportError as error:
            raise NotHereError(f"needs {error.name} to write the ONNX file: {install('benchmarks')}") from error
        path = self.folder / "dense.onnx"
        if not path.is_file():
            write_dense_onnx(self.net, path)
        return path

    def pixels(self, images: Tensor) -> Any:
        """The images as that file takes them, RGB in 0–255."""
        mean, deviation = (torch.tensor(self.net.pretrained_cfg[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
        return ((images * deviation + mean) * 255).numpy()


@torch.inference_mode()
def scores(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """One pass of a module."""
    return model(images)


def _pytorch(model: Callable[[Tensor], Tensor]) -> Prepare:
    return lambda images: partial(scores, model, images)


def _torch_compile(subject: Subject, mode: str = "default") -> Prepare:
    """The zoo's net, which is faster than timm's as it stands; compiled again for each shape."""
    if not any(map(shutil.which, COMPILERS)):
        raise NotHereError(f"needs a C++ compiler, and there is none of {', '.join(COMPILERS)}")

    def prepare(images: Tensor) -> Forward:
        torch.compiler.reset()
        return partial(scores, torch.compile(subject.net, dynamic=False, mode=mode), images)

    return prepare


def _autocast(subject: Subject) -> Prepare:
    def forward(images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return subject.net(images).float()

    return _pytorch(forward)


def _onnx_runtime(subject: Subject, *, defaults: bool = False) -> Prepare:
    try:
        import onnxruntime
    except ImportError as error:
        raise NotHereError(f"needs {error.name}: {install('benchmarks')}") from error
    options = onnxruntime.SessionOptions()
    if not defaults:
        options.intra_op_num_threads, options.inter_op_num_threads = subject.threads, 1
        options.add_session_config_entry("session.force_spinning_stop", "1")  # not into the next implementation's time
    session = onnxruntime.InferenceSession(subject.onnx, options, providers=["CPUExecutionProvider"])

    def prepare(images: Tensor) -> Forward:
        given = {"images": subject.pixels(images)}
        return lambda: torch.from_numpy(session.run(["class_score_map"], given)[0]).mean((2, 3))

    return prepare


def _openvino(subject: Subject, *, defaults: bool = False) -> Prepare:
    try:
        import openvino
    except ImportError as error:
        raise NotHereError(f"needs {error.name}: {install('benchmarks')}") from error
    core = openvino.Core()
    settings: Mapping[str, Any] = {
        "INFERENCE_NUM_THREADS": subject.threads,
        "INFERENCE_PRECISION_HINT": "f32",  # else it takes bfloat16 where the processor has it
        "PERFORMANCE_HINT": "LATENCY",
    }

    def prepare(images: Tensor) -> Forward:
        model = core.read_model(subject.onnx)
        model.reshape(list(images.shape))
        compiled = core.compile_model(model, "CPU", {} if defaults else settings)
        given = subject.pixels(images)
        return lambda: torch.from_numpy(compiled([given])["class_score_map"]).mean((2, 3))

    return prepare


@dataclass(frozen=True, slots=True)
class Implementation:
    """A way to run a net.

    Attributes:
        build: Takes a subject.
        about: Whose net, and the settings, in words.
        float32: It computes in float32 on every CPU; others may take bfloat16.
        shares: It may take turns with others in one process.
        asked_for: It runs only if it is named.
    """

    build: Callable[[Subject], Prepare]
    about: str
    float32: bool = True
    shares: bool = True
    asked_for: bool = False


_OURS_BF16 = Implementation(lambda subject: _pytorch(subject.fast_bf16), 'precision="bf16"', float32=False)
_HAS_BF16 = "precision" in inspect.signature(vgg_zoo.fast_inference).parameters

IMPLEMENTATIONS: dict[str, Implementation] = {
    "ours": Implementation(lambda subject: _pytorch(subject.fast), "`vgg_zoo.fast_inference(model)`"),
    **({"ours, bf16": _OURS_BF16} if _HAS_BF16 else {}),
    "ours, exact": Implementation(
        lambda subject: _pytorch(subject.net), "the zoo's net, as `timm.create_model` gives it"
    ),
    "timm": Implementation(
        lambda subject: _pytorch(timms_net(subject.name, subject.net).eval()), "its own net, as it stands"
    ),
    "torchvision": Implementation(
        lambda subject: _pytorch(torchvisions_net(subject.name, subject.net).eval()), "its own net, as it stands"
    ),
    "torch.compile": Implementation(_torch_compile, "of the zoo's net"),
    "torch.compile, max-autotune": Implementation(
        partial(_torch_compile, mode="max-autotune"), "of the zoo's net", asked_for=True
    ),
    "torch, bf16": Implementation(_autocast, "the zoo's net under `torch.autocast`", float32=False),
    "ONNX Runtime": Implementation(_onnx_runtime, "as many threads as ours, which do not wait for work in a loop"),
    "ONNX Runtime, defaults": Implementation(
        partial(_onnx_runtime, defaults=True), "default session options: threads that wait in a loop", shares=False
    ),
    "OpenVINO": Implementation(_openvino, "as many threads as ours, precision hint f32, latency"),
    "OpenVINO, defaults": Implementation(
        partial(_openvino, defaults=True), "no settings: it takes bfloat16 where the CPU has it", float32=False
    ),
}
"""By name, in the order of the tables; `ours, bf16` where this version has it."""


def has(implementation: str, net: str, side: int) -> bool:
    """Whether an implementation computes this net: torchvision's pools what is not 7 × 7, and so another one."""
    if implementation in ("timm", "torchvision") and net not in PEERS:
        return False
    return implementation != "torchvision" or side == 224
