"""Descriptors of the samples of a linear SVM (Appendix B), by the machinery of the scores: computed once, and kept."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from torch import Tensor

from recipes.box_checks import BadBoxError, cut_to_image
from recipes.chunks import RescaledImages, compute_chunks
from recipes.data import UNLABELLED, Problem
from recipes.features_folder import DescriptorRows, FeaturesFolder
from recipes.launch import from_main
from recipes.report import write_json
from recipes.samples import Numbers, Samples
from vgg_zoo.boxes import part_in_box
from vgg_zoo.descriptors import DenseDescriptor
from vgg_zoo.images import BadImageError, Pixels

IMAGE, BOX = "image", "box"


@dataclass(frozen=True, order=True, slots=True)
class BadSample:
    """A sample without a descriptor.

    Attributes:
        what: "image", which cannot be decoded, or "box", which holds no pixels.
        index: Among the samples.
        name: The sample's.
        reason: Why.
    """

    what: str
    index: int
    name: str
    reason: str


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
        """Side by side, (N, D₁ + D₂ + ...). What is wrong with a sample is named once."""
        rows = np.concatenate([one.rows for one in found], axis=1)
        rows[np.isnan(rows).any(1)] = np.nan  # a sample with an image but no box has none
        return cls(rows, sorted({problem for one in found for problem in one.problems}))


@dataclass(frozen=True, slots=True)
class WholeImages:
    """Every image of the samples once, as `recipes.chunks.compute_chunks` reads a split."""

    samples: Samples
    first: Sequence[int]
    """The first sample of each image."""

    def read(self, indices: Sequence[int]) -> list[tuple[Pixels | None, int, Problem | None]]:
        """Images without labels, or the problem where one cannot be decoded."""
        return [_read(self.samples, self.first[index], index, boxed=False) for index in indices]

    def names(self, indices: Sequence[int]) -> list[str]:
        """Of each image."""
        return [self.samples.images[self.first[index]] for index in indices]


@dataclass(frozen=True, slots=True)
class Boxes:
    """The box of every sample as an image of its own, likewise."""

    samples: Samples

    def read(self, indices: Sequence[int]) -> list[tuple[Pixels | None, int, Problem | None]]:
        """The images' parts in the boxes, or the problem."""
        return [_read(self.samples, index, index, boxed=True) for index in indices]

    def names(self, indices: Sequence[int]) -> list[str]:
        """Of each sample."""
        return [self.samples.names[index] for index in indices]


def _read(samples: Samples, sample: int, index: int, boxed: bool) -> tuple[Pixels | None, int, Problem | None]:
    """The whole image of a sample, or its box; a problem's split says which of them is wrong."""
    name = samples.names[sample] if boxed else samples.images[sample]
    try:
        pixels = samples.read(sample)
        if boxed and samples.box is not None:
            box = samples.box(sample)
            cut_to_image(box, *pixels.shape[:2])
            pixels = part_in_box(pixels, box, name)
    except (BadImageError, BadBoxError) as error:
        return None, UNLABELLED, Problem(BOX if isinstance(error, BadBoxError) else IMAGE, index, name, str(error))
    return pixels, UNLABELLED, None


def describe(
    samples: Samples,
    descriptor: DenseDescriptor,
    cache: Path,
    identity: Mapping[str, Any],
    accelerator: Accelerator,
    workers: int = 0,
    anew: bool = False,
) -> Descriptors:
    """The descriptors of all samples: of the images, and behind them those of the boxes where there are some.

    Args:
        samples: Images, with or without boxes.
        descriptor: Its net is on the accelerator's device.
        cache: Folder of descriptors; what is there of the same identity and names is not computed again.
        identity: Everything that decides the descriptors but the images' content, as plain data.
        accelerator: The processes.
        workers: Processes that load images, for each process.
        anew: Throw away what the cache holds of this identity: images were replaced.

    Raises:
        ValueError: No image can be decoded, or the box of none holds pixels.
    """
    names, first, image_of = np.unique(np.asarray(samples.images), return_index=True, return_inverse=True)
    identity = {**identity, "names": _digest("\n".join(samples.names))}
    folder = cache / _digest(json.dumps(identity, sort_keys=True))[:16]
    from_main(accelerator, lambda: _begin(folder, identity, anew))

    def computed(split: Any, kind: str, count: int) -> DescriptorRows:
        def make(values: Tensor, indices: range, rows: dict[str, Any]) -> DescriptorRows:
            return DescriptorRows(descriptors=values, names=split.names(indices), **rows)

        store = FeaturesFolder(folder / kind, count)
        images = RescaledImages(split, descriptor.scales)
        compute_chunks(descriptor.of_rescaled, images, make, store, accelerator, workers)
        rows = store.read_all()
        if bool(rows.descriptors.isnan().any(1).all()):
            raise ValueError(f"none of the {count} samples has an {kind} that can be used: {rows.problems[0].reason}")
        return rows

    images = computed(WholeImages(samples, first.tolist()), IMAGE, len(names))
    reasons = {problem.index: problem.reason for problem in images.problems}
    bad = [
        BadSample(IMAGE, sample, samples.names[sample], reasons[image])
        for sample, image in enumerate(image_of.tolist())
        if image in reasons
    ]
    found = [Descriptors(images.descriptors.numpy()[image_of], bad)]
    if samples.box is not None:
        boxes = computed(Boxes(samples), BOX, len(samples))
        named = [BadSample(BOX, one.index, one.name, one.reason) for one in boxes.problems if one.split == BOX]
        found.append(Descriptors(boxes.descriptors.numpy(), named))
    return Descriptors.stacked(found)


def _begin(folder: Path, identity: Mapping[str, Any], anew: bool) -> None:
    if anew and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "identity.json", identity)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
