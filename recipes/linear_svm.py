"""Linear SVMs on a frozen net's descriptors: VOC, Caltech and VOC's actions as the paper tests them (Appendix B).

    python recipes/linear_svm.py --protocol voc2007 --model vgg_d.oxford_in1k --data VOCdevkit --output runs/voc07_d
    python recipes/linear_svm.py --protocol caltech101 --model runs/my_net --data caltech-101 --output runs/c101
    python recipes/linear_svm.py --protocol folder --model runs/my_net --data path/to/images --output runs/svm

Leaves results.json (figures of every class, C, counts, versions, command), summary.md with the paper's figures beside
ours, a picture, and, for test images without labels, the files that VOC's evaluation server takes. Descriptors are
computed once and kept in OUTPUT/descriptors; the same command goes on where a killed one was.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.descriptor_cache import DescriptorCache, Descriptors
from recipes.kept_features import of_folders
from recipes.net_under_test import NetUnderTest, load_net
from recipes.options import add_data_options, data_source
from recipes.run_folder import RunFolder
from recipes.samples import Samples
from recipes.score_report import check_output
from recipes.svm import CANDIDATES, SOLVERS, solver_for
from recipes.svm_protocols import PROTOCOLS, Protocol, Request, protocol_named
from recipes.svm_report import SvmReport
from recipes.svm_splits import run_split
from vgg_zoo.features import ImageDescriptor

PAPERS_NETS = ["vgg_d.oxford_in1k", "vgg_e.oxford_in1k"]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", required=True, help=f"one of {', '.join(PROTOCOLS)}")
    parser.add_argument(
        "--model",
        nargs="+",
        metavar="NAME",
        help="names that timm loads with weights, or folders; descriptors of several nets are stacked. Default: the "
        "paper's D and E; the folder protocol has none",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the results and descriptors")
    parser.add_argument("--overwrite", action="store_true", help="throw away what OUTPUT holds, and begin anew")
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
    group.add_argument("--combine", help="of the scales: average or stack")
    group.add_argument("--flip", action=argparse.BooleanOptionalAction, help="average with the mirrored image")
    group.add_argument("--l2", default="scale", help="scale: length 1 at each scale; final: of all together")
    group.add_argument("--ceil-mode", action=argparse.BooleanOptionalAction, help="pool as Caffe does")
    group = parser.add_argument_group("SVM")
    group.add_argument(
        "--C", type=float, nargs="+", default=CANDIDATES, dest="candidates", help="candidates; one is taken as it is"
    )
    group.add_argument("--solver", default="auto", help=f"one of {', '.join(SOLVERS)}")
    group = parser.add_argument_group("hardware and files; changes no result beyond rounding")
    group.add_argument("--device", help="of the net; default: cuda where there is one, else cpu")
    group.add_argument("--most-pixels", type=int, default=2**20, help="that go through the net at once; tiles beyond")
    group.add_argument("--cache", type=Path, help="folder of descriptors that several OUTPUTs share")
    return parser.parse_args()


def check(args: argparse.Namespace, protocol: Protocol) -> None:
    """Refuse options that do not go together, before anything is loaded.

    Raises:
        ValueError: Such options.
    """
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
    solver_for(args.solver, torch.zeros(0).numpy())


def descriptor_of(args: argparse.Namespace, protocol: Protocol, tested: NetUnderTest) -> ImageDescriptor:
    """The net's descriptor with the command's settings, else the protocol's, else the net's own."""
    evaluator = tested.evaluator
    flip = evaluator.flip if args.protocol == "folder" else True
    return ImageDescriptor(
        model=evaluator.model,
        layer=args.layer,
        scales=tuple(args.scales or protocol.scales or evaluator.scales),
        combine=args.combine or protocol.combine,
        flip=flip if args.flip is None else args.flip,
        l2=args.l2,
        ceil_mode=evaluator.ceil_mode,
        most_pixels=args.most_pixels,
        device=args.device or ("cuda" if torch.cuda.is_available() else "cpu"),
    )


def settings_of(descriptor: ImageDescriptor) -> dict[str, Any]:
    """What decides the descriptors, beside the net, as plain data."""
    names = ("layer", "combine", "flip", "l2", "ceil_mode")
    return {"scales": list(descriptor.scales)} | {name: getattr(descriptor, name) for name in names}


def about_net(tested: NetUnderTest) -> dict[str, Any]:
    """What results.json says of a net."""
    said = tested.description()
    return {name: said[name] for name in ("model", "architecture", "configuration", "weights_sha256", "train_scales")}


def describe(
    args: argparse.Namespace, protocol: Protocol, samples: Samples, folder: RunFolder
) -> tuple[Descriptors, list[dict[str, Any]], dict[str, Any]]:
    """The stacked descriptors, what is said of the nets, and the settings."""
    chosen = {"ceil_mode": args.ceil_mode}
    tested = [load_net(name, None, args.most_pixels, chosen) for name in args.model or PAPERS_NETS]
    extractors = [descriptor_of(args, protocol, net).fit(None) for net in tested]
    nets, settings = [about_net(net) for net in tested], [settings_of(one) for one in extractors]
    boxes = samples.box is not None
    identities = [{"net": net, **said, "boxes": boxes} for net, said in zip(nets, settings, strict=True)]
    data = {"data": args.data, "test_set": args.test_set, "seed": args.seed, "samples": len(samples)}
    folder.begin({"protocol": args.protocol, "nets": identities, **data}, args.overwrite)
    cache = DescriptorCache(args.cache or folder.path / "descriptors")
    found = []
    for net, extractor, identity in zip(tested, extractors, identities, strict=True):
        print(f"descriptors of {net.model} at Q = {list(extractor.scales)} for {len(samples)} samples of {args.data}")
        found.append(cache.compute(samples, extractor, {"data": args.data, **identity}))
    return Descriptors.stacked(found), nets, settings[0]


def request_of(args: argparse.Namespace) -> Request:
    """What is asked of the protocol's data."""
    return Request(source=data_source(args), test_set=args.test_set, boxes=not args.image_only, seed=args.seed)


def run(args: argparse.Namespace) -> None:
    """Everything that the command does."""
    protocol = protocol_named(args.protocol)
    check(args, protocol)
    folder = RunFolder(args.output)
    check_output(folder, args.overwrite)
    if args.features:
        args.data = " and ".join(args.features)
        request = request_of(args)
        samples, descriptors, nets, settings = of_folders(args.features, args.seed)
        folder.begin({"protocol": args.protocol, "features": args.features, "seed": args.seed}, args.overwrite)
    else:
        request = request_of(args)
        samples = protocol.load(request)
        descriptors, nets, settings = describe(args, protocol, samples, folder)
    solver = solver_for(args.solver, descriptors.rows[samples.splits[0].training])
    splits = [
        run_split(protocol, samples, split, descriptors.rows, args.candidates, solver, args.seed)
        for split in samples.splits
    ]
    report = SvmReport(
        name=args.protocol,
        protocol=protocol,
        request=request,
        samples=samples,
        nets=nets,
        settings=settings,
        solver=solver,
        descriptors=descriptors,
        splits=splits,
    )
    report.write(folder)


def main() -> None:
    """Run; a mistake of the user ends in one line, not in a traceback."""
    try:
        run(arguments())
    except (ValueError, OSError) as error:  # the latter where weights cannot be fetched or results not written
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
