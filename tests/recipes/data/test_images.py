"""Images of a split on their way to a net."""

import io
import os
import signal
from typing import Any

import datasets
import pytest
from PIL import Image

from recipes.data.images import LabelledImages, training_colours
from recipes.runtime.signals import STOP, StoppedError
from vgg_zoo.images import decoding


@pytest.fixture
def split() -> LabelledImages:
    """Two PNGs."""
    files = [io.BytesIO(), io.BytesIO()]
    for shade, file in enumerate(files):
        Image.new("RGB", (40, 40), (90 * shade, 10, 20)).save(file, "PNG")
    features = datasets.Features(image=datasets.Image(decode=False), label=datasets.ClassLabel(names=["a", "b"]))
    columns = {"image": [{"bytes": file.getvalue(), "path": None} for file in files], "label": [0, 1]}
    return LabelledImages("training", datasets.Dataset.from_dict(columns, features=features), ("a", "b"))


def test_a_signal_while_an_image_is_decoded_stops_and_is_no_damage_of_it(
    split: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoders raise almost anything, and whatever they raise is a damaged image; the signal's error must not be.

    Otherwise the mean would be computed of all images but this one, and kept for every later part of the run.
    """
    whole, decode = training_colours(split), decoding.pixels_of

    def signalled(image: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return decode(image)

    monkeypatch.setattr(decoding, "pixels_of", signalled)
    with STOP.heeded(), pytest.raises(StoppedError) as stopped:
        training_colours(split)
    assert stopped.value.code == 143
    monkeypatch.undo()
    assert training_colours(split) == whole
