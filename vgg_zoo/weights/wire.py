"""Protocol buffers' wire format over a memory map, enough to read a `.caffemodel`; every number is checked."""

from collections.abc import Iterator
from itertools import count
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_WIDTH = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10
_MOST_FIELDS = 1_000_000
"""Maximum fields of a file, including nested ones; a net has some thousands. Reading a million takes about a second."""


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: Number of the field in the message's definition; at least 1.
        kind: `VARINT`, `FIXED64`, `LENGTH` or `FIXED32`.
        start: First byte of the content, in bytes from the beginning of the file.
        end: Byte after the content; never beyond the end of the message.
        value: Unsigned value of a varint, below 2⁶⁴; 0 for other kinds.
    """

    number: int
    kind: int
    start: int
    end: int
    value: int


class Message:
    """The bytes from `start` to `end` of a file, read as a message.

    Args:
        data: The whole file.
        file: Its name, for messages.
        start: First byte.
        end: Byte after the last.
        read: Count of the file's fields, including those of nested messages.
    """

    def __init__(self, data: mmap, file: Path, start: int, end: int, read: "count[int] | None" = None) -> None:
        self.data, self.file = data, file
        self.read = count(1) if read is None else read
        self.at, self.end = start, end

    def fields(self) -> Iterator[Field]:
        """The message's fields, one at a time.

        Raises:
            ValueError: A varint, tag or length is not valid or leads out of the message, or there are too many fields.
        """
        while self.at < self.end:
            if next(self.read) > _MOST_FIELDS:
                raise self.fault(self.at, f"there are more than {_MOST_FIELDS:,} fields")
            yield self._field()

    def inside(self, field: Field) -> "Message":
        """The content of a field as a message."""
        if field.kind != LENGTH:
            raise self.fault(field.start, f"field {field.number} has wire type {field.kind}; a message has {LENGTH}")
        return Message(self.data, self.file, field.start, field.end, self.read)

    def integer(self, field: Field) -> int:
        """The content of a field as a signed number."""
        if field.kind != VARINT:
            raise self.fault(field.start, f"field {field.number} has wire type {field.kind}; a number has {VARINT}")
        return _signed(field.value)

    def varints(self, field: Field) -> Iterator[int]:
        """The signed numbers of a repeated field: all of them if it is packed, or else its only number."""
        if field.kind == VARINT:
            yield _signed(field.value)
            return
        packed = self.inside(field)
        while packed.at < packed.end:
            yield _signed(packed._varint())

    def run(self, field: Field) -> int:
        """Count this field and those like it that follow without a gap, and continue after them.

        So a file with 10⁸ unpacked floats is read as one array, not in 10⁸ steps.

        Args:
            field: The field that was read last, of fixed width and with a tag of one byte.
        """
        width = _WIDTH[field.kind]
        tag, stride = self.data[field.start - 1], 1 + width
        found, step = 1, 1
        while step:  # steps double while all their tags match, so the work is proportional to the run
            step = min(step, (self.end - self.at) // stride)
            if step == 0:
                break
            other = np.flatnonzero(self.numbers("u1", step, self.at, stride) != tag)
            matching = int(other[0]) if other.size else step
            found += matching
            self.at += matching * stride
            step = 0 if other.size else 2 * step
        return found

    def numbers(self, kind: str, length: int, at: int, stride: int) -> NDArray[np.generic]:
        """A view of the file: `length` numbers of NumPy's `kind`, the first at byte `at`, `stride` bytes apart.

        The map cannot be closed while the view exists.
        """
        assert at + (length - 1) * stride + np.dtype(kind).itemsize <= self.end
        return np.ndarray((length,), kind, buffer=self.data, offset=at, strides=(stride,))

    def fault(self, at: int, what: str) -> ValueError:
        """The error that says where the file is wrong."""
        return ValueError(
            f"{self.file}, byte {at}: {what}. It is not a whole Caffe model: damaged, truncated, or another format. "
            "Download the file again and compare its size and hash with its publisher's."
        )

    def _field(self) -> Field:
        begin = self.at
        tag = self._varint()
        number, kind = tag >> 3, tag & 7
        if number == 0 or tag >= 2**32:
            raise self.fault(begin, f"{tag} is no field's tag")
        value, start = 0, self.at
        if kind == VARINT:
            value = self._varint()
        elif kind in (LENGTH, FIXED64, FIXED32):
            length = self._varint() if kind == LENGTH else _WIDTH[kind]
            start = self.at
            if length > self.end - start:
                raise self.fault(begin, f"field {number} has {length} bytes, but only {self.end - start} are left")
            self.at = start + length
        else:
            raise self.fault(begin, f"field {number} has the unknown wire type {kind}")
        return Field(number, kind, start, self.at, value)

    def _varint(self) -> int:
        begin, value = self.at, 0
        for place in range(_LONGEST_VARINT):
            if self.at >= self.end:
                raise self.fault(begin, "a number is cut off")
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                if value >= 2**64:
                    break
                return value
        raise self.fault(begin, "a number has more than 64 bits")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
