"""Where in a photo the dense net sees which class (Sect. 3.2), as data and as a picture.

The picture shows the photo and its likeliest classes with their posteriors. For each of these classes (rows) and each
test scale Q (columns), it lays the soft-max posterior at every position of the class score map over the photo. All maps
share one colour scale from 0 to 1.

One position of the map is the net applied to one window: a training crop of 224 pixels of the photo rescaled to Q. The
next window is 32 pixels further. The posterior is drawn at the window's centre, bilinear between centres and constant
beyond the outermost ones. The map is not stretched over the whole photo, because no window is centred on the photo's
border. Dots mark the centres. The maps are those of the photo itself. The posteriors beside the photo are the
evaluator's: by default, they average class scores before the soft-max, and also average over the mirrored photo and the
scales.
"""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.extras import install
from vgg_zoo.images.decoding import Pixels
from vgg_zoo.images.inputs import Input, decoded
from vgg_zoo.images.preprocessing import rescaled_size
from vgg_zoo.receptive import field_of
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
        photo: At most `SHOWN` pixels high and wide.
        predictions: Names and posteriors of the likeliest classes, in descending order.
        maps: One for each test scale; their classes are those of `predictions`.
    """

    photo: Pixels
    predictions: tuple[tuple[str, float], ...]
    maps: tuple[PlacedMap, ...]

    def draw(self, path: str | Path | None = None) -> Image.Image:
        """The picture that `vgg_zoo.explanation` describes.

        Args:
            path: A PNG to write as well, whole or not at all.

        Raises:
            ImportError: matplotlib is missing.
            OSError: The file cannot be written.
        """
        figure, written = _Drawing(self).figure, io.BytesIO()
        figure.savefig(written, format="png", dpi=_DPI)
        if path is not None:
            with whole(Path(path)) as writing:
                writing.write_bytes(written.getvalue())
        return Image.open(written).convert("RGB")

    def to_dict(self) -> dict[str, Any]:
        """Predictions and maps as plain data for `json.dumps`; of the photo, only its size."""
        return {
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
        photo=np.array(shown),
        predictions=tuple((names[index], value) for index, value in likeliest),
        maps=tuple(_placed_map(evaluator, pixels, scale, classes) for scale in evaluator.scales),
    )


def heat_over(photo: Pixels, heat: Values) -> Pixels:
    """Posteriors of one class in colours over the grey photo, pixel by pixel.

    Args:
        photo: (H, W, 3).
        heat: (H, W), from 0, black, to 1, light yellow.

    Raises:
        ImportError: matplotlib is missing.
    """
    from matplotlib import colormaps  # an extra, and slow to import

    grey = np.asarray(Image.fromarray(photo).convert("L"))[:, :, None]
    light: Values = (grey + 127.5) / 1.5  # no black: colours are to be seen on every photo
    return (0.6 * 255 * colormaps["magma"](heat)[:, :, :3] + 0.4 * light).round().astype(np.uint8)


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


_DPI = 110
_HEAT = {"cmap": "magma", "vmin": 0.0, "vmax": 1.0, "alpha": 0.6}
_GREY = {"cmap": "gray", "vmin": -0.5, "vmax": 1.0}  # no black, so that colours are visible on every photo
_MARGIN, _GAP, _LABEL, _TITLE = 0.3, 0.14, 1.6, 0.75


class _Drawing:
    """The figure, laid out in inches from its upper left corner; it does not change matplotlib's global state."""

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation
        height, width = explanation.photo.shape[:2]
        self.across, self.down = _inches(width, height, 2.6)
        self.step = max(self.down, 0.5) + _GAP  # two lines of label
        photo = _inches(width, height, 3.6)
        header = max(photo[1], 0.36 * len(explanation.predictions) + 1.2, 2.0)
        grid_top = _MARGIN + header + _TITLE
        grid = _LABEL + len(explanation.maps) * (self.across + _GAP) - _GAP
        bottom = grid_top + len(explanation.predictions) * self.step
        size = max(photo[0] + 5.4, grid) + 2 * _MARGIN, bottom + 0.2 + _MARGIN
        self.figure = figure_class()(figsize=size)
        self._photo(photo)
        self._bars(_MARGIN + photo[0] + 2.5, size[0] - _MARGIN - 0.4, header)
        for column, placed in enumerate(explanation.maps):
            self._column(placed, _MARGIN + _LABEL + column * (self.across + _GAP), grid_top)
        for row, (name, posterior) in enumerate(explanation.predictions):
            middle = grid_top + row * self.step + self.down / 2
            self._text(_MARGIN + _LABEL - 0.15, middle, f"{_lines(name)}\n{posterior:.3f}", ha="right")
        legend = "each dot: the centre of one window of the net"
        self._text(_MARGIN + _LABEL, bottom + 0.12, legend, fontsize=9, color="0.4")

    def _axes(self, left: float, top: float, across: float, down: float) -> Any:
        width, height = self.figure.get_size_inches()
        return self.figure.add_axes((left / width, 1 - (top + down) / height, across / width, down / height))

    def _text(self, left: float, top: float, text: str, **options: Any) -> None:
        width, height = self.figure.get_size_inches()
        style = {"va": "center", "parse_math": False, "fontsize": 10, **options}
        self.figure.text(left / width, 1 - top / height, text, **style)

    def _photo(self, size: tuple[float, float]) -> None:
        axes = self._axes(_MARGIN, _MARGIN, *size)
        axes.imshow(self.explanation.photo, extent=(0, 1, 1, 0), aspect="auto")
        axes.set_axis_off()

    def _bars(self, left: float, right: float, header: float) -> None:
        names, values = zip(*self.explanation.predictions, strict=True)
        axes = self._axes(left, _MARGIN + 0.2, right - left, header - 1.2)
        axes.barh(range(len(names)), values, height=0.62, color="#8c2981")
        axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5), xticks=())
        axes.set_title("posteriors of the whole photo", loc="left", fontsize=10)
        axes.set_yticks(range(len(names)), [_short(name, 28) for name in names], parse_math=False)
        axes.tick_params(left=False)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        for row, value in enumerate(values):
            axes.text(value + 0.015, row, f"{value:.3f}", va="center")
        self._colour_bar(left, _MARGIN + header - 0.62, right - left)

    def _colour_bar(self, left: float, top: float, across: float) -> None:
        """The colour scale, drawn over mid-grey because the maps are drawn over the photo's grey."""
        axes = self._axes(left, top, across, 0.16)
        for values, options in ((np.full((1, 2), 0.5), _GREY), (np.linspace(0, 1, 256)[None], _HEAT)):
            axes.imshow(values, extent=(0, 1, 0, 1), aspect="auto", **options)
        axes.set(yticks=(), xlabel="posterior of the class at each position of the map")

    def _column(self, placed: PlacedMap, left: float, top: float) -> None:
        height, width = self.explanation.photo.shape[:2]
        grey = np.asarray(Image.fromarray(self.explanation.photo).convert("L")) / 255
        title = f"Q = {placed.scale}, {len(placed.rows)} × {len(placed.columns)} positions"
        self._text(left + self.across / 2, top - 0.16, title, ha="center")
        for row, heat in enumerate(placed.over(height, width)):
            axes = self._axes(left, top + row * self.step, self.across, self.down)
            axes.imshow(grey, extent=(0, 1, 1, 0), aspect="auto", **_GREY)
            axes.imshow(heat, extent=(0, 1, 1, 0), aspect="auto", **_HEAT)
            x, y = np.meshgrid(placed.columns, placed.rows)
            axes.scatter(x, y, s=2, color="white", alpha=0.5, linewidths=0)
            axes.set(xlim=(0, 1), ylim=(1, 0))
            axes.set_axis_off()


def figure_class() -> Any:
    try:
        from matplotlib.figure import Figure  # optional, and slow to import
    except ImportError as error:
        raise ImportError(f"drawing needs matplotlib: {install('plots')}") from error
    return Figure


def _inches(width: int, height: int, side: float) -> tuple[float, float]:
    """Width and height of a picture with the area of a square of `side` inches, and with limited length."""
    factor = min(side / (width * height) ** 0.5, 1.3 * side / max(width, height))
    return width * factor, height * factor


def _short(name: str, most: int) -> str:
    """The first of a class's synonyms, shortened to `most` letters."""
    first = name.split(",")[0].strip()
    return first if len(first) <= most else first[: most - 1].rstrip() + "…"


def _lines(name: str) -> str:
    return "\n".join(textwrap.wrap(_short(name, 40), 19)) or name
