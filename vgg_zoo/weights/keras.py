"""Keras' VGG16 and VGG19 files (.h5), with and without the FC layers: Oxford's weights, transposed."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_CONV = re.compile(r"block([1-5])_conv(\d+)")
_FC = {"fc1": "fc6", "fc2": "fc7", "predictions": "fc8"}


def read_keras(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Weights and biases under the paper's names: kernels (k, k, I, O) become (O, I, k, k), BGR becomes RGB.

    fc6 is flattened as rows, columns, channels in Keras and as channels, rows, columns here.

    Raises:
        ValueError: Layers of other names, other than a kernel and a bias in one, or h5py is not installed.
    """
    try:
        import h5py  # only here is it needed
    except ImportError as error:
        raise ValueError("reading Keras' files needs h5py: pip install 'vgg-zoo[convert]'") from error
    arrays: dict[str, dict[int, Any]] = {}
    others: list[str] = []
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)

            def take(place: str, entry: Any) -> None:
                if isinstance(entry, h5py.Dataset):
                    name = _name(place.partition("/")[0])
                    if name is None or entry.dtype.kind != "f" or entry.ndim not in (1, 2, 4):
                        others.append(place)
                    else:
                        arrays.setdefault(name, {})[min(entry.ndim, 2)] = entry[()]

            root.visititems(take)
    except OSError as error:
        raise ValueError(f"{path} is no whole HDF5 file ({error})") from error
    wanting = [name for name, found in arrays.items() if set(found) != {1, 2}]
    if others or wanting or not arrays:
        what = ", ".join([*others[:3], *wanting[:3]]) or "nothing at all"
        raise ValueError(f"{path} holds {what}; Keras' VGG files hold block1_conv1 ... fc1, fc2, predictions")
    channels = next((arrays[name][2].shape[-1] for name in sorted(arrays, reverse=True) if name < "fc"), 1)
    return {name: (_weight(name, found[2], channels), torch.from_numpy(found[1])) for name, found in arrays.items()}


def _name(layer: str) -> str | None:
    match = _CONV.fullmatch(layer)
    return f"conv{match[1]}_{match[2]}" if match else _FC.get(layer)


def _weight(name: str, kernel: Any, channels: int) -> Tensor:
    if name == "fc6":
        side = round((kernel.shape[0] / channels) ** 0.5)
        if side * side * channels != kernel.shape[0]:
            raise ValueError(f"fc1 has {kernel.shape[0]} inputs, no k × k cells of the trunk's {channels} channels")
        kernel = kernel.reshape(side, side, channels, -1)
    if kernel.ndim == 2:
        return torch.from_numpy(np.ascontiguousarray(kernel.T))
    weight = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
    return weight.flip(1) if name == "conv1_1" else weight
