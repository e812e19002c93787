"""Descriptors of the samples of a linear SVM (Appendix B), computed once and stored in the same way as scores."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from recipes.data.boxes import BadBoxError, clip_to_image
from recipes.data.images import UNLABELLED, Problem
from recipes.evaluation.store import Store, fill
from recipes.features.folder import DescriptorRows, Features, NamedImages, load_features
from recipes.features.samples import Numbers, Samples, Split, hold_out, one_hot
from recipes.runtime.files import write_json
from recipes.runtime.processes import from_main
from vgg_zoo.descriptors import DenseDescriptor
from vgg_zoo.images.decoding import BadImageError, Pixels
from vgg_zoo.images.inputs import part_in_box

IMAGE, BOX = "image", "box"
"""The described part of a sample, and its possible problem: the image cannot be decoded, or the box has no pixels."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Descriptors of samples, in their order.

    Attributes:
        rows: (N, D), float32; a row of NaN if the image cannot be decoded or the box has no pixels.
        problems: These samples, by index and name; `IMAGE` or `BOX` stands instead of a split.
    """

    rows: Numbers
    problems: list[Problem]

    @classmethod
    def stacked(cls, found: Sequence["Descriptors"]) -> "Descriptors":
        """Stack descriptors side by side, (N, D₁ + D₂ + ...). Each problem is reported once."""
        rows = np.concatenate([one.rows for one in found], axis=1)
        rows[np.isnan(rows).any(1)] = np.nan  # a sample with an image but no box has no descriptor
        return cls(rows, sorted({problem for one in found for problem in one.problems}))


@dataclass(frozen=True, slots=True)
class SampleImages:
    """Images of samples in the form of a split for `recipes.evaluation.store.fill`: whole, or only the samples' boxes.

    Attributes:
        kind: `IMAGE` or `BOX`.
        samples: All samples.
        chosen: Indices of the samples of these images.
    """

    kind: str
    samples: Samples
    chosen: Sequence[int]

    def __len__(self) -> int:
        return len(self.chosen)

    def read(self, indices: Sequence[int]) -> list[tuple[Pixels | None, int, Problem | None]]:
        """Pixels without labels, or the problem; its split says whether the image or the box is wrong."""
        return [self._read(index) for index in indices]

    def names(self, indices: Sequence[int]) -> list[str]:
        """Name of each item: that of its image, or of the sample for a box."""
        names = self.samples.images if self.kind == IMAGE else self.samples.names
        return [names[self.chosen[index]] for index in indices]

    def _read(self, index: int) -> tuple[Pixels | None, int, Problem | None]:
        sample, (name,) = self.chosen[index], self.names([index])
        try:
            pixels = self.samples.read(sample)
            if self.kind == BOX and self.samples.box is not None:
                box = self.samples.box(sample)
                clip_to_image(box, *pixels.shape[:2])
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
    overwrite: bool = False,
) -> tuple[Descriptors, Path]:
    """The descriptors of all samples: those of the images, followed by those of the boxes if there are any.

    Args:
        samples: Images, with or without boxes.
        descriptor: A descriptor whose net is on the accelerator's device.
        cache: Folder of descriptors; those with the same identity and names are not computed again.
        identity: Everything that determines the descriptors except the images' content, as plain data.
        accelerator: The processes.
        workers: Number of processes that load images, for each process.
        overwrite: Delete the cache of this identity, because images were replaced.

    Returns:
        The descriptors, and the folder of the cache that holds them.

    Raises:
        ValueError: No image can be decoded, or no box has pixels.
    """
    _, first, image_of = np.unique(np.asarray(samples.images), return_index=True, return_inverse=True)
    identity = {**identity, "names": _digest("\n".join(samples.names))}
    folder = cache / _digest(json.dumps(identity, sort_keys=True))[:16]
    from_main(accelerator, lambda: _begin(folder, identity, overwrite), "looking at the kept descriptors")

    def computed(kind: str, chosen: Sequence[int]) -> DescriptorRows:
        split: Any = SampleImages(kind, samples, chosen)
        store = Store(folder / kind, len(split), DescriptorRows)
        fill(store, NamedImages(split, descriptor.scales), descriptor.of_rescaled, accelerator, workers)
        rows = store.read_all()
        if bool(rows.descriptors.isnan().any(1).all()):
            reason = rows.problems[0].reason
            raise ValueError(f"none of the {len(split)} samples has an {kind} that can be used: {reason}")
        return rows

    images = computed(IMAGE, first.tolist())
    reasons = {problem.index: problem.reason for problem in images.problems}
    bad = [
        Problem(IMAGE, sample, samples.names[sample], reasons[image])
        for sample, image in enumerate(image_of.tolist())
        if image in reasons
    ]
    found = [Descriptors(images.descriptors.numpy()[image_of], bad)]
    if samples.box is not None:
        boxes = computed(BOX, range(len(samples)))
        found.append(Descriptors(boxes.descriptors.numpy(), [one for one in boxes.problems if one.split == BOX]))
    return Descriptors.stacked(found), folder


def _begin(folder: Path, identity: Mapping[str, Any], overwrite: bool) -> None:
    if overwrite and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "identity.json", identity)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def of_folders(folders: Sequence[str], seed: int = 0) -> tuple[Samples, Descriptors, list[dict[str, Any]]]:
    """The samples and descriptors of the training and the test images, and the description of the net.

    Args:
        folders: Folders of the training and the test images; of a single folder, a fifth is held out for the test.
        seed: Seed of the held-out images.

    Raises:
        ValueError: There are more folders, nets, settings or classes differ, or images have no labels.
    """
    if len(folders) > 2:
        raise ValueError(f"--features takes one folder, or those of the training and of the test images; got {folders}")
    parts = [load_features(folder) for folder in folders]
    for folder, part in zip(folders, parts, strict=True):
        _check(folders[0], parts[0], folder, part)
    labels = np.concatenate([part.labels for part in parts])
    class_names = tuple(parts[0].settings["data"]["class_names"])
    names = [name for part in parts for name in part.names]
    images = list(map(str, range(len(names))))
    hot = one_hot(labels, len(class_names))
    count = len(parts[0])
    pair = hold_out(hot, images, seed) if len(parts) == 1 else (np.arange(count), np.arange(count, len(names)))
    samples = Samples(
        names=names, images=images, class_names=class_names, labels=hot, read=_no_image, splits=(Split(*pair),)
    )
    problems = [
        replace(problem, split=IMAGE, index=start + problem.index)
        for start, part in zip((0, count), parts, strict=False)
        for problem in part.problems
    ]
    rows = np.concatenate([part.descriptors for part in parts])
    return samples, Descriptors(rows, problems), [parts[0].settings["net"]]


def _check(first: str, expected: Features, folder: str, found: Features) -> None:
    """Check that the two folders have the same net and classes, and labels."""
    if len(found) == 0 or (found.labels < 0).any():
        raise ValueError(f"--features {folder} has images without labels; an SVM needs all")
    for key, value in expected.settings["net"].items():
        if found.settings["net"].get(key) != value:
            raise ValueError(
                f"--features {folder} and {first} differ in {key}: {found.settings['net'].get(key)!r} and {value!r}"
            )
    if found.settings["data"]["class_names"] != expected.settings["data"]["class_names"]:
        raise ValueError(f"--features {folder} and {first} are of different classes")


def _no_image(index: int) -> Pixels:
    raise BadImageError(f"only the descriptor of sample {index} is known")
