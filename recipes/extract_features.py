"""The descriptors of a data set's images (Appendix B), each image exactly once, for linear SVMs and whatever else.

    accelerate launch recipes/extract_features.py --model vgg_d.oxford_in1k --data path/to/images --output features/d
    accelerate launch recipes/extract_features.py --model runs/digits --data digits --training --output features/train

Leaves the descriptors with labels and image names in OUTPUT/features (safetensors, 128 images a file; their bits do not
depend on the number of processes), results.json, and bad_images.csv if an image could not be decoded: its row is NaN.
A command that was killed resumes when it is given again, on any number of processes.
`recipes.features.folder.load_features(OUTPUT)` reads all of it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from recipes.data.options import add_data_options
from recipes.names import COMBINE, L2, LAYERS
from recipes.runtime.command import command, command_parser
from recipes.runtime.options import add_model, add_scales, add_testing_options
from recipes.runtime.values import known


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser(__doc__, output="the descriptors")
    add_model(parser)
    group = parser.add_argument_group("descriptor; where nothing is said, as the model's folder says, or the paper")
    group.add_argument(
        "--layer", type=known("layer", LAYERS), default="fc7", help="fc7, fc6, or a conv or max-pool: conv3_2, pool5"
    )
    add_scales(group, "default: those of recipes/evaluate.py, 256 384 512")
    group.add_argument("--combine", choices=COMBINE, default=COMBINE[0], help="of the scales")
    group.add_argument("--l2", choices=L2, default=L2[0], help="each scale, or the whole in the end")
    group.add_argument("--flip", action=argparse.BooleanOptionalAction, help="average with the mirrored image")
    group.add_argument("--ceil-mode", action=argparse.BooleanOptionalAction, help="pool as Caffe does")
    add_data_options(parser)
    group = parser.add_argument_group("images; default: the validation split")
    one = group.add_mutually_exclusive_group()
    one.add_argument("--training", action="store_true", help="the training split, without what is held out of it")
    one.add_argument("--unlabelled", action="store_true", help="the split has no labels")
    add_testing_options(parser)
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> None:
    """The work, imported once the options are read."""
    from recipes.features import extract_features

    extract_features.run(args)


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
