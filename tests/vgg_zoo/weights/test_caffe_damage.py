"""Damaged and hostile `.caffemodel`s: an error that names the byte, or what protobuf's own reader finds in them."""

import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers import small
from tests.vgg_zoo.weights.formats import blob, caffe, field, in_oxfords_layout, varint
from vgg_zoo.weights.caffe import read_caffe


def layer(*blobs: bytes, name: bytes = b"conv1_1") -> bytes:
    """A V1 layer."""
    return field(2, field(4, name) + b"".join(field(6, one) for one in blobs))


def numbers(count: int) -> bytes:
    """So many floats, packed."""
    return field(5, bytes(4 * count))


def dims(*sizes: int) -> bytes:
    """A BlobShape."""
    return field(7, field(1, b"".join(varint(size % 2**64) for size in sizes)))


GOOD = blob(np.zeros((1, 3, 1, 1), np.float32))
BAD = {
    "a length beyond the file": (b"\x12\x7f" + bytes(9), "field 2 has 127 bytes, but only 9 are left", 0),
    "a length of 2⁶³": (b"\x12" + varint(2**63), "but only 0 are left", 0),
    "a cut number": (b"\x08\x80", "a number is cut off", 1),
    "a number of 11 bytes": (b"\x08" + b"\xff" * 10 + b"\x01", "more than 64 bits", 1),
    "a number of 70 bits": (b"\x08" + b"\xff" * 9 + b"\x7f", "more than 64 bits", 1),
    "a group": (b"\x0b\x0c", "unknown wire type 3", 0),
    "field 0": (b"\x02\x00", "2 is no field's tag", 0),
    "a field number over 2²⁹": (varint(2**32) + b"\x00", "no field's tag", 0),
    "a layer that is a number": (field(2, 7), "field 2 has wire type 0; a message has 2", 1),
    "a blob cut off in its layer": (field(2, b"\x32\x09\x00"), "field 6 has 9 bytes, but only 1 are left", 2),
    "huge dimensions": (layer(dims(2**31, 2**31, 2**31, 2**31) + numbers(1)), "has 1 numbers", 13),
    "dimensions whose product wraps to 1": (layer(dims(2**32 + 1, 2**32 - 1) + numbers(1)), "has 1 numbers", 13),
    "two negative dimensions": (layer(dims(-1, -3) + numbers(3)), "of shape -1×-3 has 3", 13),
    "a negative legacy dimension": (layer(field(1, 2**64 - 4) + numbers(4)), "of shape -4×0×0×0 has 4", 13),
    "a dimension of 0": (layer(dims(0, 5)), "of shape 0×5 has 0 numbers", 13),
    "no shape": (layer(numbers(3)), "of shape 0×0×0×0 has 3", 13),
    "a legacy dimension in bytes": (layer(field(1, b"4")), "field 1 has wire type 2; a number has 0", 15),
    "33 dimensions": (layer(dims(*[1] * 33) + numbers(1)), "more than 32 dimensions", 17),
    "half a float": (layer(field(5, b"12345")), "5 bytes of wire type 2 are no list of 4-byte numbers", 15),
    "floats and doubles": (layer(dims(2) + numbers(1) + field(8, bytes(8))), "both floats and doubles", 13),
    "2000 pieces": (layer(dims(2000) + numbers(1) * 2000), "over 1000 pieces", None),
    "nine arrays": (layer(*[GOOD] * 9), "'conv1_1' has more than 8 arrays", None),
    "a long name": (layer(GOOD, name=b"x" * 999), "a name of 999 bytes", None),
    "1001 layers": (b"".join(layer(GOOD, name=b"%d" % at) for at in range(1001)), "one too many, after 1000", None),
    "a layer twice": (layer(GOOD) + layer(GOOD), "layer 'conv1_1' is there twice", None),
    "V1 and V2": (layer(GOOD) + field(100, field(1, b"x") + field(7, GOOD)), "formats {2, 100}", None),
    "a million fields": (bytes.fromhex("0800") * 1_000_001, "more than 1,000,000 fields", 2_000_000),
    "a million in layers": (b"\x12\x04\x08\x00\x08\x00" * 400_000, "more than 1,000,000 fields", None),
    "no layer": (field(1, b"VGG"), "no layer with weights in it", 0),
}


@pytest.mark.parametrize(("content", "message", "at"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_named_with_its_byte(content: bytes, message: str, at: int | None, tmp_path: Path) -> None:
    """Each damage by itself."""
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=r"byte \d+: .* Download the file again") as error:
        read_caffe(tmp_path / "x")
    assert message in str(error.value)
    if at is not None:
        assert f"{tmp_path / 'x'}, byte {at}:" in str(error.value)


def test_messages_within_messages_go_no_deeper_than_four(tmp_path: Path) -> None:
    """A field that holds itself a thousand times over is passed over, not followed."""
    content = b""
    for _ in range(1000):
        content = field(6, content)
    (tmp_path / "x").write_bytes(layer(content + dims(1, 3, 1, 1) + numbers(3)))
    assert read_caffe(tmp_path / "x")[0]["features.0.weight"].shape == (1, 3, 1, 1)


def test_a_layer_under_one_of_timms_keys_replaces_nothing(tmp_path: Path) -> None:
    """Two layers of one key are an error."""
    (tmp_path / "x").write_bytes(layer(GOOD) + layer(GOOD, name=b"features.0"))
    with pytest.raises(ValueError, match=r"two arrays features\.0\.weight"):
        read_caffe(tmp_path / "x")


def test_millions_of_unpacked_floats_take_no_step_each(tmp_path: Path) -> None:
    """As one array: two million in well under the second that a loop takes."""
    values = np.arange(2_000_000, dtype=np.float32)
    records = np.zeros(len(values), [("tag", "u1"), ("value", "<f4")])
    records["tag"], records["value"] = 0x2D, values
    (tmp_path / "x").write_bytes(layer(dims(len(values), 1, 1, 1) + records.tobytes()))
    start = time.perf_counter()
    found, _ = read_caffe(tmp_path / "x")
    assert time.perf_counter() - start < 0.5
    assert np.array_equal(found["features.0.weight"].numpy().ravel(), values)


def googles_reader() -> Any:
    """protobuf's own runtime for the part of caffe.proto that is read."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    messages = {
        "Shape": [("dim", 1, "INT64", True)],
        "Blob": [(f"d{i}", i, "INT32", False) for i in (1, 2, 3, 4)]
        + [("data", 5, "FLOAT", True), ("double_data", 8, "DOUBLE", True), ("shape", 7, "Shape", False)],
        "V1": [("name", 4, "BYTES", False), ("blobs", 6, "Blob", True)],
        "V2": [("name", 1, "BYTES", False), ("blobs", 7, "Blob", True)],
        "Net": [("layers", 2, "V1", True), ("layer", 100, "V2", True)],
    }
    for message, fields in messages.items():
        added = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            one = added.field.add(name=name, number=number, label=3 if repeated else 1)
            if kind in messages:
                one.type, one.type_name = 11, f".caffe.{kind}"
            else:
                one.type = descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.Net"))


NET = googles_reader()
ARRAYS = in_oxfords_layout(
    small("vgg_a", width_multiplier=0.005, head_hidden_size=2, head_kernel_size=1, num_classes=2).state_dict(), "vgg_a"
)
FILES = {version: [caffe(ARRAYS, version, data) for data in ("packed", "unpacked", "double")] for version in (1, 2)}
SEEDS = [file for files in FILES.values() for file in files]


def numbers_of(content: bytes) -> list[np.ndarray]:
    """The numbers of each array of a file, in its order, by Google's reader."""
    net = NET()
    net.ParseFromString(content)
    blobs = [one for layer in (*net.layers, *net.layer) for one in layer.blobs]
    with np.errstate(all="ignore"):
        return [np.array([*one.data, *one.double_data], np.float64).astype(np.float32) for one in blobs]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A whole file with bits flipped, bytes set, cut out, doubled, cut off, or spliced in from another file."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        # Structure is a small part of a file: half of the places are where a message begins.
        heads = [at for at in range(0, len(content), 7) if content[at] < 128] or [0]
        at = draw(st.integers(0, len(content) - 1) if draw(st.booleans()) else st.sampled_from(heads[:200]))
        length = draw(st.integers(1, 40))
        kind = draw(st.sampled_from(["flip", "set", "length", "cut", "double", "end", "splice"]))
        if kind == "flip":
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set":
            content[at] = draw(st.integers(0, 255))
        elif kind == "length":  # a varint of any size where there may have been a length
            content[at : at + draw(st.integers(0, 5))] = varint(draw(st.integers(0, 2**70)))
        elif kind == "cut":
            del content[at : at + length]
        elif kind == "double":
            content[at:at] = content[at : at + length]
        elif kind == "end":
            del content[at + 1 :]
        else:
            other = draw(st.sampled_from(SEEDS))
            start = draw(st.integers(0, len(other) - 1))
            content[at:at] = other[start : start + length]
        if not content:
            return b"\0"
    return bytes(content)


OUTCOMES: Counter[str] = Counter()


@given(damaged())
def check_damaged(folder: Path, content: bytes) -> None:
    """Refused, or read as protobuf reads it; never more memory than some times the file."""
    (folder / "x").write_bytes(content)
    tracemalloc.start()
    try:
        found, _ = read_caffe(folder / "x")
    except ValueError as error:
        OUTCOMES["refused" if str(folder / "x") in str(error) else "refused without the file's name"] += 1
        return
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * len(content) + 500_000
    OUTCOMES["read"] += 1
    expected = numbers_of(content)
    assert len(found) == len(expected)
    for ours, theirs in zip(found.values(), expected, strict=True):  # sorted, for conv1_1's channels were turned round
        assert np.array_equal(np.sort(ours.numpy().ravel()), np.sort(theirs), equal_nan=True)


@pytest.mark.slow
def test_damaged_files(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """A clear ValueError or a right answer; not a crash, a hang or a runaway allocation."""
    count = pytestconfig.getoption("damaged_files")
    settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=2000,  # ms; none takes more than a few
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )(check_damaged)(tmp_path)
    assert OUTCOMES.keys() == {"refused", "read"}
    assert OUTCOMES.total() >= count
    assert min(OUTCOMES.values()) > count / 20
