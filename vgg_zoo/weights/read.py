"""Reading a file of weights of any known kind, recognised by its content: the state dict, and its origin."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from vgg_zoo.configurations import IMAGENET_MEAN
from vgg_zoo.weights.caffe import looks_like_caffe, read_caffe
from vgg_zoo.weights.keras import read_keras
from vgg_zoo.weights.matconvnet import read_matconvnet
from vgg_zoo.weights.state_dict import is_torchvision, read_pickled, read_safetensors

_HDF5, _ZIP, _PICKLE = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x80"
_KINDS = (
    "a .caffemodel, a Keras .h5, a MatConvNet .mat (format 5), or a state dict in timm's or torchvision's layout "
    "as .safetensors, .pth or .pt"
)
ORDERS = ("rgb", "bgr")

_FIRST = "features.0"
"""Key of the first convolution, in timm's layout and in torchvision's."""

_OXFORDS_FILTER, _OXFORDS_BIASES = (0.42947057, 0.55037946, 0.48001540), (0.7342983, 0.0934037, 0.0677567)
"""Oxford's net D: the first tap of its first filter, in the order B, G, R, and its first three biases.

Only known filters identify the input. Their size does not: Oxford's, for 0–255, have a root mean square of 0.207, and
torchvision's begin their training at 0.059 for inputs that are 58 times smaller. Nor do the statistics of red and blue
differ.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """What is known of a file's weights.

    Attributes:
        kind: The kind of file in words: "Caffe (V1)", "Keras", ...
        tag: The kind as a word of a timm tag.
        order: Order of the colours for the file's first convolution, "rgb" or "bgr".
        mean: RGB in 0–255, which is subtracted from the images.
        deviation: Divisor after the subtraction, in 0–255.
        reasons: How "order", "mean" and "deviation" are known; a missing entry is assumed, as usual for the kind.
        class_names: Names in the order of the outputs, if the file has them.
    """

    kind: str
    tag: str
    order: str = "rgb"
    mean: tuple[float, ...] = IMAGENET_MEAN
    deviation: tuple[float, ...] = (1.0, 1.0, 1.0)
    reasons: Mapping[str, str] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()


IMAGENET = {
    "mean": tuple(255 * value for value in (0.485, 0.456, 0.406)),
    "deviation": tuple(255 * value for value in (0.229, 0.224, 0.225)),
}
"""The mean and the deviation of timm's and torchvision's trainings."""


def read_weights(file: Path, order: str | None = None) -> tuple[dict[str, Tensor], SourceInfo]:
    """Read the weights of a VGG from any of the files in which they are published.

    Args:
        file: A `.caffemodel`, Keras `.h5`, MatConvNet `.mat`, `.safetensors`, `.pth` or `.pt`, under any name.
        order: Order of the colours for the first convolution, "rgb" or "bgr"; None takes that of the file, or the usual
            order of its kind.

    Returns:
        The state dict for RGB images in float32, in timm's layout, or in torchvision's if the file has this; and what
        is known about it. The function does not check whether it is a whole net.

    Raises:
        ValueError: The file is missing, of another kind, or damaged; or it cannot have this order of colours.
        ImportError: h5py or SciPy, which Keras' and MatConvNet's files need, is not installed.
    """
    if order not in (None, *ORDERS):
        raise ValueError(f"unknown order of colours {order!r}; it is one of {', '.join(ORDERS)}")
    if not file.is_file():
        raise ValueError(f"{file} {'is a folder' if file.is_dir() else 'does not exist'}; name one file: {_KINDS}")
    tensors, info = _read(file)
    info = _with_order(info, order, _oxfords_order(tensors))
    first = tensors.get(f"{_FIRST}.weight")
    coloured = first is not None and first.ndim == 4 and first.shape[1] == 3
    if order and not coloured:
        raise ValueError(f"{file}: order {order!r} needs a first convolution of 3 channels, which it does not have")
    if first is not None and coloured and info.order == "bgr":
        tensors[f"{_FIRST}.weight"] = first.flip(1)
    return tensors, info


def _read(file: Path) -> tuple[dict[str, Tensor], SourceInfo]:
    """The unchanged weights, including their first convolution, and the defaults for their kind."""
    with file.open("rb") as opened:
        start = opened.read(1024)
    if start.startswith(_HDF5):
        tensors, kind = read_keras(file)
        return tensors, SourceInfo(kind=kind, tag="keras", order="bgr")
    if start.startswith(b"MATLAB 7.3") or _HDF5 in start:
        raise ValueError(f"{file} is a MATLAB file of format 7.3; load it in MATLAB and `save` it with '-v7'")
    if start.startswith(b"MATLAB") and start[126:128] in (b"IM", b"MI"):
        tensors, mean, names = read_matconvnet(file)
        info = SourceInfo(kind="MatConvNet", tag="matconvnet", class_names=names)
        return tensors, replace(info, mean=mean, reasons={"mean": "the file's averageImage"}) if mean else info
    if _is_safetensors(start, file.stat().st_size):
        return _state_dict(read_safetensors(file), {})
    if start.startswith(_ZIP) and start[30:].startswith(b"metadata.json"):
        raise ValueError(f"{file} is a .keras archive; unzip it and take model.weights.h5, its weights")
    if start.startswith((_ZIP, _PICKLE)):
        return _state_dict(*read_pickled(file, zipped=start.startswith(_ZIP)))
    if looks_like_caffe(start):
        tensors, version = read_caffe(file)
        return tensors, SourceInfo(kind=f"Caffe ({version})", tag="caffe", order="bgr")
    raise ValueError(f"{file} begins with {start[:8]!r}, like none of the known kinds: {_KINDS}")


def _is_safetensors(start: bytes, size: int) -> bool:
    """A header's length in 8 bytes, then the header: an object in JSON."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size - 8


def _state_dict(
    tensors: dict[str, Tensor], trained: Mapping[str, tuple[float, ...]]
) -> tuple[dict[str, Tensor], SourceInfo]:
    layout = "torchvision" if is_torchvision(tensors) else "timm"
    info = SourceInfo(
        kind=f"PyTorch, in {layout}'s layout",
        tag=layout,
        mean=trained.get("mean", IMAGENET["mean"]),
        deviation=trained.get("deviation", IMAGENET["deviation"]),
        reasons=dict.fromkeys(trained, "the checkpoint's args"),
    )
    return tensors, info


def _oxfords_order(tensors: Mapping[str, Tensor]) -> str | None:
    """The order of colours if the first convolution is that of Oxford's net D; None for any other."""
    weight, bias = tensors.get(f"{_FIRST}.weight"), tensors.get(f"{_FIRST}.bias")
    if weight is None or bias is None or weight.ndim != 4 or weight.shape[1] != 3:
        return None
    first = {"rgb": weight[0, :, 0, 0].flip(0), "bgr": weight[0, :, 0, 0]}
    for order, channels in first.items():
        found = torch.cat([channels, bias[:3]])
        expected = torch.tensor(_OXFORDS_FILTER + _OXFORDS_BIASES)
        if found.shape == expected.shape and torch.allclose(found, expected, rtol=0, atol=1e-3):  # or half precision
            return order
    return None


def _with_order(info: SourceInfo, given: str | None, oxfords: str | None) -> SourceInfo:
    """The origin with the given order of colours, or else Oxford's, and the mean and deviation that go with it."""
    reasons = dict(info.reasons)
    if oxfords or given == "bgr":  # files with BGR have Caffe's input
        why = "known by Oxford's first filters" if oxfords else "assumed"
        mean = info.mean if "mean" in reasons else IMAGENET_MEAN
        deviation = info.deviation if "deviation" in reasons else (1.0, 1.0, 1.0)
        info = replace(info, mean=mean, deviation=deviation)
        reasons = {"order": why, "mean": why, "deviation": why, **reasons}
    if given:
        reasons["order"] = "as given"
    return replace(info, order=given or oxfords or info.order, reasons=reasons)
