"""`vgg-zoo convert FILE --to FOLDER`: weights of a VGG from any of the files in which they are published.

    vgg-zoo convert VGG_ILSVRC_16_layers.caffemodel --to vgg_d
    python -c 'import timm, vgg_zoo; timm.create_model("local-dir:vgg_d", pretrained=True)'

Reads Caffe's .caffemodel, Keras' .h5, MatConvNet's .mat, and state dicts of timm and torchvision (.safetensors, .pth,
.pt); its content says which it is, and of which net of Table 1. What it does not say of its input (order of colours,
mean, deviation) is taken as usual for its kind; the last lines and config.json say what was assumed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vgg_zoo.weights.convert import convert
from vgg_zoo.weights.read import ORDERS


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert one file; 1 if that cannot be done."""
    parser = argparse.ArgumentParser(
        prog="vgg-zoo convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the file of weights")
    parser.add_argument("--to", dest="folder", type=Path, required=True, metavar="DIR", help="folder for timm")
    parser.add_argument("--net", help="timm's name of the net, where its weights do not tell: vgg_a_lrn")
    parser.add_argument("--order", choices=ORDERS, help="of the colours that the file's first convolution takes")
    parser.add_argument("--mean", type=float, nargs="+", metavar="X", help="RGB in 0–255, by default by kind of file")
    parser.add_argument(
        "--std", dest="deviation", type=float, nargs="+", metavar="X", help="in 0–255; 1 1 1 divides by nothing"
    )
    parser.add_argument("--tag", help="name of these weights")
    parser.add_argument("--licence", help="of these weights")
    parser.add_argument("--class-names", type=Path, metavar="FILE", help="text file, one name a line")
    parser.add_argument("--random-head", type=int, metavar="CLASSES", help="new FC layers, for a file without top")
    parser.add_argument("--overwrite", action="store_true", help="replace the weights that DIR holds")
    args = parser.parse_args(arguments)
    if args.random_head is not None and args.random_head < 1:
        parser.error(f"--random-head must be at least 1; got {args.random_head}")
    try:
        if args.class_names:
            args.class_names = args.class_names.read_text("utf-8").splitlines()
        print(convert(**vars(args)))
    except (ValueError, ImportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
