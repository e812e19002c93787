"""`vgg-zoo explain PHOTO --model NAME|FOLDER`: where in a photo the dense net sees which class (Sect. 3.2)."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vgg_zoo.explanation import explain, figure_class
from vgg_zoo.images.pictures import decoded_photo, picture_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Explain one photo; 1 if that cannot be done."""
    parser = argparse.ArgumentParser(prog="vgg-zoo explain", description=__doc__.partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--model", required=True, help="a name that timm loads with its weights, or a folder of a net")
    parser.add_argument("--scales", type=int, nargs="+", metavar="Q", help="default: the net's own, else 256 384 512")
    parser.add_argument("--top", type=int, default=5, help="classes, 5 by default")
    parser.add_argument("--output", type=Path, help="a PNG, replaced if it is there; default: PHOTO.explained.png here")
    options = parser.parse_args(arguments)
    try:
        figure_class()  # what is missing is said before the net is fetched and run
        output = picture_of(options.photo, options.output, "explained")
        pixels = decoded_photo(options.photo)
        explanation = explain(pixels, options.model, options.top, scales=options.scales)
        explanation.draw(output)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, posterior in explanation.predictions:
        print(f"{posterior:.3f}  {name}")
    print(f"see {output}")
    return 0
