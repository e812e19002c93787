"""Localisation (Appendix A): a net that predicts boxes and a classifier, applied densely to the whole image.

For each of the likeliest classes, every position of the nets' maps gives a box. Boxes that are close are merged. The
result is the box whose windows have the highest class scores (the paper's second testing protocol).
"""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple, overload

import torch
from PIL import Image
from torch import Tensor

from vgg_zoo.boxes.frame import boxes_of_map, cut, in_pixels
from vgg_zoo.boxes.merging import CLOSE, merge
from vgg_zoo.boxes.net import BoxVGG
from vgg_zoo.dense import of_each, score_maps
from vgg_zoo.devices import widest
from vgg_zoo.entrypoints import BOX_NETS
from vgg_zoo.evaluation import DenseEvaluator, Fusion
from vgg_zoo.fast.copies import arithmetic, check_can_be
from vgg_zoo.fast.net import FastVGG
from vgg_zoo.images.decoding import Pixels
from vgg_zoo.images.each import Each, progress
from vgg_zoo.images.inputs import (
    Array,
    Input,
    Inputs,
    One,
    Rescaled,
    as_scales,
    at_scales,
    batches_of_one_shape,
    count_of,
    decoded,
    is_one,
    of_scales,
    several,
    size_of,
)
from vgg_zoo.images.pictures import draw_boxes
from vgg_zoo.layers import smallest_side
from vgg_zoo.model import outputs_of, own_class_names
from vgg_zoo.pretrained import described, net_of
from vgg_zoo.receptive import field_of
from vgg_zoo.weights.settings import Net, localise_settings


class Found(NamedTuple):
    """An object: its class, the posterior of the class, and its box.

    Attributes:
        name: Name of the class.
        score: The image's posterior of the class, from 0 to 1.
        box: (left, top, right, bottom) in pixels of the upright image. If the image is more than 16 times as long as
            wide, in pixels of its middle, to which it is cropped.
    """

    name: str
    score: float
    box: tuple[float, float, float, float]


class Localiser:
    """The paper's localisation as a function from an image to classes and boxes (Appendix A).

    The classifier gives the likeliest classes of the image by its own protocol. For each class, each box net predicts a
    box at every position of the image rescaled to each of its Q. The boxes of all nets are merged greedily. Their
    rating is the sum of the classifier's posteriors of the class in the windows that they come from.

    Args:
        model: A net that predicts boxes (`vgg_d_box`), the folder or name of a trained one, or several of these.
        classifier: A net, its folder or name, a `DenseEvaluator`, or a `Fusion`. It must have the same classes in the
            same order.
        scales: Q in pixels, one or several; for several nets, a sequence for each. None (for all nets or for one) takes
            the scales of the net's `localise.json`, which published nets have beside their weights, or else the S of
            its training, from its config.
        top: Number of classes per image; 5 in the paper.
        close: Overlap above which two boxes are merged. None takes the value in `localise.json` of a single net, or
            else 0.5.
        ceil_mode: Max-pools round their size up in all maps of windows; for the image's classes, the classifier has its
            own setting. None takes the value in `localise.json` of a single net, or else False.
        most_pixels: Pixels that go through a net at once; None as in `DenseEvaluator`.
        device: Device of all nets, and of a classifier that is no evaluator; as in `DenseEvaluator`.
        exact: Run the nets themselves, not their fast copies; the classifier has its own setting.
        precision: Precision of the nets, as in `DenseEvaluator`; the classifier has its own setting.

    Raises:
        ValueError: A net predicts no boxes, the classifier does not classify, classes or crop sizes differ, a scale is
            below the crop size, or a net has no scales; the message has the given values.
        OSError: Weights cannot be downloaded.
    """

    def __init__(
        self,
        model: Net | Sequence[Net],
        classifier: Net | DenseEvaluator | Fusion,
        scales: int | Sequence[int] | Sequence[Sequence[int] | None] | None = None,
        *,
        top: int = 5,
        close: float | None = None,
        ceil_mode: bool | None = None,
        most_pixels: int | None = None,
        device: torch.device | str | None = "auto",
        exact: bool = False,
        precision: str | None = None,
    ) -> None:
        models: list[Any] = list(model) if isinstance(model, list | tuple) else [model]
        self.nets = [box_net(each, device) for each in models]
        self.named = [described(each) for each in models]
        kept = [localise_settings(each) for each in models]
        alone = kept[0] if len(kept) == 1 else {}  # several nets are merged together, by no net's own value
        close = alone.get("close", CLOSE) if close is None else close
        ceil_mode = alone.get("ceil_mode", False) if ceil_mode is None else ceil_mode
        self.classifier = classifier if isinstance(classifier, Fusion) else Fusion(classifier, device=device)
        self.evaluators = self.classifier.evaluators
        self.side = smallest_side(self.evaluators[0].model)
        _check_windows([*self.nets, *(evaluator.model for evaluator in self.evaluators)])
        self.scales_of_nets = _scales_of(self.nets, scales, kept, self.side)
        if not 0 <= close <= 1:
            raise ValueError(f"close is an intersection over union from 0 to 1; got {close}")
        if top < 1:
            raise ValueError(f"top must be at least 1; got {top}")
        _check_classes(self.nets, self.evaluators)
        self.top = min(int(top), outputs_of(self.evaluators[0].model))
        self.close, self.ceil_mode, self.exact, self.precision = float(close), bool(ceil_mode), bool(exact), precision
        for net in self.nets:
            check_can_be(net, self.exact, precision)
        self._most_pixels = None if most_pixels is None else int(most_pixels)

    @property
    def most_pixels(self) -> int:
        """Pixels that go through a net at once: the given number, or the default for the classifier's device."""
        return self.evaluators[0].most_pixels if self._most_pixels is None else self._most_pixels

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the classifier's outputs."""
        return self.evaluators[0].class_names

    @property
    def scales(self) -> list[int]:
        """Every Q that the classifier or the box nets need, in ascending order."""
        of_nets = {scale for scales in self.scales_of_nets for scale in scales}
        return sorted(of_nets.union(self.classifier.scales))

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the nets, as plain data."""
        return {
            "scales": [list(scales) for scales in self.scales_of_nets],
            "classifier": [evaluator.settings for evaluator in self.evaluators],
            "top": self.top,
            "close": self.close,
            "ceil_mode": self.ceil_mode,
        }

    def __repr__(self) -> str:
        names = ", ".join(self.named)
        how = ", ".join(f"{name}={value!r}" for name, value in self.settings.items() if name != "classifier")
        computed = arithmetic(self.nets[0], self.exact, self.precision)
        device = str(next(self.nets[0].parameters()).device)
        how += f", arithmetic={computed!r}, device={device!r}"
        return f"Localiser({names}, {how},\n    classifier={self.classifier!r})"

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a path is an iterable of letters, not of images
        self, images: One, *, on_error: str = "raise", show_progress: bool = False
    ) -> list[Found]: ...

    @overload
    def __call__(self, images: Array, *, on_error: str = "raise", show_progress: bool = False) -> Any: ...

    @overload
    def __call__(
        self, images: Inputs, *, on_error: str = "raise", show_progress: bool = False
    ) -> list[list[Found]]: ...

    def __call__(self, images: Any, *, on_error: str = "raise", show_progress: bool = False) -> Any:
        """The likeliest classes of each image, the likeliest first, each with its box.

        Args:
            images: One or several, as in `DenseEvaluator`. So are `on_error` (with "nan", an image that cannot be
                decoded has an empty list) and `show_progress`.

        Returns:
            A list for each image; for one image, its list.

        Raises:
            ValueError: As in `DenseEvaluator`.
            BadImageError: An image cannot be decoded.
        """
        one = is_one(images)
        given = [images] if one else images
        sizes: list[tuple[int, int]] = []
        each = Each(
            ((image, None) for image in several(given)), self._prepare, lambda found: size_of(found[1]), on_error
        )

        def rescaled() -> Iterator[Rescaled | None]:
            for found in each:
                size, image = found or ((0, 0), None)
                sizes.append(size)
                yield image

        with progress(count_of(given), show_progress) as bar:
            rows = of_each(self.of_rescaled, rescaled(), self.evaluators[0].device, bar)
        each.warn(len(rows))
        names = self.class_names
        found = [_found(names, row, size) for row, size in zip(rows, sizes, strict=True)]
        return found[0] if one else found

    def _prepare(self, pixels: Pixels, named: str, beside: None) -> tuple[tuple[int, int], Rescaled]:
        return (pixels.shape[0], pixels.shape[1]), at_scales(pixels, self.scales)

    def draw(self, image: Input, top: int = 1) -> Image.Image:
        """The upright image with the boxes of its `top` likeliest classes, their names and their posteriors."""
        return draw_boxes(decoded(image), self(image)[:top])

    @torch.inference_mode()
    def of_rescaled(self, images: Sequence[Rescaled | None]) -> Tensor:
        """Classes and boxes of images that `vgg_zoo.images.inputs.at_scales` has rescaled to `scales`.

        Args:
            images: For each image, a (3, H, W) tensor of uint8 for each of `scales`, in order; None gives NaN.

        Returns:
            (N, top, 6), float64: class, posterior, and left, top, right, bottom as fractions of the image's sides.
        """
        of_classifier = of_scales(images, self.scales, self.classifier.scales)
        posteriors, classes = self.classifier.of_rescaled(of_classifier).topk(self.top)
        found = torch.full((len(images), self.top, 6), torch.nan, dtype=torch.float64)
        candidates = self._candidates(images, classes)
        for place, parts in candidates.items():
            boxes, scores = (torch.cat(column, 1) for column in zip(*parts, strict=True))
            best = [merge(*of_class, self.close).boxes[0] for of_class in zip(boxes, scores, strict=True)]
            found[place] = torch.cat([classes[place, :, None], posteriors[place, :, None], cut(torch.stack(best))], 1)
        return found

    def _candidates(self, images: Sequence[Rescaled | None], classes: Tensor) -> dict[int, list[tuple[Tensor, Tensor]]]:
        """By the image's index: boxes (top, windows, 4) of each net and scale, and the scores of the classes there."""
        found: dict[int, list[tuple[Tensor, Tensor]]] = {}
        for place, scale in enumerate(self.scales):
            nets = [net for net, scales in zip(self.nets, self.scales_of_nets, strict=True) if scale in scales]
            of_scale = [None if image is None or not nets else image[place] for image in images]
            for batch, numbers in batches_of_one_shape(of_scale, self.most_pixels, self.evaluators[0].device):
                how = (self.ceil_mode, self.most_pixels)
                scores = _window_posteriors(self.evaluators, batch, classes[numbers], *how).flatten(2)
                for net in nets:
                    boxes = self._boxes(net, batch, classes[numbers])
                    for number, of_image in zip(numbers, zip(boxes, scores, strict=True), strict=True):
                        found.setdefault(number, []).append(of_image)
        return found

    def _boxes(self, net: BoxVGG, batch: Tensor, classes: Tensor) -> Tensor:
        """(B, top, windows, 4) boxes of the classes (B, top) in a batch of one shape."""
        maps = score_maps(net, batch, self.ceil_mode, self.most_pixels, self.exact, self.precision)
        outputs = net.by_box(maps).cpu().double()
        if net.regression == "pcr":
            outputs = outputs[torch.arange(len(outputs))[:, None], classes]
        boxes = boxes_of_map(outputs, height=batch.shape[2], width=batch.shape[3], side=self.side)
        return boxes.expand(-1, self.top, -1, -1)


def _window_posteriors(
    evaluators: Sequence[DenseEvaluator], batch: Tensor, classes: Tensor, ceil_mode: bool, most_pixels: int
) -> Tensor:
    """(B, top, h, w) for the classes (B, top): the soft-max at every position, averaged over the classifiers."""
    found = []
    for each in evaluators:
        scores = score_maps(each.model, batch, ceil_mode, most_pixels, each.exact, each.precision)
        posteriors = scores.to(widest(scores.device)).softmax(1)
        wanted = classes.to(scores.device)[:, :, None, None].expand(-1, -1, *scores.shape[2:])
        found.append(posteriors.gather(1, wanted).cpu().double())  # only few of 1,000 classes are fetched
    return torch.stack(found).mean(0)


def _found(names: Sequence[str], rows: Tensor, size: tuple[int, int]) -> list[Found]:
    """The objects in an image of this size; none if it could not be decoded."""
    boxes = in_pixels(rows[:, 2:], *size)
    return [
        Found(names[int(row[0])], float(row[1]), tuple(box.tolist()))
        for row, box in zip(rows, boxes, strict=True)
        if not row.isnan().any()
    ]


def box_net(model: Net, device: torch.device | str | None = "auto") -> BoxVGG:
    """A net that predicts boxes: the given one, or that of a folder or name; the device is as in `DenseEvaluator`.

    Raises:
        ValueError: It predicts no boxes.
    """
    net = net_of(model, device)
    if isinstance(net, FastVGG):
        raise ValueError("a fast_inference copy; give the net that it was made from, which is copied here")
    if isinstance(net, BoxVGG) and net.boxes == 0:
        raise ValueError("the net has no last layer (num_classes=0), and so predicts no boxes")
    if not isinstance(net, BoxVGG):
        raise ValueError(
            f"a {type(net).__name__} predicts no boxes; the nets that do are {', '.join(BOX_NETS)}, and "
            "recipes/train.py trains them"
        )
    return net


def training_scale(net: BoxVGG) -> int:
    """S in pixels from the net's config: a crop has `crop_pct` of it."""
    return round(smallest_side(net) / float(net.pretrained_cfg["crop_pct"]))


def _scales_of(
    nets: Sequence[BoxVGG], given: Any, kept: Sequence[Mapping[str, Any]], side: int
) -> list[tuple[int, ...]]:
    if not nets:
        raise ValueError("no net that predicts boxes")
    given = [given] if isinstance(given, Integral) else given
    if given is None:
        given = [None] * len(nets)
    elif len(nets) == 1 and all(isinstance(scale, Integral) for scale in given):
        given = [given]
    elif len(given) != len(nets) or any(isinstance(of_net, Integral) for of_net in given):
        raise ValueError(f"scales must be a sequence of Q for each of the {len(nets)} nets; got {given!r}")
    scales = [
        as_scales(of_net if of_net is not None else beside.get("scales") or [training_scale(net)])
        for of_net, net, beside in zip(given, nets, kept, strict=True)
    ]
    for of_net in scales:
        if not of_net or min(of_net) < side:
            raise ValueError(f"scales must be smallest sides of at least {side} pixels, the nets' crop; got {of_net}")
    return scales


def _check_windows(nets: Sequence[Any]) -> None:
    """Refuse nets whose positions are not the same windows."""
    sides = sorted({smallest_side(net) for net in nets})
    strides = sorted({field_of([net.features]).stride for net in nets})
    if len(strides) > 1:
        raise ValueError(
            f"the nets' maps have a cell every {' and '.join(map(str, strides))} pixels; nets that predict boxes and "
            "classifiers must see the same windows"
        )
    if len(sides) > 1:
        raise ValueError(
            f"the nets' crops have {' and '.join(map(str, sides))} pixels; nets that predict boxes and classifiers "
            "must see the same windows"
        )


def _check_classes(nets: Sequence[BoxVGG], evaluators: Sequence[DenseEvaluator]) -> None:
    """Refuse box nets whose classes are not those of the classifier."""
    model: Any = evaluators[0].model
    count, names = outputs_of(model), own_class_names(model)
    for net in nets:
        theirs = own_class_names(net)
        if net.regression == "pcr" and (net.num_classes != count or (names and theirs and theirs != names)):
            raise ValueError(
                f"the box net has {net.num_classes} classes and the classifier {count}, or other classes; a net that "
                "predicts a box for each class (pcr) needs a classifier with the same classes"
            )
