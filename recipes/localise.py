"""Test nets that predict boxes as the paper does (Appendix A), each image exactly once.

    python recipes/localise.py --protocol 1 --model runs/vgg_d_s384_pcr --data path/to/ILSVRC --output runs/box_s384
    accelerate launch recipes/localise.py --model runs/vgg_d_s256_pcr 256 --model runs/vgg_d_s384_pcr 352 384 \\
        --classifier vgg_d.oxford_in1k vgg_e.oxford_in1k --data path/to/ILSVRC --output runs/boxes

Protocol 1 takes the box of the true class from one centre crop: it compares nets that predict boxes. Protocol 2 finds
classes and boxes: the classifiers give the likeliest classes, the nets boxes of them all over the image, those of all
nets are merged greedily and rated by the classifiers' scores. A box is right if it overlaps with an object of the class
by more than 0.5.

Leaves results.json, and for protocol 2 what was found in every image in OUTPUT/boxes; a command that was killed
resumes when it is given again. recipes/tables.py shows the results as Tables 8 and 9, beside the paper's.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from command_line.values import fraction, whole
from recipes.data.options import add_data_options
from recipes.names import CLOSE
from recipes.recipe_checks.fields import LEAST_SIDE
from recipes.runtime.command import command, command_parser
from recipes.runtime.options import add_scales, add_testing_options
from recipes.runtime.values import existing_file, net


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser(__doc__, output="the results")
    group = parser.add_argument_group("nets, and how they are used")
    model = group.add_argument(
        "--model",
        dest="nets",
        nargs="+",
        action="append",
        required=True,
        metavar=("FOLDER", "Q"),
        help="a net that predicts boxes, and its test scales (default: in protocol 2 those of its localise.json, which "
        "a published net has; else the S that it was trained at); may be repeated",
    )
    parser.add_alias("--net", model)
    group.add_argument("--protocol", type=int, choices=(1, 2), default=2, help="1: true class, centre crop; 2: dense")
    group.add_argument(
        "--classifier",
        type=net,
        nargs="+",
        metavar="NAME",
        help="of protocol 2: names or folders of nets, averaged; default: none",
    )
    add_scales(group, "default: as its folder says", "--classifier-scales")
    group.add_argument(
        "--close",
        type=fraction,
        help=f"overlap above which boxes are merged; default: as the localise.json of a single net says, else {CLOSE}",
    )
    group.add_argument(
        "--class-index",
        type=existing_file,
        help="file: each class's output number, name or WordNet id; default: by name",
    )
    add_data_options(parser)
    add_testing_options(parser, strict="used")
    args = parser.parse_args(arguments)
    with parser.typed_wrong():
        args.nets = [read_net(*words) for words in args.nets]
    if args.protocol == 2 and not args.classifier:
        parser.error("--protocol 2 needs --classifier: the classes are those that it finds likeliest")
    if args.protocol == 1 and (args.classifier or len(args.nets) > 1 or len(args.nets[0][1]) > 1):
        parser.error("--protocol 1 takes one --model at one scale and no --classifier: the class is given")
    return args


def read_net(model: str, *scales: str) -> tuple[str, tuple[int, ...]]:
    """What one --model says: a net and its test scales in pixels; raises `ValueError`."""
    try:
        pixels = tuple(map(whole(LEAST_SIDE), scales))
    except ValueError as error:
        raise ValueError(f"--model takes a folder or name, then test scales in pixels; a scale {error}") from error
    return net(model), pixels


def run(args: argparse.Namespace) -> None:
    """The work, imported once the options are read."""
    from recipes.evaluation import localise

    localise.run(args)


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
