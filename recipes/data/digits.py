"""`--data digits` and `--data pasted_digits`: scikit-learn's handwritten digits, alone or with boxes on faint photos.

Pasted digits are made of the digits and of scikit-learn's two photos, for localisation; the images are the same in
every run. The digits of the validation images are in no training image. The photos are blurred and faint for this
reason: the cells of a small net see farther than its crop, so it learns positions from the zeros around the crop. If
all pixels are near the mean of the images, the surroundings of a window in a whole image look much the same.
"""

import io
from collections.abc import Iterator
from typing import Any

import datasets
import numpy as np
from PIL import Image, ImageFilter

from recipes.data.source import Reader

TRAINING_IMAGES, VALIDATION_IMAGES = 4000, 400
SIDES = (72, 84)
"""Range of an image's sides in pixels; each side is drawn independently."""

SIZES = (0.55, 0.85)
"""Range of the side of a digit's square, as a fraction of the image's smaller side."""

_COLUMNS = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list("0123456789"))}
_HELD_OUT = 5  # every fifth digit
_BLUR, _DARKEST, _CONTRAST = 4, 40, 3 / 16  # for the photos: a radius in pixels, a level, a factor
_TRIM, _FULL = 2, 10  # of 16 levels: fainter pixels are not ink, darker pixels hide the photo


def find(spec: str) -> Reader | None:
    """A reader for "digits" or "pasted_digits"."""
    if spec == "digits":
        return lambda boxes: _digits()
    return (lambda boxes: pasted_digits()) if spec == "pasted_digits" else None


def pasted_digits() -> datasets.DatasetDict:
    """The two splits, with the columns "image", "label" and "boxes", one box (left, top, right, bottom) in pixels."""
    from sklearn.datasets import load_digits, load_sample_images  # an extra that only this set needs

    digits = load_digits()
    photos = [_faint(Image.fromarray(photo).reduce(2)) for photo in load_sample_images().images]
    numbers = np.arange(len(digits.target))
    halves = (numbers[numbers % _HELD_OUT > 0], numbers[numbers % _HELD_OUT == 0])
    features = datasets.Features(**_COLUMNS, boxes=datasets.List(datasets.List(datasets.Value("float64"))))
    counts = {"train": TRAINING_IMAGES, "validation": VALIDATION_IMAGES}
    splits = {}
    for seed, ((name, count), chosen) in enumerate(zip(counts.items(), halves, strict=True)):
        rows = _rows(count, seed, [(digits.images[one], int(digits.target[one])) for one in chosen], photos)
        splits[name] = datasets.Dataset.from_list(list(rows), features=features)
    return datasets.DatasetDict(splits)


def _rows(count: int, seed: int, digits: list[tuple[Any, int]], photos: list[Image.Image]) -> Iterator[dict[str, Any]]:
    """Images, classes and boxes; all digits are equally frequent."""
    for number in range(count):
        generator = np.random.Generator(np.random.Philox(key=seed, counter=number))
        levels, label = digits[number % len(digits)]
        background = _background(photos[int(generator.integers(len(photos)))], generator)
        image, box = _with_digit(background, levels, generator)
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=1)  # `datasets` would take five times as long for smaller files
        yield {"image": {"bytes": file.getvalue(), "path": None}, "label": label, "boxes": [box]}


def _faint(photo: Image.Image) -> Image.Image:
    """A photo as a background without edges, with levels from 40 to 87."""
    return photo.filter(ImageFilter.GaussianBlur(_BLUR)).point(lambda level: int(_DARKEST + level * _CONTRAST))


def _background(photo: Image.Image, generator: np.random.Generator) -> Image.Image:
    """A random part of a photo."""
    width, height = (int(side) for side in generator.integers(*SIDES, size=2, endpoint=True))
    left, top = (int(generator.integers(room + 1)) for room in (photo.width - width, photo.height - height))
    return photo.crop((left, top, left + width, top + height))


def _with_digit(
    photo: Image.Image, levels: np.ndarray[Any, Any], generator: np.random.Generator
) -> tuple[Image.Image, list[float]]:
    """A photo with a digit, white on a dark part and black elsewhere, and the box of the ink."""
    inked = np.argwhere(levels > _TRIM)
    (top, left), (bottom, right) = inked.min(0), inked.max(0) + 1
    ink = Image.fromarray((levels[top:bottom, left:right] / _FULL * 255).clip(0, 255).astype(np.uint8))
    pixel = generator.uniform(*SIZES) * min(photo.size) / max(ink.size)
    size = (max(1, round(ink.width * pixel)), max(1, round(ink.height * pixel)))
    x, y = (int(generator.integers(room + 1)) for room in (photo.width - size[0], photo.height - size[1]))
    place = (x, y, x + size[0], y + size[1])
    dark = np.asarray(photo.crop(place).convert("L")).mean() < 128
    photo.paste("white" if dark else "black", place, ink.resize(size, Image.Resampling.BICUBIC))
    return photo, list(map(float, place))


def _digits() -> datasets.Dataset:
    from sklearn.datasets import load_digits  # an extra that only this set needs

    digits = load_digits()
    images = [Image.fromarray((image * (255 / 16)).astype(np.uint8)) for image in digits.images]
    columns = {"image": images, "label": digits.target.tolist()}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(_COLUMNS))
