"""Reading Caffe's `.caffemodel`, as published by Oxford for nets D and E: both layer formats, V1 and V2, without Caffe.

The numbers are 32-bit (or 64-bit) floats in a protocol buffer. Oxford's are V1, with BGR input and legacy 4-D shapes.
"""

import mmap
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vgg_zoo.configurations import FC_KEYS
from vgg_zoo.weights.layout import to_timm
from vgg_zoo.weights.wire import FIXED32, FIXED64, LENGTH, Field, Message

# Field numbers of caffe.proto.
_NET_LAYERS = {2: (4, 6), 100: (1, 7)}
"""NetParameter's two lists of layers (V1, V2): the fields of a layer's name and its blobs."""
_LEGACY_DIMENSIONS, _DATA, _SHAPE, _DOUBLE_DATA, _SHAPE_DIMENSIONS = (1, 2, 3, 4), 5, 7, 8, 1
_NUMBERS = {_DATA: ("<f4", FIXED32), _DOUBLE_DATA: ("<f8", FIXED64)}

# Limits that no net comes near; a larger file would only fill the memory with its table of contents.
_MOST_LAYERS, _MOST_BLOBS, _MOST_PIECES, _MOST_DIMENSIONS, _LONGEST_NAME = 1000, 8, 1000, 32, 256


class Piece(NamedTuple):
    """Numbers of a blob at equal distances in the file."""

    kind: str
    length: int
    at: int
    stride: int


class Blob(NamedTuple):
    """One array of a layer, still in the file: its shape (checked against the count) and where its numbers are."""

    shape: tuple[int, ...]
    legacy: bool
    pieces: list[Piece]
    message: Message


def read_caffe(file: Path) -> tuple[dict[str, Tensor], str]:
    """Read a `.caffemodel`.

    The file is mapped, and each array is copied separately, so the peak memory is the file and its float32 copy.

    Args:
        file: A file of any size.

    Returns:
        A state dict in timm's layout (float32; the first convolution is unchanged), and "V1" or "V2".

    Raises:
        ValueError: It is no Caffe model; the message names the file and the first wrong byte. Everything is checked.
    """
    if file.stat().st_size == 0:
        raise ValueError(f"{file} is empty")
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        net = Message(data, file, 0, len(data))
        layers, version = _layers(net)
        tensors = {}
        for name, blobs in layers.items():
            for index, blob in enumerate(blobs):
                kind = ("weight", "bias")[index] if index < 2 else f"blob{index}"
                tensors[f"{name}.{kind}"] = _tensor(name, blob)
    return to_timm(tensors, file), version


def looks_like_caffe(start: bytes) -> bool:
    """Whether a file with this beginning can be a Caffe model: it begins with its name, its inputs, or a layer."""
    # Tags of NetParameter's fields 1–8 and 100 with their wire types; 100 takes two bytes.
    return start[:1] in (b"\x0a", b"\x12", b"\x1a", b"\x20", b"\x28", b"\x32", b"\x38", b"\x42") or (
        start[:2] == b"\xa2\x06"
    )


def _layers(net: Message) -> tuple[dict[str, list[Blob]], str]:
    """The layers with weights by name, and the version of their list."""
    layers: dict[str, list[Blob]] = {}
    used = set()
    for field in net.fields():
        if field.number not in _NET_LAYERS:
            continue
        name, blobs = _layer(net.inside(field), *_NET_LAYERS[field.number])
        if not blobs:
            continue
        used.add(field.number)
        if name in layers or len(layers) == _MOST_LAYERS or len(used) > 1:
            why = "is there twice" if name in layers else f"is one too many, after {len(layers)} in formats {used}"
            raise net.fault(field.start, f"layer {name!r} {why}")
        layers[name] = blobs
    if not layers:
        raise net.fault(0, "there is no layer with weights in it (a .prototxt has none; take the .caffemodel)")
    return layers, "V1" if used == {2} else "V2"


def _layer(layer: Message, name_field: int, blobs_field: int) -> tuple[str, list[Blob]]:
    name = ""
    blobs: list[Blob] = []
    for field in layer.fields():
        if field.number == name_field:
            text = layer.inside(field)
            if text.end - text.at > _LONGEST_NAME:
                raise layer.fault(field.start, f"a layer has a name of {text.end - text.at} bytes")
            name = layer.data[text.at : text.end].decode("utf-8", "replace")
        elif field.number == blobs_field:
            if len(blobs) == _MOST_BLOBS:
                raise layer.fault(field.start, f"layer {name!r} has more than {_MOST_BLOBS} arrays")
            blobs.append(_blob(layer.inside(field)))
    return name, blobs


def _blob(blob: Message) -> Blob:
    begin = blob.at
    legacy: dict[int, int] = {}
    shape: list[int] | None = None
    pieces: list[Piece] = []
    for field in blob.fields():
        if field.number in _LEGACY_DIMENSIONS:
            legacy[field.number] = blob.integer(field)
        elif field.number == _SHAPE:
            shape = [*(shape or []), *_dimensions(blob.inside(field))]
        elif field.number in _NUMBERS:
            pieces.append(_piece(blob, field))
        if len(pieces) > _MOST_PIECES or len(shape or ()) > _MOST_DIMENSIONS:
            raise blob.fault(field.start, f"an array has over {_MOST_PIECES} pieces or {_MOST_DIMENSIONS} dimensions")
    if len({piece.kind for piece in pieces}) > 1:
        raise blob.fault(begin, "an array has both floats and doubles")
    dimensions = [legacy.get(number, 0) for number in _LEGACY_DIMENSIONS] if shape is None else shape
    count = sum(piece.length for piece in pieces)
    if any(size < 1 for size in dimensions) or prod(dimensions) != count:
        raise blob.fault(begin, f"an array of shape {_by(dimensions)} has {count} numbers")
    return Blob(tuple(dimensions), shape is None, pieces, blob)


def _dimensions(shape: Message) -> list[int]:
    found: list[int] = []
    for field in shape.fields():
        if field.number == _SHAPE_DIMENSIONS:
            for size in shape.varints(field):
                found.append(size)
                if len(found) > _MOST_DIMENSIONS:
                    raise shape.fault(field.start, f"a shape has more than {_MOST_DIMENSIONS} dimensions")
    return found


def _piece(blob: Message, field: Field) -> Piece:
    kind, unpacked = _NUMBERS[field.number]
    size = np.dtype(kind).itemsize
    if field.kind == unpacked:
        return Piece(kind, blob.run(field), field.start, size + 1)
    length = field.end - field.start
    if field.kind != LENGTH or length % size:
        raise blob.fault(field.start, f"{length} bytes of wire type {field.kind} are no list of {size}-byte numbers")
    return Piece(kind, length // size, field.start, size)


def _tensor(name: str, blob: Blob) -> Tensor:
    """Copy an array out of the file, as float32."""
    values = np.empty(prod(blob.shape), np.float32)
    done = 0
    with np.errstate(over="ignore", invalid="ignore"):  # doubles beyond float32 become infinite
        for piece in blob.pieces:
            values[done : done + piece.length] = blob.message.numbers(*piece)
            done += piece.length
    shape = blob.shape
    if blob.legacy and name in FC_KEYS and shape[:2] == (1, 1):
        shape = shape[2:]  # Oxford's matrices are (1, 1, out, in)
    return torch.from_numpy(values).view(shape)


def _by(dimensions: list[int]) -> str:
    return "×".join(map(str, dimensions)) or "none"
