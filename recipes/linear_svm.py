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
from typing import Any

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from accelerate import Accelerator

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.data.source import add_data_options, data_source
from recipes.evaluation.net import arithmetic_in, description_of
from recipes.features.descriptors import Descriptors, describe, of_folders
from recipes.features.protocols import PROTOCOLS, Request, SvmProtocol
from recipes.features.report import SvmReport
from recipes.features.samples import Samples
from recipes.features.split import run_split
from recipes.features.svm import CANDIDATES, SOLVERS, solver_for
from recipes.runtime.command import (
    add_testing_options,
    begin_test,
    command,
    command_parser,
    weights_dtype,
)
from recipes.runtime.output_folder import OutputFolder
from recipes.runtime.processes import from_main, main_first
from vgg_zoo.descriptors import COMBINE, L2, DenseDescriptor

PAPERS_NETS = ["vgg_d.oxford_in1k", "vgg_e.oxford_in1k"]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser(__doc__, output="the results and descriptors")
    parser.add_argument("--protocol", required=True, help=f"one of {', '.join(PROTOCOLS)}")
    parser.add_argument(
        "--model",
        nargs="+",
        metavar="NAME",
        help="names that timm loads with weights, or folders; descriptors of several nets are stacked. Default: the "
        "paper's D and E; the folder protocol has none",
    )
    add_data_options(parser, required=False)
    parser.add_argument(
        "--features",
        nargs="+",
        metavar="DIR",
        help="folder protocol, instead of --model and --data: outputs of recipes/extract_features.py of the training "
        "and of the test images",
    )
    group = parser.add_argument_group("protocol; where nothing is said, the paper's")
    group.add_argument("--test-set", default="test", help="VOC: test, after training on trainval; or val, after train")
    group.add_argument("--image-only", action="store_true", help="actions: of the whole image, without the box")
    group.add_argument("--seed", type=int, default=0, help="of Caltech's splits, and of the images that choose C")
    group = parser.add_argument_group("descriptors; where nothing is said, the paper's for the protocol")
    group.add_argument("--layer", default="fc7", help="default: fc7")
    group.add_argument("--scales", type=int, nargs="+", metavar="Q", help="smallest sides in pixels")
    group.add_argument("--combine", help=f"of the scales: {' or '.join(COMBINE)}")
    group.add_argument("--flip", action=argparse.BooleanOptionalAction, help="average with the mirrored image")
    group.add_argument("--l2", default="scale", help=f"each scale or the whole: {' or '.join(L2)}; default: scale")
    group.add_argument("--ceil-mode", action=argparse.BooleanOptionalAction, help="pool as Caffe does")
    group = parser.add_argument_group("SVM")
    group.add_argument(
        "--C", type=float, nargs="+", default=CANDIDATES, dest="candidates", help="candidates; one is taken as it is"
    )
    group.add_argument("--solver", default="auto", help=f"one of {', '.join(SOLVERS)}")
    group = add_testing_options(parser, strict=None)
    group.add_argument("--cache", type=Path, help="folder of descriptors that several OUTPUTs share")
    return parser.parse_args(arguments)


def check(args: argparse.Namespace) -> SvmProtocol:
    """The protocol; refuses options that do not go together, before anything is loaded.

    Raises:
        ValueError: Such options, or no such protocol.
    """
    if args.protocol not in PROTOCOLS:
        raise ValueError(f"unknown --protocol {args.protocol!r}; choose from {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[args.protocol]
    if args.features and args.protocol != "folder":
        raise ValueError(f"--features goes with --protocol folder; {args.protocol} computes its own descriptors")
    if args.features and (args.model or args.data):
        raise ValueError("--features takes the place of --model and --data; give either")
    if not args.features and not args.data:
        raise ValueError(f"--protocol {args.protocol} needs --data, where {protocol.title} is")
    if not args.features and not args.model and args.protocol == "folder":
        raise ValueError("--protocol folder needs --model, or --features")
    if args.image_only and not protocol.has_boxes:
        raise ValueError(f"--image-only is for voc2012-action; --protocol {args.protocol} has no boxes")
    if min(args.candidates) <= 0:
        raise ValueError(f"--C must be above 0; got {args.candidates}")
    solver_for(args.solver, np.zeros(0))
    return protocol


def descriptor_of(args: argparse.Namespace, protocol: SvmProtocol, model: str) -> DenseDescriptor:
    """The net's descriptor with the command's settings, else the protocol's, else the net's own."""
    # The paper's protocols do not depend on how a net was trained.
    settings: dict[str, Any] = {} if protocol.scales is None else {"scales": protocol.scales, "flip": True}
    settings |= {name: value for name in ("scales", "flip", "ceil_mode") if (value := getattr(args, name)) is not None}
    settings |= {"combine": args.combine or protocol.combine, "l2": args.l2}
    settings |= {"exact": args.exact, "precision": args.copy_precision}
    return DenseDescriptor(model, args.layer, most_pixels=args.most_pixels, device=None, **settings)


def compute(
    args: argparse.Namespace,
    protocol: SvmProtocol,
    samples: Samples,
    folder: OutputFolder,
    accelerator: Accelerator,
) -> tuple[Descriptors, list[dict[str, Any]]]:
    """The stacked descriptors, and what is said of each net and its descriptors."""
    models = args.model or PAPERS_NETS
    descriptors = main_first(
        accelerator, lambda: [descriptor_of(args, protocol, model) for model in models], "fetching the nets"
    )
    nets = [
        description_of(model, one) | arithmetic_in(one, accelerator, args.precision)
        for model, one in zip(models, descriptors, strict=True)
    ]
    data = {"protocol": args.protocol, "data": args.data, "precision": args.precision, "samples": len(samples)}
    asked = {"test_set": args.test_set, "boxes": samples.box is not None, "seed": args.seed}
    from_main(accelerator, lambda: folder.begin({"nets": nets, **data, **asked}, args.overwrite))
    cache, found = args.cache or folder.path / "features", []
    for net, descriptor in zip(nets, descriptors, strict=True):
        descriptor.model.to(accelerator.device, weights_dtype(args.precision))
        accelerator.print(
            f"{net['model']} on {len(samples)} samples of {args.data}: {net['layer']}, Q = {net['scales']}"
        )
        identity = {"net": net, "data": args.data, "precision": args.precision}
        found.append(describe(samples, descriptor, cache, identity, accelerator, args.workers, args.overwrite))
        descriptor.model.cpu()
    return Descriptors.stacked(found), nets


def run(args: argparse.Namespace) -> None:
    """Everything that the command does."""
    protocol = check(args)
    folder, accelerator = begin_test(args)
    args.data = args.data or " and ".join(args.features)
    request = Request(source=data_source(args), test_set=args.test_set, boxes=not args.image_only, seed=args.seed)
    if args.features:
        samples, descriptors, nets = of_folders(args.features, args.seed)
        identity = {"protocol": args.protocol, "nets": nets, "features": args.features, "seed": args.seed}
        from_main(accelerator, lambda: folder.begin(identity, args.overwrite))
    else:
        samples = main_first(accelerator, lambda: protocol.load(request), "reading the data set")
        descriptors, nets = compute(args, protocol, samples, folder, accelerator)
    if accelerator.is_main_process:
        solver = solver_for(args.solver, descriptors.rows[samples.splits[0].training])
        splits = [
            run_split(protocol.measure, samples, split, descriptors.rows, args.candidates, solver, args.seed)
            for split in samples.splits
        ]
        report = SvmReport(
            name=args.protocol,
            protocol=protocol,
            request=request,
            samples=samples,
            nets=nets,
            solver=solver,
            descriptors=descriptors,
            splits=splits,
        )
        report.write(folder)
    accelerator.end_training()


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
