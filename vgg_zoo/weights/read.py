"""Weights from a file of any known format, told by its first bytes, and the net that they are of."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..configurations import FC_KEYS, TABLE_1
from .caffe import read_caffe
from .fit import fitting_configurations
from .keras import read_keras
from .layers import Layers, fitting_nets, state_dict_of
from .matconvnet import read_matconvnet
from .torchvision import CLASSIFIER

OXFORD_MEAN = (123.68, 116.779, 103.939)
IMAGENET_MEAN, IMAGENET_DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True, slots=True)
class Weights:
    """What a file holds.

    Attributes:
        tensors: Under timm's keys, FC layers as convolutions; without the FC layers if the file has none.
        nets: The configurations that they are weights of: one, or A and A-LRN, which differ in no tensor.
        source: The format.
        mean: RGB in 0–255 that the nets of this format take their images minus.
        deviation: What that is divided by, in 0–255.
    """

    tensors: dict[str, Tensor]
    nets: tuple[str, ...]
    source: str
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    @property
    def has_head(self) -> bool:
        """Whether the FC layers are there."""
        return f"{FC_KEYS['fc8']}.weight" in self.tensors


def read_weights(path: Path) -> Weights:
    """The weights in a file.

    Takes Caffe's .caffemodel, Keras' .h5, MatConvNet's .mat, and state dicts of torchvision and timm as .safetensors or
    as PyTorch's pickles, of which only tensors are read.

    Raises:
        ValueError: No such file, cut short or damaged, or weights of none of the paper's nets; the message says which.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    with path.open("rb") as file:
        head = file.read(16)
    for source, begins, read in _OXFORDS:
        if begins(head):
            return _of_layers(path, source, read(path))
    state_dict = _safetensors(path) if head[8:9] == b"{" else _pickle(path) if _is_pickle(head) else None
    if state_dict is None:
        return _of_layers(path, "Caffe", read_caffe(path))
    return _of_state_dict(path, state_dict)


def _is_pickle(head: bytes) -> bool:
    return head.startswith((b"PK\x03\x04", b"\x80\x02"))


_OXFORDS: tuple[tuple[str, Callable[[bytes], bool], Callable[[Path], Layers]], ...] = (
    ("Keras", lambda head: head.startswith(b"\x89HDF\r\n\x1a\n"), read_keras),
    ("MatConvNet", lambda head: head.startswith(b"MATLAB"), read_matconvnet),
)


def _of_layers(path: Path, source: str, layers: Layers) -> Weights:
    nets = fitting_nets(layers)
    if not nets:
        shown = ", ".join(
            f"{name} {'×'.join(map(str, weight.shape))}" for name, (weight, _) in list(layers.items())[:4]
        )
        raise ValueError(
            f"{path}: the layers ({shown}, ...; {len(layers)} in all) are those of none of {', '.join(TABLE_1)}"
        )
    return Weights(
        tensors=state_dict_of(layers, TABLE_1[nets[0]]),
        nets=tuple(nets),
        source=source,
        mean=OXFORD_MEAN,
        deviation=(1.0, 1.0, 1.0),
    )


def _of_state_dict(path: Path, state_dict: Mapping[str, Tensor]) -> Weights:
    tensors = {}
    for key, value in state_dict.items():
        prefix, _, kind = key.rpartition(".")
        tensors[f"{CLASSIFIER.get(prefix, prefix)}.{kind}"] = value
    nets = fitting_configurations(tensors)
    if not nets:
        shown = ", ".join(f"{key} {'×'.join(map(str, value.shape))}" for key, value in list(tensors.items())[:4])
        raise ValueError(
            f"{path}: the tensors ({shown}, ...; {len(tensors)} in all) are those of none of {', '.join(TABLE_1)}"
        )
    layers = _as_layers(tensors, nets[0])
    return Weights(
        tensors=state_dict_of(layers, TABLE_1[nets[0]]),
        nets=tuple(nets),
        source="state dict",
        mean=IMAGENET_MEAN,
        deviation=IMAGENET_DEVIATION,
    )


def _as_layers(tensors: Mapping[str, Tensor], net: str) -> Layers:
    """The tensors by the paper's layer names; state_dict_of then shapes FC layers of every layout alike."""
    keys = TABLE_1[net].layer_keys()
    unknown = [key for key in tensors if key.rpartition(".")[0] not in keys.values()]
    lone = [key for key in keys.values() if (f"{key}.weight" in tensors) != (f"{key}.bias" in tensors)]
    if unknown or lone:
        raise ValueError(f"tensors that no net of the paper has, or a weight without a bias: {[*unknown, *lone][:4]}")
    return {
        name: (tensors[f"{key}.weight"].float(), tensors[f"{key}.bias"].float())
        for name, key in keys.items()
        if f"{key}.weight" in tensors
    }


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole safetensors file ({error})") from error


def _pickle(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"{path} is damaged, or holds more than tensors, which is not read ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason given'})"
        ) from error
    for name in ("state_dict", "model"):
        content = content.get(name, content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} holds no state dict")
    return content
