"""The splits of a data set with boxes (Appendix A), and the training images that cannot be used."""

from collections.abc import Sequence

from recipes.data.box_columns import box_rows
from recipes.data.boxed_images import BoxedImages
from recipes.data.boxes import NO_CLASS, kinds
from recipes.data.images import PLACE, UNLABELLED, Problem
from recipes.data.options import DataSource
from recipes.data.source import as_source
from recipes.data.splits import rows_of_splits, rows_of_test


def load_box_splits(source: str | DataSource) -> tuple[BoxedImages, BoxedImages, list[Problem]]:
    """The training and the validation split of a data set with boxes.

    Returns:
        The training images that have a class and, according to the annotation, a usable box; every validation image, in
        order; and the training images that were left out, with their index among all. If a set has no validation split,
        the same images are held out as by `recipes.data.splits.load_splits`.

    Raises:
        ValueError: As in `recipes.data.splits.load_splits`; or there is no column of boxes, or no training image with a
            usable box.
    """
    training, validation = load_all_box_splits(source)
    problems = training.rows["box_problem"][:]
    labels = training.rows["label"][:]
    names = training.names(range(len(training)))
    left_out = [
        Problem(training.name, index, names[index], problem or f"{NO_CLASS} (label {label})")
        for index, (problem, label) in enumerate(zip(problems, labels, strict=True))
        if problem or label == UNLABELLED
    ]
    if len(left_out) == len(training):
        raise ValueError(_all_left_out(as_source(source), left_out))
    if left_out:
        gone = {problem.index for problem in left_out}
        kept = [index for index in range(len(training)) if index not in gone]
        rows = training.rows.select(kept).add_column(PLACE, kept)
        training = BoxedImages(training.name, rows, training.class_names, training.notes)
    return training, validation, left_out


def load_all_box_splits(source: str | DataSource, tell: bool = True) -> tuple[BoxedImages, BoxedImages]:
    """Both splits with every image, even without a usable box; errors are those of `load_box_splits`."""
    source = as_source(source)
    training, validation, notes = rows_of_splits(source, lambda rows: box_rows(source, rows), tell)
    names = tuple(training.features["label"].names)
    return BoxedImages("training", training, names, notes), BoxedImages("validation", validation, names, notes)


def load_box_test_split(source: str | DataSource) -> BoxedImages:
    """The test split with every image; it is chosen as in `recipes.data.splits.load_test_split`.

    Raises:
        ValueError: As in `recipes.data.splits.load_test_split`; or there is no column of boxes.
    """
    source = as_source(source)
    rows, notes = rows_of_test(source, lambda found: box_rows(source, found))
    return BoxedImages("validation", rows, tuple(rows.features["label"].names), notes)


def _all_left_out(source: DataSource, left_out: Sequence[Problem]) -> str:
    counts = ", ".join(f"{kind}: {count}" for kind, count in kinds(problem.reason for problem in left_out).items())
    return (
        f"data set {source.spec!r}: none of the {len(left_out)} training images has a usable box ({counts}); the first "
        f"is {left_out[0]}. Boxes are {source.box_format} in pixels; --box-format says otherwise (xyxy, xywh)"
    )
