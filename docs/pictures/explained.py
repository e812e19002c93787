"""README's picture: three parts of photos, side by side, explained by the net of docs/own_classes.md.

    python docs/pictures/explained.py runs/photos docs/pictures

The net was trained on crops from the left six tenths of these photos; the parts are from the rest of them.
"""

import sys
from pathlib import Path

import numpy as np
import skimage
from PIL import Image
from sklearn.datasets import load_sample_image

import vgg_zoo

HEIGHT, WIDTH = 300, 150


def parts() -> Image.Image:
    """Of a cat, a cup of coffee and a flower."""
    bundled = Path(skimage.__file__).parent / "data"
    cat, coffee = (Image.open(bundled / name).convert("RGB") for name in ("chelsea.png", "coffee.png"))
    flower = Image.fromarray(load_sample_image("flower.jpg"))
    found = []
    for photo, top in ((cat, 0), (coffee, 50), (flower, 50)):
        left = photo.width * 6 // 10
        found.append(np.asarray(photo.crop((left, top, left + WIDTH, top + HEIGHT))))
    return Image.fromarray(np.concatenate(found, 1))


def main(net: str, folder: str) -> None:
    """Draw both grounds."""
    explanation = vgg_zoo.explain(parts(), net, 3, scales=192)
    print(explanation.predictions)
    for name, dark in (("explained.png", False), ("explained_dark.png", True)):
        explanation.draw(dark=dark).save(Path(folder) / name, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
