"""Descriptors of a net (Appendix B), computed once and kept: after a kill only what is missing is computed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tqdm import tqdm

from recipes.report import write_json
from recipes.samples import BadBoxError, Box, Numbers, Samples
from recipes.voc_boxes import check_inside
from vgg_zoo.features import ImageDescriptor
from vgg_zoo.images import BadImageError, Pixels

CHUNK = 64
"""Samples that are kept, or lost by a kill, together."""


@dataclass(frozen=True, order=True, slots=True)
class BadSample:
    """A sample without a descriptor.

    Attributes:
        what: "image", which cannot be decoded, or "box", from which no pixels can be taken.
        index: Among the samples.
        name: The sample's.
        reason: Why.
    """

    what: str
    index: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what} of {self.name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Descriptors of samples, in their order.

    Attributes:
        rows: (N, D), float32; a row of NaN where the image cannot be decoded or the box is none.
        problems: These samples.
    """

    rows: Numbers
    problems: list[BadSample]

    @classmethod
    def stacked(cls, found: Sequence["Descriptors"]) -> "Descriptors":
        """Of several nets, side by side: (N, D₁ + D₂ + ...). A problem of all of them is named once."""
        problems = sorted({problem for one in found for problem in one.problems})
        return cls(np.concatenate([one.rows for one in found], axis=1), problems)


@dataclass(frozen=True, slots=True)
class DescriptorCache:
    """A folder of chunks for each net and settings.

    Attributes:
        path: Holds a folder for every identity, which says in a file of its own what it is of.
    """

    path: Path

    def compute(self, samples: Samples, descriptor: ImageDescriptor, identity: Mapping[str, Any]) -> Descriptors:
        """The descriptors of all samples; those that are there already are read.

        Args:
            samples: Images, with or without boxes.
            descriptor: Of images, or of images and boxes.
            identity: Everything that decides the descriptors but the images' content, as plain data.
        """
        identity = {**identity, "samples": _digest("\n".join(samples.names).encode())}
        folder = self.path / _digest(json.dumps(identity, sort_keys=True).encode())[:16]
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "identity.json", identity)
        found = []
        for start in tqdm(range(0, len(samples), CHUNK), unit=" chunks"):
            numbers = range(start, min(start + CHUNK, len(samples)))
            file = folder / f"{start // CHUNK:05}.safetensors"
            chunk = _read(file)
            if chunk is None:
                chunk = _described(samples, numbers, descriptor)
                _write(file, chunk)
            found.append(chunk)
        return Descriptors(_joined([one.rows for one in found]), [it for one in found for it in one.problems])


def _described(samples: Samples, numbers: range, descriptor: ImageDescriptor) -> Descriptors:
    """Descriptors of some samples; a problem is one of the sample's own, and shifts no other."""
    places, images, boxes, problems = [], [], [], []
    for place, number in enumerate(numbers):
        try:
            image, box = _image_and_box(samples, number)
        except (BadImageError, BadBoxError) as error:
            kind = "box" if isinstance(error, BadBoxError) else "image"
            problems.append(BadSample(kind, number, samples.names[number], str(error)))
            continue
        places.append(place)
        images.append(image)
        boxes.append(box)
    if not images:
        return Descriptors(np.full((len(numbers), 0), np.nan, np.float32), problems)
    found = descriptor.transform(images, boxes=None if samples.box is None else boxes)
    rows = np.full((len(numbers), found.shape[1]), np.nan, dtype=np.float32)
    rows[places] = found
    return Descriptors(rows, problems)


def _image_and_box(samples: Samples, number: int) -> tuple[Pixels, Box]:
    image = samples.read(number)
    if samples.box is None:
        return image, (0, 0, image.shape[1], image.shape[0])
    box = samples.box(number)
    check_inside(box, *image.shape[:2])
    return image, box


def _joined(parts: Sequence[Numbers]) -> Numbers:
    """All rows; a part without any descriptor does not know their dimension."""
    dimension = max(part.shape[1] for part in parts)
    if dimension == 0:
        raise ValueError(f"none of the {sum(map(len, parts))} images can be used; is this the right folder?")
    return np.concatenate(
        [part if part.shape[1] else np.full((len(part), dimension), np.nan, np.float32) for part in parts]
    )


def _write(file: Path, chunk: Descriptors) -> None:
    """Under another name, then renamed: it is there whole, or not at all."""
    metadata = {
        "digest": _digest(chunk.rows.tobytes()),
        "problems": json.dumps([asdict(problem) for problem in chunk.problems]),
    }
    writing = file.with_name(f".{file.name}.writing")
    save_file({"descriptors": chunk.rows}, writing, metadata)
    writing.replace(file)


def _read(file: Path) -> Descriptors | None:
    """A chunk; None where there is none, or a damaged one."""
    try:
        with safe_open(file, "np") as stored:
            rows, metadata = stored.get_tensor("descriptors"), stored.metadata()
    except (OSError, SafetensorError):
        return None
    if _digest(rows.tobytes()) != metadata["digest"]:
        return None
    return Descriptors(rows, [BadSample(**problem) for problem in json.loads(metadata["problems"])])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
