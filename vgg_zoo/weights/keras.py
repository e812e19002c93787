"""Keras' VGG files: HDF5 of Keras 1, 2 and 3, with and without the FC layers ("top").

Kernels are (height, width, in, out) and take BGR; the first FC layer's matrix is flattened in the order H, W, C.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vgg_zoo.configurations import FC_KEYS, TABLE_1
from vgg_zoo.weights.files import needs_extra
from vgg_zoo.weights.layout import FIRST_FC, first_fc_input, to_timm

if TYPE_CHECKING:
    import h5py

_OPTIMIZER = ("optimizer_weights", "optimizer")
_MOST_INFLATION = 8
"""Times that the arrays may be larger than the file; weights hardly compress, so more is a made-up shape."""


def read_keras(file: Path) -> dict[str, Tensor]:
    """Read the weights of a Keras VGG: `.h5` of `save` and `save_weights`, `.weights.h5`, and those on Keras' own site.

    Args:
        file: An HDF5 file. Links and arrays that lead out of it are not followed.

    Returns:
        A state dict in timm's layout (RGB, float32).

    Raises:
        ValueError: Not a whole HDF5 file, or no layer in it has the name of a VGG's.
        ImportError: h5py is not installed.
    """
    with needs_extra(file):
        import h5py
    try:
        with h5py.File(file, "r") as opened:
            layers = _layers(opened, file.stat().st_size)
    except (OSError, RuntimeError, KeyError) as error:  # what h5py makes of damage
        raise ValueError(f"{file} is no whole HDF5 file ({error}): cut short or damaged. Fetch it again.") from error
    if not layers:
        raise ValueError(f"{file} has no layer of Keras' VGG in it: they are called block1_conv1, ..., predictions")
    return to_timm(layers, file, bgr=True)


def keras_names() -> dict[str, str]:
    """Keras' layer names → Oxford's: {"block1_conv1": "conv1_1", ..., "predictions": "fc8"}."""
    convs = {layer.name for net in TABLE_1.values() for layer in net.layers() if layer.kind == "conv"}
    names = {"block{}_conv{}".format(*name.removeprefix("conv").split("_")): name for name in convs}
    return names | dict(zip(("fc1", "fc2", "predictions"), FC_KEYS, strict=True))


def _layers(opened: "h5py.File", size: int) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    total = 0
    for name, dataset in _datasets(opened):
        total += dataset.nbytes
        if dataset.external or dataset.is_virtual or total > _MOST_INFLATION * size:
            raise ValueError(
                f"{opened.filename}: {dataset.name} of shape {dataset.shape} is not within the file's {size} bytes"
            )
        key = f"{name}.{'bias' if dataset.ndim == 1 else 'weight'}"
        if key in found:
            raise ValueError(f"{opened.filename}: {dataset.name} is a second {key} of one net")
        found[key] = _tensor(name, dataset[()])
    first = found.get(f"{FIRST_FC}.weight")
    if first is not None and first.ndim == 2:
        channels, side = first_fc_input(first.shape[0], found, Path(opened.filename))
        found[f"{FIRST_FC}.weight"] = first.view(side, side, channels, -1).permute(3, 2, 0, 1).contiguous()
    return found


def _datasets(opened: "h5py.File") -> Iterator[tuple[str, Any]]:
    """Oxford's layer names and the arrays of those layers."""
    import h5py

    names = keras_names()
    paths: list[str] = []
    opened.visit(paths.append)  # goes along hard links only
    for path in paths:
        parts = path.split("/")
        if parts[0] in _OPTIMIZER or not isinstance(opened[path], h5py.Dataset):
            continue
        parts.append(_name_of_keras_3(opened, parts))
        known = [names[part] for part in parts if part in names]
        if known:
            yield known[-1], opened[path]


def _name_of_keras_3(opened: "h5py.File", parts: list[str]) -> str:
    """Keras 3 counts layers ("layers/conv2d_1/vars/0") and gives their names as an attribute of "vars"."""
    if len(parts) < 2 or parts[-2] != "vars":
        return ""
    name = opened["/".join(parts[:-1])].attrs.get("name", "")
    return name if isinstance(name, str) else ""


def _tensor(name: str, value: np.ndarray[Any, Any]) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
    if tensor.ndim == 4:
        tensor = tensor.permute(3, 2, 0, 1)  # (k, k, in, out) → (out, in, k, k)
    if name in FC_KEYS and name != FIRST_FC and tensor.ndim == 2:
        tensor = tensor.t()
    return tensor.contiguous()
