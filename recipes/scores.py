"""Posteriors of a net on a split, kept in a folder: what recipes/evaluate.py computes and recipes/fuse.py averages."""

from dataclasses import dataclass
from typing import Any, ClassVar

from accelerate import Accelerator
from torch import Tensor

from recipes.chunks import CHUNK as CHUNK
from recipes.chunks import ChunkFolder, RescaledImages, Rows, compute_chunks
from recipes.data import LabelledImages
from vgg_zoo.evaluation import DenseEvaluator


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores(Rows):
    """What a net says of the images of a split, in their order.

    Attributes:
        posteriors: (N, num_classes), float32; a row of NaN where the image could not be decoded.
    """

    posteriors: Tensor


@dataclass(frozen=True, slots=True)
class ScoreFolder(ChunkFolder[Scores]):
    """The chunks of the scores of `images` images."""

    kind: ClassVar[type[Rows]] = Scores
    what: ClassVar[str] = "scores"


def compute_scores(
    evaluator: DenseEvaluator,
    split: LabelledImages,
    folder: ScoreFolder,
    accelerator: Accelerator,
    workers: int = 0,
    strict: bool = False,
) -> None:
    """Compute the scores that the folder lacks; arguments and errors as of `recipes.chunks.compute_chunks`."""

    def make(posteriors: Tensor, _: range, rows: dict[str, Any]) -> Scores:
        return Scores(posteriors=posteriors, **rows)

    images = RescaledImages(split, evaluator.scales)
    compute_chunks(evaluator.of_rescaled, images, make, folder, accelerator, workers, strict)
