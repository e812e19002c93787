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

_META = ("meta", "normalization", "classes")
"""Other fields that are read: the last two are in `meta`, or beside it in older files."""


def read_matconvnet(file: Path) -> tuple[dict[str, Tensor], tuple[float, ...] | None, tuple[str, ...]]:
    """Read a SimpleNN file: a list `layers` of structs with `name` and `weights`, or `filters` and `biases`.

    No code in it is run: SciPy returns function handles and objects as opaque bytes, which are ignored.

    Args:
        file: A file in format 5, as on MatConvNet's site.

    Returns:
        A state dict in timm's layout (RGB, float32); `averageImage`, as one number in 0–255 for each channel, or None;
        and the names of the classes, if there are any.

    Raises:
        ValueError: The file is not whole, or not a SimpleNN file.
        ImportError: SciPy is not installed.
    """
    with needs_extra(file):
        from scipy.io import loadmat
    try:
        read = loadmat(str(file), variable_names=["layers", *_META])
    except Exception as error:  # SciPy's reader raises a dozen kinds of errors for damaged files
        raise ValueError(
            f"{file} is not a whole MATLAB file of format 5 ({error}): truncated or damaged. Get it again."
        ) from error
    layers = read.get("layers")
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
    meta = [read, {field: _inside(read.get("meta"), field) for field in _META}]
    names = (_inside(one.get("classes"), field) for one in meta for field in ("description", "name"))
    return (
        to_timm(found, file),
        next(filter(None, (_mean(_inside(one.get("normalization"), "averageImage")) for one in meta)), None),
        next(filter(None, map(_strings, names)), ()),
    )


def _inside(struct: Any, field: str) -> Any:
    """A field of a single struct; None if it is no struct, or has no such field."""
    names = struct.dtype.names if isinstance(struct, np.ndarray) and struct.size == 1 else None
    return struct[field].flat[0] if names and field in names else None


def _mean(image: Any) -> tuple[float, ...] | None:
    """The mean of each channel of an image (height, width, channels), or of a list with a value per channel."""
    if not isinstance(image, np.ndarray) or image.dtype.kind not in "fiu" or not image.size:
        return None
    found = image.astype(np.float64).mean((0, 1)) if image.ndim == 3 else image.astype(np.float64).ravel()
    return tuple(found.tolist()) if found.size in (1, 3) and np.isfinite(found).all() else None


def _strings(cell: Any) -> tuple[str, ...]:
    """The strings of a cell array; empty if it is no such array."""
    texts = [np.ravel(one) for one in cell.flat] if isinstance(cell, np.ndarray) and cell.dtype == object else []
    if not all(text.dtype.kind == "U" and text.size == 1 for text in texts):
        return ()
    return tuple(str(text[0]) for text in texts)


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
        raise ValueError(f"{file}: the {kind} of layer {name!r} is not an array of floats with at most four dimensions")
    if kind == "weight":
        # MATLAB drops trailing dimensions of 1: one output, or one input and one output.
        value = value.reshape(value.shape + (1,) * (4 - value.ndim)).transpose(3, 2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32))
