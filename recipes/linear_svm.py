"""Linear SVMs on a frozen net's descriptors: VOC, Caltech and VOC's actions as the paper tests them (Appendix B).

    python recipes/linear_svm.py --protocol voc2007 --model vgg_d.oxford_in1k --data VOCdevkit --output runs/voc07_d
    python recipes/linear_svm.py --protocol caltech101 --model runs/my_net --data caltech-101 --output runs/c101
    python recipes/linear_svm.py --protocol folder --model runs/my_net --data path/to/images --output runs/svm

Leaves results.json (figures of every class, C, counts, versions, command), summary.md with the paper's figures beside
ours, a picture, and, for test images without labels, the files that VOC's evaluation server takes. Descriptors are
computed once, by any number of processes (accelerate launch), and kept in OUTPUT/features; the same command
resumes a killed one.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from command_line.values import beside, positive, whole
from recipes.data.options import add_data_options
from recipes.names import CANDIDATES, COMBINE, L2, LAYERS, SOLVERS, SVM_PROTOCOLS, WITH_BOXES
from recipes.runtime.command import command, command_parser
from recipes.runtime.options import add_scales, add_testing_options
from recipes.runtime.values import is_known_here, known, net, output_of


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser(__doc__, output="the results and descriptors")
    group = parser.add_argument_group("protocol and nets")
    group.add_argument(
        "--protocol",
        choices=SVM_PROTOCOLS,
        required=True,
        metavar="NAME",
        help=f"Appendix B's of a data set, or any folder: {', '.join(SVM_PROTOCOLS)}",
    )
    group.add_argument(
        "--model",
        type=net,
        nargs="+",
        metavar="NAME",
        help="names that timm loads with weights, or folders; descriptors of several nets are stacked. Default: the "
        "paper's D and E; the folder protocol has none",
    )
    group.add_argument(
        "--features",
        type=output_of("extract_features"),
        nargs="+",
        metavar="DIR",
        help="folder protocol, instead of --model and --data: outputs of recipes/extract_features.py of the training "
        "and of the test images; default: none",
    )
    add_data_options(parser, required=False)
    group = parser.add_argument_group("details of the protocol; where nothing is said, the paper's")
    group.add_argument(
        "--test-set",
        choices=("test", "val"),
        default="test",
        help="VOC: test, after training on trainval; or val, after train",
    )
    group.add_argument("--image-only", action="store_true", help="actions: of the whole image, without the box")
    group.add_argument("--seed", type=whole(0), default=0, help="of Caltech's splits, and of the images that choose C")
    _add_descriptor_options(parser)
    group = add_testing_options(parser, strict=None)
    group.add_argument(
        "--cache", type=Path, help="folder of descriptors that several OUTPUTs share; default: OUTPUT/features"
    )
    args = parser.parse_args(arguments)
    args.features = args.features and list(map(str, args.features))  # as results.json has them
    if wrong := mistake(args):
        parser.error(wrong)
    return args


def _add_descriptor_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("descriptors; where nothing is said, the paper's for the protocol")
    group.add_argument("--layer", type=known("layer", LAYERS), default="fc7", help="fc7, fc6, or a conv or max-pool")
    add_scales(group, "smallest sides in pixels")
    group.add_argument("--combine", choices=COMBINE, help="of the scales")
    group.add_argument("--flip", action=argparse.BooleanOptionalAction, help="average with the mirrored image")
    group.add_argument("--l2", choices=L2, default=L2[0], help="each scale, or the whole in the end")
    group.add_argument("--ceil-mode", action=argparse.BooleanOptionalAction, help="pool as Caffe does")
    group = parser.add_argument_group("SVM")
    group.add_argument(
        "--C",
        type=positive,
        nargs="+",
        default=CANDIDATES,
        dest="candidates",
        metavar="C",
        help="candidates; one is taken as it is",
    )
    group.add_argument(
        "--solver", choices=SOLVERS, default=SOLVERS[0], help="auto takes sgd where liblinear's memory would not do"
    )


def mistake(args: argparse.Namespace) -> str | None:
    """What does not go together, if anything."""
    if args.features and args.protocol != "folder":
        return f"--features goes with --protocol folder; {args.protocol} computes its own descriptors"
    if args.features and (args.model or args.data):
        return "--features takes the place of --model and --data; give either"
    if not args.features and not args.data:
        return f"--protocol {args.protocol} needs --data, where the images are"
    if not args.features and not args.model and args.protocol == "folder":
        return "--protocol folder needs --model, or --features"
    if args.image_only and args.protocol not in WITH_BOXES:
        return f"--image-only is for {', '.join(WITH_BOXES)}; --protocol {args.protocol} has no boxes"
    if is_known_here() and args.protocol != "folder" and not Path(args.data).is_dir():
        return f"--data {args.data} is no folder{beside(Path(args.data))}; --protocol {args.protocol} reads one"
    return None


def run(args: argparse.Namespace) -> None:
    """The work, imported once the options are read."""
    from recipes.features import linear_svm

    linear_svm.run(args)


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
