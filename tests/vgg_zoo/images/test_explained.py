"""The picture of an explanation: what is written on it, and that it fills its ground, whatever the photo."""

from functools import partial

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from tests.pictures import drawn, long_names
from vgg_zoo.explanation import Explanation, PlacedMap
from vgg_zoo.images.explained import draw
from vgg_zoo.style import DARK, DPI, WIDTH

SHAPES = {"landscape": (427, 640), "portrait": (600, 400), "panorama": (60, 960), "tower": (640, 60), "digit": (8, 8)}


def explanation(shape: tuple[int, int], classes: int, scales: tuple[int, ...], net: str = "runs/photos") -> Explanation:
    """Of a part of a photo, with posteriors that rise from left to right."""
    photo = (
        np.resize(load_sample_image("china.jpg"), (*shape, 3))
        if max(shape) > 640
        else (np.tile(load_sample_image("china.jpg"), (2, 1, 1))[: shape[0], : shape[1]])
    )
    maps = []
    for scale in scales:
        cells = [max(1, round(scale * side / min(shape) / 32) - 6) for side in shape]
        rows, columns = ((112 + 32 * np.arange(count)) / (224 + 32 * (count - 1)) for count in cells)
        posteriors = np.linspace(0, 1, classes * cells[0] * cells[1]).reshape(classes, *cells)
        maps.append(PlacedMap(scale=scale, posteriors=posteriors, rows=rows, columns=columns))
    values = 0.6 ** np.arange(1, classes + 1)
    return Explanation(
        net=net,
        photo=photo,
        predictions=tuple(zip(long_names(classes), values.tolist(), strict=True)),
        maps=tuple(maps),
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", [1, 5])
@pytest.mark.parametrize("scales", [(256,), (256, 384, 512)])
def test_nothing_overlaps_and_nothing_is_empty(shape: str, classes: int, scales: tuple[int, ...]) -> None:
    """Names of any length; one class or six, one scale or three."""
    found = drawn(partial(draw, explanation(SHAPES[shape], classes, scales)))
    found.check()
    assert 3 * DPI < found.picture.width <= WIDTH * DPI + 1
    assert found.picture.height < 20 * DPI


@pytest.mark.parametrize("scales", [(256,), (256, 384)])
def test_it_says_which_net_and_the_likeliest_class_comes_first(scales: tuple[int, ...]) -> None:
    """Above the others, or at their left; each scale says how many positions it has."""
    one = explanation((427, 640), 4, scales)
    found = drawn(partial(draw, one))
    places = dict(found.texts)
    assert found.words[0] == "runs/photos"
    numbers = [f"{value:.3f}" for _, value in one.predictions]
    order = [(-places[number][3], places[number][0]) for number in numbers]
    assert order == sorted(order)
    for placed in one.maps:
        assert f"Q = {placed.scale}, {len(placed.rows)} × {len(placed.columns)} positions" in found.words


def test_a_long_name_of_a_net_is_cut() -> None:
    """At the picture's width."""
    found = drawn(partial(draw, explanation((600, 400), 1, (256,), "runs/" + "long" * 40)))
    found.check()
    assert found.words[0].endswith("…")


def test_the_dark_picture_is_another_one() -> None:
    """On its own ground."""
    one = explanation((427, 640), 2, (256,))
    light, dark = (np.asarray(one.draw(dark=dark)) for dark in (False, True))
    assert light.shape == dark.shape
    assert light[0, 0].tolist() == [255, 255, 255]
    assert dark[0, 0].tolist() == list(bytes.fromhex(DARK.ground[1:]))


def test_the_window_that_is_shown_is_the_likeliest_classs() -> None:
    """A window begins in the photo's corner, and the last one ends at its border."""
    placed = explanation((448, 448), 1, (448,)).maps[0]
    assert placed.window == pytest.approx((0.5, 0.5))
    assert placed.rows[-1] + placed.window[0] / 2 == pytest.approx(1)
