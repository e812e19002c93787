"""MatConvNet's imagenet-vgg-verydeep files (.mat): Oxford's weights, RGB, kernels as (k, k, I, O)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


def read_matconvnet(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Weights and biases under the paper's names; kernels (k, k, I, O) become (O, I, k, k).

    Raises:
        ValueError: No net of MatConvNet, a file of MATLAB 7.3, or SciPy is not installed.
    """
    try:
        from scipy.io import loadmat  # only here is it needed
    except ImportError as error:
        raise ValueError("reading MATLAB's files needs SciPy: pip install 'vgg-zoo[convert]'") from error
    try:
        content = loadmat(path)
    except NotImplementedError as error:
        raise ValueError(f"{path} is a file of MATLAB 7.3; save it again with save(..., '-v7')") from error
    except Exception as error:  # SciPy's reader raises a dozen kinds over damaged bytes
        raise ValueError(f"{path} is no whole file of MATLAB ({type(error).__name__}: {error})") from error
    layers = content.get("layers", content["net"]["layers"][0, 0] if _has(content.get("net"), "layers") else None)
    if layers is None or layers.dtype != object:
        names = ", ".join(name for name in content if not name.startswith("__")) or "nothing"
        raise ValueError(f"{path} is no net of MatConvNet: it has {names}, and no cell array of layers")
    found = dict(part for cell in layers.ravel() if (part := _layer(path, cell)) is not None)
    if not found:
        raise ValueError(f"{path} has no layer with weights")
    return found


def _layer(path: Path, cell: Any) -> tuple[str, tuple[Tensor, Tensor]] | None:
    """A layer's name, weight and bias; None for one without weights."""
    if not _has(cell, "name"):
        raise ValueError(f"{path}: a layer without a name")
    layer = cell[0, 0]
    name = "".join(map(str, layer["name"].ravel()))
    if _has(cell, "weights"):
        arrays = list(layer["weights"].ravel())
    elif _has(cell, "filters"):  # until MatConvNet beta 8
        arrays = [layer["filters"], layer["biases"]]
    else:
        return None
    if not arrays:
        return None
    if len(arrays) != 2 or any(array.dtype.kind != "f" or array.ndim > 4 for array in arrays):
        raise ValueError(f"{path}: layer {name!r} has no filters and biases")
    kernel, bias = (np.asarray(array, np.float32) for array in arrays)
    kernel = kernel.reshape(kernel.shape + (1,) * (4 - kernel.ndim))  # MATLAB drops last dimensions of 1
    weight = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
    return name, (weight, torch.from_numpy(bias.flatten()))


def _has(value: Any, field: str) -> bool:
    """Whether it is a struct with that field."""
    return (
        isinstance(value, np.ndarray)
        and value.dtype.names is not None
        and field in value.dtype.names
        and value.size > 0
    )
