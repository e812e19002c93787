"""The protocols of Appendix B as data, and the samples of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recipes.data.options import DataSource
from recipes.data.splits import load_splits
from recipes.features.caltech import CALTECH_101, CALTECH_256
from recipes.features.measures import ALL_POINT, ELEVEN_POINT, MEAN_CLASS_RECALL
from recipes.features.samples import Samples, Split, one_hot
from recipes.features.voc import find_voc
from vgg_zoo.images.decoding import Pixels

VOC_SCALES, CALTECH_SCALES = (256, 384, 512, 640, 768), (256, 384, 512)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A command's request for a protocol's data.

    Attributes:
        source: The data source, whose `spec` is the folder.
        test_set: VOC's "test" or "val".
        boxes: Whether to read the persons' boxes.
        seed: Seed of random splits.
    """

    source: DataSource
    test_set: str = "test"
    boxes: bool = True
    seed: int = 0

    @property
    def folder(self) -> Path:
        """The folder of the data set.

        Raises:
            ValueError: The folder does not exist.
        """
        folder = Path(self.source.spec)
        if not folder.is_dir():
            raise ValueError(f"--data {folder} is no folder")
        return folder


@dataclass(frozen=True, kw_only=True, slots=True)
class SvmProtocol:
    """How a data set is split, described and measured.

    Attributes:
        title: Name for messages.
        scales: Q; None takes the net's own.
        combine: How the scales are combined, "average" or "stack".
        measure: "11-point" or "all-point" (mean AP), or "mean class recall".
        load: A function that loads its samples.
        sizes: Training and test images of the paper's splits; None if they follow from the classes.
        classes: Number of classes of the data set; None if any number is allowed.
        has_boxes: The descriptor of a person's box is stacked on the image's.
        results: File name for a class in the form of the evaluation server, without the test set and the class.
    """

    title: str
    scales: tuple[int, ...] | None
    combine: str
    measure: str
    load: Callable[[Request], Samples]
    sizes: tuple[int, int] | None = None
    classes: int | None = None
    has_boxes: bool = False
    results: str | None = None

    @property
    def uses_average_precision(self) -> bool:
        """Whether samples may have several classes, so that scores are ranked."""
        return self.measure != MEAN_CLASS_RECALL

    def departures(self, samples: Samples, request: Request, nets: Sequence[Mapping[str, Any]]) -> list[str]:
        """Why the paper's figure cannot be compared; empty if it can.

        Args:
            samples: The data.
            request: The request for the data.
            nets: The description of each net's descriptors.
        """
        papers: dict[str, Any] = {"layer": "fc7", "combine": self.combine, "flip": True}
        if self.scales is not None:
            papers["scales"] = list(self.scales)
        others = {name: [net[name] for net in nets if net[name] != value] for name, value in papers.items()}
        found = [f"{name} {other[0]}, not {papers[name]}" for name, other in others.items() if other]
        if self.classes is not None and len(samples.class_names) != self.classes:
            found.append(f"{len(samples.class_names)} classes, not {self.classes}")
        sizes = tuple(map(len, (samples.splits[0].training, samples.splits[0].test)))
        if self.sizes is not None and sizes != self.sizes:
            found.append(f"{sizes[0]} training and {sizes[1]} test images, not {self.sizes[0]} and {self.sizes[1]}")
        if self.uses_average_precision and request.test_set != "test":
            found.append(f"the test is on {request.test_set}, not on the test images")
        return found


def folder_samples(source: DataSource) -> Samples:
    """The training images of a data set, and its validation split, or the held-out fifth, as the test.

    Raises:
        ValueError: As in `recipes.data.splits.load_splits`.
    """
    training, test = load_splits(source)
    count = len(training)
    labels = [split.rows["label"][:] for split in (training, test)]

    def read(index: int) -> Pixels:
        return training.pixels(index) if index < count else test.pixels(index - count)

    return Samples(
        names=[name for split in (training, test) for name in split.names(range(len(split)))],
        images=list(map(str, range(count + len(test)))),  # names may be equal
        class_names=training.class_names,
        labels=one_hot([*labels[0], *labels[1]], len(training.class_names)),
        read=read,
        splits=(Split(np.arange(count), np.arange(count, count + len(test))),),
    )


PROTOCOLS = {
    "voc2007": SvmProtocol(
        title="PASCAL VOC-2007 classification",
        scales=VOC_SCALES,
        combine="average",
        measure=ELEVEN_POINT,
        load=lambda request: find_voc(request.folder, 2007).classification(request.test_set),
        sizes=(5011, 4952),
        results="results/VOC2007/Main/comp2_cls_{set}_{name}.txt",
    ),
    "voc2012": SvmProtocol(
        title="PASCAL VOC-2012 classification",
        scales=VOC_SCALES,
        combine="average",
        measure=ALL_POINT,
        load=lambda request: find_voc(request.folder, 2012).classification(request.test_set),
        sizes=(11540, 10991),
        results="results/VOC2012/Main/comp2_cls_{set}_{name}.txt",
    ),
    "caltech101": SvmProtocol(
        title="Caltech-101",
        scales=CALTECH_SCALES,
        combine="stack",
        measure=MEAN_CLASS_RECALL,
        load=lambda request: CALTECH_101.samples(request.folder, request.seed),
        classes=CALTECH_101.classes,
    ),
    "caltech256": SvmProtocol(
        title="Caltech-256",
        scales=CALTECH_SCALES,
        combine="stack",
        measure=MEAN_CLASS_RECALL,
        load=lambda request: CALTECH_256.samples(request.folder, request.seed),
        classes=CALTECH_256.classes,
    ),
    "voc2012-action": SvmProtocol(
        title="PASCAL VOC-2012 actions",
        scales=VOC_SCALES,
        combine="average",
        measure=ALL_POINT,
        load=lambda request: find_voc(request.folder, 2012).actions(request.test_set, request.boxes),
        has_boxes=True,
        results="results/VOC2012/Action/comp10_action_{set}_{name}.txt",
    ),
    "folder": SvmProtocol(
        title="a data set with one class an image",
        scales=None,
        combine="average",
        measure=MEAN_CLASS_RECALL,
        load=lambda request: folder_samples(request.source),
    ),
}
