"""MatConvNet's `imagenet-vgg-verydeep-16.mat` and `-19.mat`: Oxford's nets in MATLAB's format 5.

Filters are (height, width, in, out) and take RGB; FC layers are convolutions.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vgg_zoo.weights.files import needs_extra
from vgg_zoo.weights.layout import to_timm


def read_matconvnet(file: Path) -> dict[str, Tensor]:
    """Read a SimpleNN file: a list `layers` of structs with `name` and `weights`, or `filters` and `biases`.

    Nothing in it is run: SciPy hands function handles and objects out as opaque bytes, and they are not looked at.

    Args:
        file: In format 5, as MatConvNet's site has them.

    Returns:
        A state dict in timm's layout (RGB, float32).

    Raises:
        ValueError: Not a whole file, or not of SimpleNN's form.
        ImportError: SciPy is not installed.
    """
    with needs_extra(file):
        from scipy.io import loadmat
    try:
        layers = loadmat(str(file), variable_names=["layers"]).get("layers")
    except Exception as error:  # SciPy's reader raises a dozen kinds over damaged bytes
        raise ValueError(
            f"{file} is no whole MATLAB file of format 5 ({error}): cut short or damaged. Fetch it again."
        ) from error
    if not isinstance(layers, np.ndarray):
        raise ValueError(f"{file} has no list `layers`: it is not one of MatConvNet's SimpleNN files (nor DagNN's)")
    found: dict[str, Tensor] = {}
    for layer in layers.flat:
        name, arrays = _layer(layer)
        for kind, value in zip(("weight", "bias"), arrays, strict=False):
            if f"{name}.{kind}" in found:
                raise ValueError(f"{file} has two layers {name!r} with weights")
            found[f"{name}.{kind}"] = _tensor(file, name, kind, value)
    if not found:
        raise ValueError(f"{file} has no layer with weights")
    return to_timm(found, file)


def _layer(layer: Any) -> tuple[str, list[Any]]:
    """A layer's name and its arrays: two, or none."""
    names = layer.dtype.names if isinstance(layer, np.ndarray) and layer.size == 1 else None
    if names is None or "name" not in names:
        return "", []
    fields = {field: layer[field].flat[0] for field in names}
    if "weights" in fields:
        cell = fields["weights"]
        arrays = list(cell.flat) if isinstance(cell, np.ndarray) and cell.dtype == object else []
    else:
        arrays = [fields[field] for field in ("filters", "biases") if field in fields]
    return "".join(str(part) for part in np.ravel(fields["name"])), arrays


def _tensor(file: Path, name: str, kind: str, value: Any) -> Tensor:
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.ndim > 4:
        raise ValueError(f"{file}: the {kind} of layer {name!r} is no array of floats with four dimensions at most")
    if kind == "weight":
        # MATLAB drops trailing dimensions of 1: one output, or one input and one output.
        value = value.reshape(value.shape + (1,) * (4 - value.ndim)).transpose(3, 2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
