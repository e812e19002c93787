"""A file of weights of any known kind → a state dict and where it comes from; by content, not by name."""

from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """What is known of a file's weights by its kind.

    Attributes:
        kind: In words: "Caffe (V1)", "Keras", ...
        tag: The same as a word of a timm tag.
        mean: RGB in 0–255 that the net takes its images minus.
        deviation: What that is divided by, in 0–255.
    """

    kind: str
    tag: str
    mean: tuple[float, ...] = IMAGENET_MEAN
    deviation: tuple[float, ...] = (1.0, 1.0, 1.0)


IMAGENET = {
    "mean": tuple(255 * value for value in (0.485, 0.456, 0.406)),
    "deviation": tuple(255 * value for value in (0.229, 0.224, 0.225)),
}
"""What timm and torchvision train with."""


def read_weights(file: Path) -> tuple[dict[str, Tensor], SourceInfo]:
    """Read the weights of a VGG from any of the files in which they are published.

    Args:
        file: A `.caffemodel`, Keras `.h5`, MatConvNet `.mat`, `.safetensors`, `.pth` or `.pt`, under any name.

    Returns:
        The state dict in float32, in timm's layout, or in torchvision's if it was; and what its kind says. Whether it
        is a whole net, and which, is not checked here.

    Raises:
        ValueError: No such file, none of these kinds, or a damaged one.
        ImportError: h5py or SciPy, which Keras' and MatConvNet's files need, is not installed.
    """
    if not file.is_file():
        raise ValueError(f"{file} is {'a folder' if file.is_dir() else 'not there'}; name one file: {_KINDS}")
    with file.open("rb") as opened:
        start = opened.read(1024)
    if start.startswith(_HDF5):
        return read_keras(file), SourceInfo(kind="Keras", tag="keras")
    if start.startswith(b"MATLAB 7.3") or _HDF5 in start:
        raise ValueError(f"{file} is a MATLAB file of format 7.3; load it in MATLAB and `save` it with '-v7'")
    if start.startswith(b"MATLAB") and start[126:128] in (b"IM", b"MI"):
        return read_matconvnet(file), SourceInfo(kind="MatConvNet", tag="matconvnet")
    if _is_safetensors(start, file.stat().st_size):
        return _state_dict(read_safetensors(file))
    if start.startswith(_ZIP) and start[30:].startswith(b"metadata.json"):
        raise ValueError(f"{file} is a .keras archive; unzip it and take model.weights.h5, its weights")
    if start.startswith((_ZIP, _PICKLE)):
        return _state_dict(read_pickled(file, zipped=start.startswith(_ZIP)))
    if looks_like_caffe(start):
        tensors, version = read_caffe(file)
        return tensors, SourceInfo(kind=f"Caffe ({version})", tag="caffe")
    raise ValueError(f"{file} begins with {start[:8]!r}, like none of the known kinds; they are {_KINDS}")


def _is_safetensors(start: bytes, size: int) -> bool:
    """A header's length in 8 bytes, then the header: an object in JSON."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size - 8


def _state_dict(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], SourceInfo]:
    layout = "torchvision" if is_torchvision(tensors) else "timm"
    return tensors, SourceInfo(kind=f"PyTorch, in {layout}'s layout", tag=layout, **IMAGENET)
