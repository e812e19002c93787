"""Caffe's .caffemodel files, V1 and V2, read from the bytes of their protobuf messages.

A message is a sequence of fields: a tag (number and wire type), and a value. What is read here of caffe.proto:
NetParameter.layers = 2 (V1: name = 4, blobs = 6) and NetParameter.layer = 100 (V2: name = 1, blobs = 7);
BlobProto.num, channels, height, width = 1–4, data = 5, shape = 7 (dim = 1), double_data = 8.

The file is mapped, not loaded. Every length is checked against the message that it is in before anything of that length
is looked at, and every shape against the numbers that are there.
"""

import math
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_V1 = {"layer": 2, "name": 4, "blob": 6}
_V2 = {"layer": 100, "name": 1, "blob": 7}
_LEGACY_SHAPE, _DATA, _SHAPE, _DOUBLES = (1, 2, 3, 4), 5, 7, 8
_MOST_LAYERS, _MOST_DIMENSIONS, _MOST_NAME = 10_000, 32, 1000
Field = tuple[int, int, int, int]
"""Number, wire type, and either the value and 0, or where the value begins and ends."""


class _Reader:
    """Fields of messages inside one buffer."""

    def __init__(self, buffer: mmap.mmap | bytes, name: str) -> None:
        self.buffer, self.name = buffer, name

    def fault(self, place: int, what: str) -> ValueError:
        return ValueError(f"{self.name} is no whole Caffe model: {what} at byte {place:,}")

    def varint(self, place: int, end: int) -> tuple[int, int]:
        """A number of at most 64 bits, and where the next thing begins."""
        value = 0
        for count in range(10):
            if place + count >= end:
                raise self.fault(place, "a number that its message cuts off")
            byte = self.buffer[place + count]
            value |= (byte & 0x7F) << (7 * count)
            if byte < 0x80:
                return value & (1 << 64) - 1, place + count + 1
        raise self.fault(place, "a number of more than 10 bytes")

    def fields(self, place: int, end: int) -> Iterator[Field]:
        """The fields of the message between two places."""
        while place < end:
            begin = place
            tag, place = self.varint(place, end)
            number, kind = tag >> 3, tag & 7
            if number == 0:
                raise self.fault(begin, "a field of number 0")
            if kind == _VARINT:
                value, place = self.varint(place, end)
                yield number, kind, value, 0
                continue
            if kind == _BYTES:
                length, place = self.varint(place, end)
            elif kind in (_FIXED64, _FIXED32):
                length = 8 if kind == _FIXED64 else 4
            else:
                raise self.fault(begin, f"a field of wire type {kind}")
            if length > end - place:
                raise self.fault(begin, f"a field of {length:,} bytes with {end - place:,} left")
            yield number, kind, place, place + length
            place += length

    def layers(self) -> Iterator[tuple[str, list[Tensor]]]:
        """Names and blobs of the layers that have any."""
        count = 0
        for number, kind, begin, end in self.fields(0, len(self.buffer)):
            for version in (_V1, _V2):
                if number == version["layer"] and kind == _BYTES:
                    count += 1
                    if count > _MOST_LAYERS:
                        raise self.fault(begin, f"layer number {count:,}")
                    name, blobs = self.layer(begin, end, version)
                    if blobs:
                        yield name, blobs

    def layer(self, begin: int, end: int, version: dict[str, int]) -> tuple[str, list[Tensor]]:
        name, blobs = "", []
        for number, kind, first, last in self.fields(begin, end):
            if number == version["name"] and kind == _BYTES:
                if last - first > _MOST_NAME:
                    raise self.fault(first, f"a layer's name of {last - first:,} bytes")
                name = bytes(self.buffer[first:last]).decode("utf-8", "replace")
            elif number == version["blob"] and kind == _BYTES:
                blobs.append(self.blob(first, last))
        return name, blobs

    def blob(self, begin: int, end: int) -> Tensor:
        """A tensor of float32, copied out of the file."""
        legacy: dict[int, int] = {}
        shape: list[int] | None = None
        parts: list[Tensor] = []
        single = bytearray()  # of numbers that are not packed, as no known file has them
        for number, kind, first, last in self.fields(begin, end):
            if number in _LEGACY_SHAPE and kind == _VARINT:
                legacy[number] = first
            elif number == _SHAPE and kind == _BYTES:
                shape = self.dimensions(first, last)
            elif number in (_DATA, _DOUBLES) and kind == _BYTES:
                parts.append(self.numbers(first, last, "<f4" if number == _DATA else "<f8"))
            elif number == _DATA and kind == _FIXED32:
                single += self.buffer[first:last]
        if single:
            parts.append(torch.from_numpy(np.frombuffer(single, "<f4").copy()))
        values = parts[0] if len(parts) == 1 else torch.cat(parts) if parts else torch.empty(0)
        dimensions = shape if shape is not None else [legacy.get(number, 1) for number in _LEGACY_SHAPE]
        if len(dimensions) > _MOST_DIMENSIONS or math.prod(dimensions) != len(values):
            raise self.fault(begin, f"a blob of shape {_shown(dimensions)} with {len(values):,} numbers")
        return values.reshape(dimensions)

    def dimensions(self, begin: int, end: int) -> list[int]:
        found: list[int] = []
        for number, kind, first, last in self.fields(begin, end):
            if number == 1 and kind == _VARINT:
                found.append(first)
            elif number == 1 and kind == _BYTES:
                while first < last:
                    value, first = self.varint(first, last)
                    found.append(value)
            if len(found) > _MOST_DIMENSIONS:
                raise self.fault(begin, f"a shape of more than {_MOST_DIMENSIONS} dimensions")
        return found

    def numbers(self, begin: int, end: int, kind: str) -> Tensor:
        if (end - begin) % np.dtype(kind).itemsize:
            raise self.fault(begin, f"{end - begin:,} bytes of numbers of {np.dtype(kind).itemsize} bytes")
        with memoryview(self.buffer) as view:
            return torch.from_numpy(np.frombuffer(view[begin:end], kind).astype(np.float32))


def _shown(dimensions: list[int]) -> str:
    return "×".join(map(str, dimensions[:8])) + ("×..." if len(dimensions) > 8 else "")


def read_caffe(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Weights and biases of the layers of a .caffemodel, by their names, the first convolution's input as RGB.

    Raises:
        ValueError: The file is cut short, damaged, no Caffe model, or has layers of other than two blobs; the message
            says at which byte.
    """
    with path.open("rb") as file:
        if file.seek(0, 2) == 0:
            raise ValueError(f"{path} is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return layers_of(mapped, str(path))


def layers_of(buffer: mmap.mmap | bytes, name: str) -> dict[str, tuple[Tensor, Tensor]]:
    """The same of the bytes of a file."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for layer, blobs in _Reader(buffer, name).layers():
        if layer in found or len(blobs) != 2:
            what = "is there twice" if layer in found else f"has {len(blobs)} blobs, not a weight and a bias"
            raise ValueError(f"{name}: layer {layer!r} {what}")
        weight, bias = blobs
        if layer == "conv1_1" and weight.ndim == 4:
            weight = weight.flip(1)  # Caffe's images are BGR
        # Legacy shapes have four dimensions: (1, 1, O, I) of FC layers, (1, 1, 1, O) of biases.
        if layer.startswith("fc") and weight.ndim == 4 and weight.shape[:2] == (1, 1):
            weight = weight[0, 0]
        found[layer] = weight, bias.flatten()
    if not found:
        raise ValueError(f"{name} is no Caffe model: it has no layer with weights")
    return found
