"""Writers of the files in which VGG weights are published, written here independently of the readers."""

import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from torch import Tensor

Arrays = dict[str, np.ndarray]

OXFORD = {
    "vgg_a": "0:1_1 3:2_1 6:3_1 8:3_2 11:4_1 13:4_2 16:5_1 18:5_2",
    "vgg_b": "0:1_1 2:1_2 5:2_1 7:2_2 10:3_1 12:3_2 15:4_1 17:4_2 20:5_1 22:5_2",
    "vgg_b_shallow": "0:1_1 3:2_1 6:3_1 9:4_1 12:5_1",
    "vgg_d": "0:1_1 2:1_2 5:2_1 7:2_2 10:3_1 12:3_2 14:3_3 17:4_1 19:4_2 21:4_3 24:5_1 26:5_2 28:5_3",
    "vgg_e": "0:1_1 2:1_2 5:2_1 7:2_2 10:3_1 12:3_2 14:3_3 16:3_4 19:4_1 21:4_2 23:4_3 25:4_4 "
    "28:5_1 30:5_2 32:5_3 34:5_4",
}
"""Places in timm's `features`, and Oxford's names, by hand."""
OXFORD["vgg_a_lrn"], OXFORD["vgg_c"] = OXFORD["vgg_a"], OXFORD["vgg_d"]


def in_oxfords_layout(state_dict: dict[str, Tensor], net: str) -> Arrays:
    """Ours → Oxford's: BGR input, matrices for FC layers; {"conv1_1": weight, "conv1_1 bias": bias, ...}."""
    names = {f"features.{at}": f"conv{name}" for at, name in (pair.split(":") for pair in OXFORD[net].split())}
    names |= {"pre_logits.fc1": "fc6", "pre_logits.fc2": "fc7", "head.fc": "fc8"}
    found = {}
    for prefix, name in names.items():
        weight = state_dict[f"{prefix}.weight"].numpy()
        if name == "conv1_1":
            weight = weight[:, ::-1]
        found[name] = weight.reshape(len(weight), -1) if name.startswith("fc") else weight
        found[f"{name} bias"] = state_dict[f"{prefix}.bias"].numpy()
    return found


def varint(value: int) -> bytes:
    """A number as protocol buffers write it."""
    found = b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def field(number: int, content: bytes | int) -> bytes:
    """A field that is a number or a string of bytes."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values: np.ndarray, legacy: bool = False, data: str = "packed") -> bytes:
    """A BlobProto; `legacy` as Caffe wrote it at first: four dimensions, leading ones filled with 1."""
    if legacy:
        shape = b"".join(field(i + 1, size) for i, size in enumerate((1,) * (4 - values.ndim) + values.shape))
    else:
        shape = field(7, field(1, b"".join(map(varint, values.shape))))
    if data == "packed":
        return shape + field(5, values.astype("<f4").tobytes())
    if data == "double":
        return shape + field(8, values.astype("<f8").tobytes())
    return shape + b"".join(b"\x2d" + struct.pack("<f", value) for value in values.ravel())


def caffe(arrays: Arrays, version: int = 1, data: str = "packed", relus: bool = True) -> bytes:
    """A NetParameter with Oxford's layers, in the V1 (Oxford's) or V2 format."""
    net = field(1, b"VGG") + field(3, b"data")
    for name in (key for key in arrays if " " not in key):
        kind = ("InnerProduct", 14) if arrays[name].ndim == 2 else ("Convolution", 4)
        blobs = [blob(arrays[key], legacy=version == 1, data=data) for key in (name, f"{name} bias")]
        if version == 1:
            net += field(2, field(4, name.encode()) + field(5, kind[1]) + b"".join(field(6, one) for one in blobs))
            net += field(2, field(4, f"relu{name}".encode()) + field(5, 18)) if relus else b""
        else:
            one = field(1, name.encode()) + field(2, kind[0].encode()) + b"".join(field(7, one) for one in blobs)
            net += field(100, one)
    return net


def prototxt(arrays: Arrays, height: int, width: int) -> str:
    """The net's architecture as Caffe and OpenCV read it, up to fc8; FC layers of 4-D weights slide over the map."""
    text = f'name: "VGG" input: "data" input_dim: 1 input_dim: 3 input_dim: {height} input_dim: {width}\n'
    below = "data"

    def layer(name: str, kind: str, parameters: str) -> None:
        nonlocal text, below
        text += f'layer {{ name: "{name}" type: "{kind}" bottom: "{below}" top: "{name}" {parameters} }}\n'
        below = name

    convs = [key for key in arrays if " " not in key]
    for name, following in zip(convs, [*convs[1:], ""], strict=True):
        shape = arrays[name].shape
        if len(shape) == 2:
            layer(name, "InnerProduct", f"inner_product_param {{ num_output: {shape[0]} }}")
        else:
            pad = shape[-1] // 2 if name.startswith("conv") else 0
            parameters = f"num_output: {shape[0]} kernel_size: {shape[-1]} pad: {pad}"
            layer(name, "Convolution", f"convolution_param {{ {parameters} }}")
        if name != "fc8":
            layer(f"relu{name}", "ReLU", "")
        if name.startswith("conv") and name[:5] != following[:5]:
            layer(f"pool{name[4]}", "Pooling", "pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    return text


def _keras_name(name: str) -> str:
    if name.startswith("conv"):
        return "block{}_conv{}".format(*name[4:].split("_"))
    return {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}[name]


def in_keras_layout(arrays: Arrays, side: int, top: bool = True) -> Iterable[tuple[str, np.ndarray, np.ndarray]]:
    """Keras' layer names, kernels (HWIO; fc1 flattened as H, W, C) and biases."""
    for name in (key for key in arrays if " " not in key):
        weight = arrays[name]
        if name.startswith("conv"):
            weight = weight.transpose(2, 3, 1, 0)
        elif not top:
            continue
        elif name == "fc6":
            weight = weight.reshape(len(weight), -1, side, side).transpose(2, 3, 1, 0).reshape(-1, len(weight))
        else:
            weight = weight.T
        yield _keras_name(name), weight, arrays[f"{name} bias"]


def keras(file: Path, arrays: Arrays, side: int, layout: str = "2", top: bool = True) -> None:
    """A Keras file: "1" (name_W_1:0), "2" (name/name/kernel:0), "model" (of `save`), "3" (.weights.h5)."""
    import h5py

    with h5py.File(file, "w") as opened:
        counts = {2: 0, 4: 0}
        for name, weight, bias in in_keras_layout(arrays, side, top):
            paths = {
                "1": (f"{name}/{name}_W_1:0", f"{name}/{name}_b_1:0"),
                "2": (f"{name}/{name}/kernel:0", f"{name}/{name}/bias:0"),
                "model": (f"model_weights/{name}/{name}/kernel:0", f"model_weights/{name}/{name}/bias:0"),
            }.get(layout)
            if paths is None:
                number = counts[weight.ndim]
                counts[weight.ndim] += 1
                group = f"layers/{'dense' if weight.ndim == 2 else 'conv2d'}{f'_{number}' if number else ''}/vars"
                opened.create_group(group).attrs["name"] = name
                paths = (f"{group}/0", f"{group}/1")
            opened[paths[0]], opened[paths[1]] = weight, bias
            if layout == "model":  # moments of its optimizer stand under the same names
                opened[f"optimizer_weights/Adam/{name}/kernel/m:0"] = weight


def theano_keras(file: Path, arrays: Arrays) -> None:
    """Keras 1 on Theano: kernels (out, in, height, width) from end to beginning, matrices (in, out) of C, H, W."""
    import h5py

    with h5py.File(file, "w") as opened:
        for name in (key for key in arrays if " " not in key):
            kernel, ours = arrays[name], _keras_name(name)
            opened[f"{ours}/{ours}_W_1:0"] = kernel[:, :, ::-1, ::-1] if kernel.ndim == 4 else kernel.T
            opened[f"{ours}/{ours}_b_1:0"] = arrays[f"{name} bias"]


def correlated(maps: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(B, in, H, W) and (out, in, k, k) → (B, out, H, W), padded with zeros; Caffe's convolution."""
    k = kernel.shape[-1]
    padded = np.pad(maps, ((0, 0), (0, 0), (k // 2,) * 2, (k // 2,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), (2, 3))
    return np.einsum("bchwij,ocij->bohw", windows, kernel, optimize=True)


def logits(
    arrays: Arrays, images: np.ndarray, convolved: Callable[[np.ndarray, np.ndarray], np.ndarray] = correlated
) -> np.ndarray:
    """What Oxford's layers compute, in float64 without PyTorch, for BGR images minus their mean: (B, 3, H, W)."""
    names = [key for key in arrays if " " not in key]
    maps = images.astype(np.float64)
    for name, following in zip(names, [*names[1:], ""], strict=True):
        weight, bias = arrays[name].astype(np.float64), arrays[f"{name} bias"].astype(np.float64)
        if weight.ndim == 2:
            maps = maps.reshape(len(maps), -1) @ weight.T + bias
        else:
            maps = convolved(maps, weight) + bias[:, None, None]
        if name != "fc8":
            maps = np.maximum(maps, 0)
        if name.startswith("conv") and name[:5] != following[:5]:
            b, c, h, w = maps.shape
            maps = maps.reshape(b, c, h // 2, 2, w // 2, 2).max((3, 5))
    return maps


def matconvnet(
    file: Path, arrays: Arrays, side: int, old: bool = False, compressed: bool = False, **beside: object
) -> None:
    """A SimpleNN file: HWIO, RGB, FC layers as convolutions; `old` has `filters` and `biases`."""
    from scipy.io import savemat

    layers = []
    for name in (key for key in arrays if " " not in key):
        weight = arrays[name]
        if name == "conv1_1":
            weight = weight[:, ::-1]
        if name.startswith("fc"):
            k = side if name == "fc6" else 1
            weight = weight.reshape(len(weight), -1, k, k)
        both = np.empty((1, 2), object)
        both[0, 0], both[0, 1] = weight.transpose(2, 3, 1, 0), arrays[f"{name} bias"][None]
        weights = {"filters": both[0, 0], "biases": both[0, 1]} if old else {"weights": both}
        layers += [{"name": name, "type": "conv", **weights}, {"name": f"relu{name}", "type": "relu"}]
    cell = np.empty((1, len(layers)), object)
    cell[0, :] = layers
    savemat(file, {"layers": cell, "meta": {"classes": "none"}, **beside}, do_compression=compressed)
