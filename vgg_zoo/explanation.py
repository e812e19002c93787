"""Where in a photo the dense net sees which class (Sect. 3.2), as data and as a picture.

The picture shows the photo and its likeliest classes with their posteriors. For each of these classes (rows) and each
test scale Q (columns), it lays the soft-max posterior at every position of the class score map over the photo. All maps
share one colour scale from 0 to 1.

One position of the map is the net applied to one window: a training crop of 224 pixels of the photo rescaled to Q. The
next window is 32 pixels further. The posterior is drawn at the window's centre, bilinear between centres and constant
beyond the outermost ones. The map is not stretched over the whole photo, because no window is centred on the photo's
border. Dots mark the centres, and a frame on the photo marks the window in which the first class is likeliest. The maps
are those of the photo itself. The posteriors beside the photo are the evaluator's: by default, they average class
scores before the soft-max, and also average over the mirrored photo and the scales.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.images import explained
from vgg_zoo.images.decoding import Pixels
from vgg_zoo.images.inputs import Input, decoded
from vgg_zoo.images.preprocessing import rescaled_size
from vgg_zoo.receptive import field_of
from vgg_zoo.style import DARK, LIGHT, png
from vgg_zoo.weights.files import whole
from vgg_zoo.weights.settings import Net

SHOWN = 1024
"""Maximum length of the drawn photo's longer side in pixels."""

Values = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedMap:
    """Posteriors of some classes at every position of the class score map of one test scale.

    Attributes:
        scale: Q in pixels.
        posteriors: (classes, h, w), the soft-max over all the net's classes at each position.
        rows: (h,), vertical positions of the windows' centres, from 0 at the photo's upper border to 1 at its lower
            border.
        columns: (w,), horizontal positions, from 0 at the left border to 1 at the right border.
    """

    scale: int
    posteriors: Values
    rows: Values
    columns: Values

    @property
    def window(self) -> tuple[float, float]:
        """Height and width of a window as parts of the photo's: the first one begins in the upper left corner."""
        return 2 * float(self.rows[0]), 2 * float(self.columns[0])

    def over(self, height: int, width: int) -> Values:
        """(classes, height, width): bilinear between the windows' centres, constant beyond the outermost."""
        return _weights(self.rows, height) @ self.posteriors @ _weights(self.columns, width).T


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """What a net sees in a photo, and where.

    Attributes:
        net: Its name or folder; of a module that was given, its architecture.
        photo: At most `SHOWN` pixels high and wide.
        predictions: Names and posteriors of the likeliest classes, in descending order.
        maps: One for each test scale; their classes are those of `predictions`.
    """

    net: str
    photo: Pixels
    predictions: tuple[tuple[str, float], ...]
    maps: tuple[PlacedMap, ...]

    def draw(self, path: str | Path | None = None, *, dark: bool = False) -> Image.Image:
        """The picture that `vgg_zoo.explanation` describes.

        Args:
            path: A PNG to write as well, whole or not at all.
            dark: Light text on a dark ground.

        Raises:
            ImportError: matplotlib is missing.
            OSError: The file cannot be written.
        """
        written = png(partial(explained.draw, self), DARK if dark else LIGHT)
        if path is not None:
            with whole(Path(path)) as writing:
                writing.write_bytes(written)
        return Image.open(io.BytesIO(written)).convert("RGB")

    def to_dict(self) -> dict[str, Any]:
        """Predictions and maps as plain data for `json.dumps`; of the photo, only its size."""
        return {
            "net": self.net,
            "photo": {"height": self.photo.shape[0], "width": self.photo.shape[1]},
            "predictions": [{"class": name, "posterior": posterior} for name, posterior in self.predictions],
            "maps": [
                {
                    "scale": placed.scale,
                    "posteriors": placed.posteriors.tolist(),
                    "rows": placed.rows.tolist(),
                    "columns": placed.columns.tolist(),
                }
                for placed in self.maps
            ],
        }


def explain(
    image: Input, model: Net | DenseEvaluator, top: int = 5, *, scales: Sequence[int] | int | None = None
) -> Explanation:
    """The likeliest classes of an image, and their posteriors at every position of the class score map of every scale.

    Args:
        image: A PIL image, a path, an (H, W, 3) array of RGB in 0–255, or any other `Input`; it is decoded once.
        model: A net, a folder or a name, as in `DenseEvaluator`; or a `DenseEvaluator`. Its posteriors determine the
            likeliest classes.
        top: Number of classes; at most those of the net.
        scales: Q of the maps in pixels; None takes those of the evaluator or the net.

    Raises:
        ValueError: `top` is below 1, scales are given with an evaluator, or `DenseEvaluator` refuses the net.
        BadImageError: The image cannot be decoded.
    """
    if top < 1:
        raise ValueError(f"top must be at least 1, the likeliest class; got {top}")
    if isinstance(model, DenseEvaluator) and scales is not None:
        raise ValueError(f"the evaluator has its own scales, {model.scales}; give them to it, or explain its net")
    evaluator = model if isinstance(model, DenseEvaluator) else DenseEvaluator(model, scales)
    pixels = decoded(image)
    names = evaluator.class_names
    values, classes = evaluator([pixels])[0].topk(min(top, len(names)))
    likeliest = zip(classes.tolist(), values.tolist(), strict=True)
    shown = Image.fromarray(pixels)
    shown.thumbnail((SHOWN, SHOWN))
    return Explanation(
        net=_called(evaluator),
        photo=np.array(shown),
        predictions=tuple((names[index], value) for index, value in likeliest),
        maps=tuple(_placed_map(evaluator, pixels, scale, classes) for scale in evaluator.scales),
    )


def _called(evaluator: DenseEvaluator) -> str:
    named, _, _ = evaluator.named.partition(" with the weights of ")
    return named.strip("'\"")


def _placed_map(evaluator: DenseEvaluator, pixels: Pixels, scale: int, classes: torch.Tensor) -> PlacedMap:
    posteriors = evaluator.class_score_map(pixels, scale).double().softmax(0)[classes].numpy()
    width, height = rescaled_size(pixels.shape[1], pixels.shape[0], scale)
    rows, columns = (
        window_centres(evaluator.model, posteriors.shape[1 + dimension], dimension) for dimension in (0, 1)
    )
    return PlacedMap(scale=scale, posteriors=posteriors, rows=rows / height, columns=columns / width)


def window_centres(net: Any, count: int, dimension: int = 0) -> Values:
    """Centres of the windows of one row or column of the class score map, in pixels of the rescaled image.

    Args:
        net: The net of the map.
        count: Positions in the row or column.
        dimension: 0 for a column (vertical positions), 1 for a row.
    """
    stride, before, size = field_of([net.features], dimension)
    first = (size + stride * (int(net.pre_logits.input_kernel_size) - 1)) / 2 - before
    return first + stride * np.arange(count, dtype=np.float64)


def _weights(centres: Values, length: int) -> Values:
    """(length, positions): the weight of each position at the centre of each of `length` pixels; rows sum to 1."""
    middles = (np.arange(length) + 0.5) / length
    return np.stack([np.interp(middles, centres, one) for one in np.eye(len(centres))], axis=1)
