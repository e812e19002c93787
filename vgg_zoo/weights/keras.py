"""Keras' VGG16 and VGG19 files (.h5), with and without the FC layers: Oxford's weights, transposed."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_CONV = re.compile(r"block([1-5])_conv(\d+)")
_MOST_INFLATION = 8
"""Times that the arrays may be larger than the file: weights hardly compress, so that more is a made-up shape."""

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
    room = _MOST_INFLATION * path.stat().st_size
    try:
        with h5py.File(path, "r") as file:
            inner = isinstance(file.get("model_weights", getlink=True), h5py.HardLink)
            for place, entry in _datasets(file["model_weights"] if inner else file):
                name = _name(place.partition("/")[0])
                room -= entry.nbytes
                elsewhere = entry.is_virtual or entry.external  # its numbers would come from another file
                if name is None or entry.dtype.kind != "f" or entry.ndim not in (1, 2, 4) or elsewhere or room < 0:
                    others.append(place)
                else:
                    arrays.setdefault(name, {})[min(entry.ndim, 2)] = entry[()].astype(np.float32, copy=False)
    except (OSError, RuntimeError, KeyError) as error:  # what h5py makes of damage
        raise ValueError(f"{path} is no whole HDF5 file ({error})") from error
    wanting = [name for name, found in arrays.items() if set(found) != {1, 2}]
    if others or wanting or not arrays:
        what = ", ".join([*others[:3], *wanting[:3]]) or "nothing at all"
        raise ValueError(f"{path} holds {what}; Keras' VGG files hold block1_conv1 ... fc1, fc2, predictions")
    channels = next((arrays[name][2].shape[-1] for name in sorted(arrays, reverse=True) if name < "fc"), 1)
    return {name: (_weight(name, found[2], channels), torch.from_numpy(found[1])) for name, found in arrays.items()}


def _datasets(group: Any) -> list[tuple[str, Any]]:
    """Every array in the file itself, with its place; links to other files are not followed."""
    found: list[tuple[str, Any]] = []
    group.visititems(lambda place, entry: found.append((place, entry)) if hasattr(entry, "nbytes") else None)
    return found


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
