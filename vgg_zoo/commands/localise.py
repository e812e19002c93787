"""`vgg-zoo localise PHOTO --model FOLDER --classifier NAME`: what is in a photo, and where (Appendix A).

Prints the likeliest classes with their posteriors and boxes (left, top, right, bottom in pixels), and writes a PNG of
the photo with the boxes of the first of them.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vgg_zoo.images.pictures import decoded_photo, draw_boxes, picture_of
from vgg_zoo.localisation import Localiser


def main(arguments: Sequence[str] | None = None) -> int:
    """Localise one photo; 1 if that cannot be done."""
    parser = argparse.ArgumentParser(prog="vgg-zoo localise", description=__doc__.partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--model", required=True, nargs="+", help="folders or names of nets that predict boxes")
    parser.add_argument("--classifier", required=True, help="folder or name of a net of the same classes")
    parser.add_argument(
        "--scales",
        type=int,
        nargs="+",
        metavar="Q",
        help="of every box net; default: those of its localise.json, or its training's S",
    )
    parser.add_argument("--top", type=int, default=5, help="classes that are printed, 5 by default")
    parser.add_argument("--drawn", type=int, default=1, help="of them, those whose boxes are drawn; 1 by default")
    parser.add_argument("--output", type=Path, help="a PNG, replaced if it is there; default: PHOTO.localised.png here")
    options = parser.parse_args(arguments)
    try:
        output = picture_of(options.photo, options.output, "localised")
        pixels = decoded_photo(options.photo)
        scales = options.scales and [options.scales] * len(options.model)
        found = Localiser(options.model, options.classifier, scales, top=options.top)(pixels)
        draw_boxes(pixels, found[: options.drawn]).save(output)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, score, box in found:
        print(f"{score:.3f}  ({', '.join(f'{value:.0f}' for value in box)})  {name}")
    print(f"see {output}")
    return 0
