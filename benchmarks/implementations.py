"""The same net, with the same weights, as each library runs it on a CPU.

An implementation is built once for a net (`BUILDERS`) and then prepared for images of one shape: what it compiles or
reorders then is not timed.
"""

import os
import shutil
from collections.abc import Callable
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
from vgg_zoo.weights.state_dict import CLASSIFIER

EXTRA = "pip install 'vgg-zoo[benchmarks]'"
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
        folder: For that file.
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

    def work(self, side: int, batch: int) -> int:
        """The multiplications of a pass, with their additions, if every convolution is computed directly."""
        return batch * self.net.configuration.multiply_adds(side)

    def work_done(self, side: int, batch: int) -> float:
        """The multiplications that `ours` does instead, as its plan has it; fc8 is not in the plan."""
        planned = sum(layer.multiplications for layer in self.fast.plan(side, side, batch).layers)
        return planned * 1e9 + batch * self.net.head.fc.weight.numel()

    @cached_property
    def onnx(self) -> Path:
        """The dense net for images of any number and size."""
        try:
            from hub.repository.dense_onnx import write_dense_onnx
        except ImportError as error:
            raise NotHereError(f"needs {error.name} to write the ONNX file: {EXTRA}") from error
        path = self.folder / "dense.onnx"
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


def _torch_compile(subject: Subject) -> Prepare:
    """The zoo's net, which is faster than timm's as it stands; compiled again for each shape."""
    if not any(map(shutil.which, COMPILERS)):
        raise NotHereError(f"needs a C++ compiler, and there is none of {', '.join(COMPILERS)}")

    def prepare(images: Tensor) -> Forward:
        torch.compiler.reset()
        return partial(scores, torch.compile(subject.net, dynamic=False), images)

    return prepare


def _onnx_runtime(subject: Subject) -> Prepare:
    try:
        import onnxruntime
    except ImportError as error:
        raise NotHereError(f"needs {error.name}: {EXTRA}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = subject.threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")  # not into the next implementation's time
    session = onnxruntime.InferenceSession(subject.onnx, options, providers=["CPUExecutionProvider"])

    def prepare(images: Tensor) -> Forward:
        given = {"images": subject.pixels(images)}
        return lambda: torch.from_numpy(session.run(["class_score_map"], given)[0]).mean((2, 3))

    return prepare


def _openvino(subject: Subject) -> Prepare:
    try:
        import openvino
    except ImportError as error:
        raise NotHereError(f"needs {error.name}: {EXTRA}") from error
    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": subject.threads,
        "INFERENCE_PRECISION_HINT": "f32",  # else it takes bfloat16 where the processor has it
        "PERFORMANCE_HINT": "LATENCY",
    }

    def prepare(images: Tensor) -> Forward:
        model = core.read_model(subject.onnx)
        model.reshape(list(images.shape))
        compiled, given = core.compile_model(model, "CPU", settings), subject.pixels(images)
        return lambda: torch.from_numpy(compiled([given])["class_score_map"]).mean((2, 3))

    return prepare


BUILDERS: dict[str, Callable[[Subject], Prepare]] = {
    "ours": lambda subject: _pytorch(subject.fast),
    "ours, exact": lambda subject: _pytorch(subject.net),
    "timm": lambda subject: _pytorch(timms_net(subject.name, subject.net).eval()),
    "torchvision": lambda subject: _pytorch(torchvisions_net(subject.name, subject.net).eval()),
    "torch.compile": _torch_compile,
    "ONNX Runtime": _onnx_runtime,
    "OpenVINO": _openvino,
}
"""`ours` is `vgg_zoo.fast_inference`, "ours, exact" the net as `timm.create_model` gives it."""


def has(implementation: str, net: str, side: int) -> bool:
    """Whether an implementation computes this net: torchvision's pools what is not 7 × 7, and so another one."""
    if implementation in ("timm", "torchvision") and net not in PEERS:
        return False
    return implementation != "torchvision" or side == 224
