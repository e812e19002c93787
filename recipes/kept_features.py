"""Descriptors that recipes/extract_features.py left, as the samples of a linear SVM."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from recipes.features_folder import Features, load_features
from recipes.sample_descriptors import BadSample, Descriptors
from recipes.samples import Samples, Split, hold_out, one_hot
from vgg_zoo.images import BadImageError, Pixels


def of_folders(folders: Sequence[str], seed: int = 0) -> tuple[Samples, Descriptors, list[dict[str, Any]]]:
    """The samples and descriptors of the training and the test images, and what is said of the net.

    Args:
        folders: Of the training and of the test images; of a single one a fifth is held out for the test.
        seed: Of the images that are held out.

    Raises:
        ValueError: More folders, different nets, settings or classes, or images without labels.
    """
    if len(folders) > 2:
        raise ValueError(f"--features takes one folder, or those of the training and of the test images; got {folders}")
    parts = [load_features(folder) for folder in folders]
    for folder, part in zip(folders, parts, strict=True):
        _check(folders[0], parts[0], folder, part)
    labels = np.concatenate([part.labels for part in parts])
    class_names = tuple(parts[0].settings["data"]["class_names"])
    names = [name for part in parts for name in part.names]
    hot = one_hot(labels, len(class_names))
    count = len(parts[0])
    pair = hold_out(hot, list(map(str, range(len(names)))), seed)
    split = Split(*pair) if len(parts) == 1 else Split(np.arange(count), np.arange(count, len(names)))
    samples = Samples(
        names=names,
        images=list(map(str, range(len(names)))),
        class_names=class_names,
        labels=hot,
        read=_no_image,
        splits=(split,),
    )
    starts = (0, count)
    problems = [
        BadSample("image", start + problem.index, problem.name, problem.reason)
        for start, part in zip(starts, parts, strict=False)
        for problem in part.problems
    ]
    rows = np.concatenate([part.descriptors for part in parts])
    return samples, Descriptors(rows, problems), [parts[0].settings["net"]]


def _check(first: str, expected: Features, folder: str, found: Features) -> None:
    """The two folders must be of the same net and classes, and labelled."""
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
    raise BadImageError(f"sample {index} is known by its descriptor alone")
