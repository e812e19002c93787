"""Files of weights as other programs write them, written here without a line of the readers."""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import savemat

from vgg_zoo import VGG

Arrays = dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]


def arrays_of(net: VGG, top: bool = True) -> Arrays:
    """The net's layers by the paper's names, as NumPy arrays (O, I, k, k) of RGB."""
    state = {key: value.numpy() for key, value in net.state_dict().items()}
    keys = net.configuration.layer_keys()
    return {
        name: (state[f"{key}.weight"], state[f"{key}.bias"])
        for name, key in keys.items()
        if top or not name.startswith("fc")
    }


def varint(value: int) -> bytes:
    """Protobuf's numbers: seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field: int, value: int) -> bytes:
    """A field that holds a number."""
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes) -> bytes:
    """A field that holds a message, a text or packed numbers."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def blob(array: np.ndarray[Any, Any], shape: Iterable[int], version: int, packed: bool = True) -> bytes:
    """A BlobProto; version 1 has four numbers for its shape, version 2 a list."""
    if version == 1:
        head = b"".join(number(place + 1, size) for place, size in enumerate(shape))
    else:
        head = message(7, message(1, b"".join(varint(size) for size in shape)))
    if packed:
        return head + message(5, array.astype("<f4").tobytes())
    return head + b"".join(varint(5 << 3 | 5) + struct.pack("<f", value) for value in array.ravel())


def write_caffe(path: Path, arrays: Arrays, version: int = 1, convolutional: bool = False, packed: bool = True) -> Path:
    """A .caffemodel as Oxford's: BGR, FC layers as matrices, or as convolutions after "net surgery"."""
    layers = [message(1, b"VGG of a test")]  # the net's name
    for name, (weight, bias) in arrays.items():
        kernel = weight[:, ::-1] if name == "conv1_1" else weight
        flat = name.startswith("fc") and not convolutional
        shape = (1, 1, kernel.shape[0], kernel[0].size) if flat else (*kernel.shape, *(1, 1)[: 4 - kernel.ndim])
        sizes = [shape, (1, 1, 1, len(bias))] if version == 1 else [shape[2:] if flat else shape, (len(bias),)]
        blobs = [blob(kernel, sizes[0], version, packed), blob(bias, sizes[1], version, packed)]
        kind = 4 if name.startswith("conv") or convolutional else 14  # CONVOLUTION, INNER_PRODUCT
        if version == 1:
            layer = message(4, name.encode()) + number(5, kind) + b"".join(message(6, part) for part in blobs)
        else:
            kinds = {4: b"Convolution", 14: b"InnerProduct"}
            layer = message(1, name.encode()) + message(2, kinds[kind]) + b"".join(message(7, part) for part in blobs)
        layers.append(message(2 if version == 1 else 100, layer))
        if name.startswith("conv"):
            relu = number(5, 18) if version == 1 else message(2, b"ReLU")
            named = f"relu{name[4:]}".encode()
            layers.append(
                message(2, message(4, named) + relu) if version == 1 else message(100, message(1, named) + relu)
            )
    path.write_bytes(b"".join(layers))
    return path


def prototxt(net: VGG, height: int, width: int, convolutional: bool) -> str:
    """The net for Caffe, as OpenCV reads it."""
    lines = [f'input: "data" input_dim: 1 input_dim: 3 input_dim: {height} input_dim: {width}']
    below, state = "data", net.state_dict()
    keys = net.configuration.layer_keys()

    def layer(name: str, kind: str, parameters: str = "", top: str = "") -> None:
        nonlocal below
        top = top or name
        lines.append(f'layer {{ name: "{name}" type: "{kind}" bottom: "{below}" top: "{top}" {parameters} }}')
        below = top

    for entry in [*net.configuration.layers(), "fc6", "fc7", "fc8"]:
        name = entry if isinstance(entry, str) else entry.name
        if name.startswith("pool"):
            layer(name, "Pooling", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
            continue
        weight = state[f"{keys[name]}.weight"]
        if isinstance(entry, str) and not convolutional:
            layer(name, "InnerProduct", f"inner_product_param {{ num_output: {len(weight)} }}")
        else:
            side = weight.shape[-1] if weight.ndim == 4 else 1
            padding = side // 2 if name.startswith("conv") else 0
            numbers = f"num_output: {len(weight)} kernel_size: {side} pad: {padding}"
            layer(name, "Convolution", f"convolution_param {{ {numbers} }}")
        if name != "fc8":
            layer(f"relu_{name}", "ReLU", top=below)
    return "\n".join(lines)


_KERAS = {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}


def write_keras(path: Path, arrays: Arrays, nested: bool = False) -> Path:
    """Keras' .h5: kernels (k, k, I, O) of BGR, dense ones (I, O) with rows, columns, channels flattened."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if nested else file
        root.create_group("block1_pool")  # layers without weights are there too
        for name, (weight, bias) in arrays.items():
            layer = _KERAS.get(name) or "block{}_conv{}".format(*name.removeprefix("conv").split("_"))
            kernel = weight[:, ::-1] if name == "conv1_1" else weight
            if kernel.ndim == 4:
                kernel = kernel.transpose(2, 3, 1, 0)
            if name.startswith("fc"):
                kernel = weight.T if weight.ndim == 2 else kernel.reshape(-1, len(weight))
            names = ("kernel:0", "bias:0") if nested else (f"{layer}_W_1:0", f"{layer}_b_1:0")
            group = root.create_group(f"{layer}/{layer}" if nested else layer)
            group[names[0]], group[names[1]] = kernel, bias
    return path


def write_matconvnet(path: Path, arrays: Arrays, old: bool = False, nested: bool = False) -> Path:
    """MatConvNet's .mat: structs in a cell array, filters (k, k, I, O) of RGB."""
    cells = []
    for name, (weight, bias) in arrays.items():
        filters = np.ascontiguousarray(weight.reshape(*weight.shape, *(1, 1)[: 4 - weight.ndim]).transpose(2, 3, 1, 0))
        both = np.empty((1, 2), object)
        both[0, 0], both[0, 1] = filters, bias[None]
        weights = {"filters": filters, "biases": bias[None]} if old else {"weights": both}
        cells += [{"type": "conv", "name": name, **weights}, {"type": "relu", "name": f"relu_{name}"}]
    layers = np.empty((1, len(cells)), object)
    layers[0, :] = cells
    content: dict[str, Any] = {"layers": layers, "meta": {"classes": "none"}}
    savemat(path, {"net": content} if nested else content)
    return path
