"""Keras' VGG files: HDF5 of Keras 1, 2 and 3, with and without the FC layers ("top").

Kernels are (height, width, in, out) and take BGR; the first FC layer's matrix is flattened in the order H, W, C. Keras
1 on Theano ("th_kernels") has kernels (out, in, height, width), rotated by 180°, and the matrix as C, H, W.
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
"""How many times larger than the file the arrays may be. Weights hardly compress, so a larger array has a false
shape."""


def read_keras(file: Path) -> tuple[dict[str, Tensor], str]:
    """Read the weights of a Keras VGG: `.h5` of `save` and `save_weights`, `.weights.h5`, and those on Keras' own site.

    Args:
        file: An HDF5 file. Links and arrays that lead out of it are ignored.

    Returns:
        A state dict in timm's layout (float32; the first convolution is unchanged), and the kind of file in words.
        Layers that a VGG does not have are on the device "meta", with shapes and no numbers.

    Raises:
        ValueError: The file is not a whole HDF5 file, has no layer with the name of a VGG's, or has kernels of unknown
            form.
        ImportError: h5py is not installed.
    """
    with needs_extra(file):
        import h5py
    try:
        with h5py.File(file, "r") as opened:
            layers, kind = _layers(opened, file.stat().st_size)
    except (OSError, RuntimeError, KeyError) as error:  # h5py's errors for damaged files
        raise ValueError(f"{file} is not a whole HDF5 file ({error}): truncated or damaged. Get it again.") from error
    if all(value.is_meta for value in layers.values()):
        raise ValueError(f"{file} has no layer of Keras' VGG; these are called block1_conv1, ..., predictions")
    return to_timm(layers, file), kind


def keras_names() -> dict[str, str]:
    """Keras' layer names, and those of files made from Caffe's → Oxford's: {"block1_conv1": "conv1_1", ...}."""
    convs = {layer.name for net in TABLE_1.values() for layer in net.layers() if layer.kind == "conv"}
    names = {"block{}_conv{}".format(*name.removeprefix("conv").split("_")): name for name in convs}
    names |= dict(zip(("fc1", "fc2", "predictions"), FC_KEYS, strict=True))
    return names | {name: name for name in names.values()}


def _layers(opened: "h5py.File", size: int) -> tuple[dict[str, Tensor], str]:
    found: dict[str, Tensor] = {}
    total = 0
    datasets = list(_datasets(opened))
    theanos = _are_theanos(opened, datasets)
    for name, dataset in datasets:
        if name not in keras_names():
            found.setdefault(f"{name}.{dataset.name.rpartition('/')[2]}", torch.empty(dataset.shape, device="meta"))
            continue
        total += dataset.nbytes
        if dataset.external or dataset.is_virtual or total > _MOST_INFLATION * size:
            raise ValueError(
                f"{opened.filename}: {dataset.name} of shape {dataset.shape} is not within the file's {size} bytes"
            )
        key = f"{name}.{'bias' if dataset.ndim == 1 else 'weight'}"
        if key in found:
            raise ValueError(f"{opened.filename}: {dataset.name} is a second {key} of the same net")
        found[key] = _tensor(name, dataset[()], theanos)
    first = found.get(f"{FIRST_FC}.weight")
    if first is not None and first.ndim == 2 and not theanos:
        channels, side = first_fc_input(first.shape[0], found, Path(opened.filename))
        found[f"{FIRST_FC}.weight"] = first.view(side, side, channels, -1).permute(3, 2, 0, 1).contiguous()
    return found, "Keras 1 on Theano" if theanos else "Keras"


def _datasets(opened: "h5py.File") -> Iterator[tuple[str, Any]]:
    """The arrays of floats and the names of their layers; a VGG's layer has Oxford's name."""
    import h5py

    names = keras_names()
    paths: list[str] = []
    opened.visit(paths.append)  # follows hard links only
    for path in paths:
        parts = path.split("/")
        if parts[0] in _OPTIMIZER or not isinstance(opened[path], h5py.Dataset):
            continue
        own = _name_of_keras_3(opened, parts) or parts[-2:][0]
        known = [names[part] for part in (*parts, own) if part in names]
        if known or (opened[path].ndim and opened[path].dtype.kind == "f"):
            yield known[-1] if known else own, opened[path]


def _name_of_keras_3(opened: "h5py.File", parts: list[str]) -> str:
    """Keras 3 counts layers ("layers/conv2d_1/vars/0") and gives their names as an attribute of "vars"."""
    if len(parts) < 2 or parts[-2] != "vars":
        return ""
    name = opened["/".join(parts[:-1])].attrs.get("name", "")
    return name if isinstance(name, str) else ""


def _are_theanos(opened: "h5py.File", datasets: list[tuple[str, Any]]) -> bool:
    """Whether the kernels have their outputs first, as written by Keras 1 on Theano, before it stored the backend.

    Raises:
        ValueError: They are Theano's in the later form.
    """
    outputs = {name: dataset.shape[0] for name, dataset in datasets if dataset.ndim == 1}
    first = any(
        name.startswith("conv") and dataset.ndim == 4 and dataset.shape[0] == outputs.get(name) != dataset.shape[3]
        for name, dataset in datasets
    )
    backend = opened.get("model_weights", opened).attrs.get("backend", "")
    if not first and backend in ("theano", b"theano"):
        raise ValueError(
            f"{opened.filename} was written by Keras 2 on Theano: its kernels are rotated by 180°, and it does not say "
            "in which order its first Dense layer takes the map. Load it in Keras 2 on TensorFlow and save it there"
        )
    return first


def _tensor(name: str, value: np.ndarray[Any, Any], theanos: bool) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
    if tensor.ndim == 4:
        # Theano computes a convolution in the mathematical sense: it reads the kernel from its end.
        tensor = tensor.flip(2, 3) if theanos else tensor.permute(3, 2, 0, 1)  # → (out, in, k, k)
    if name in FC_KEYS and tensor.ndim == 2 and (theanos or name != FIRST_FC):
        tensor = tensor.t()
    return tensor.contiguous()
