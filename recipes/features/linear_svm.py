"""Linear SVMs on a frozen net's descriptors (Appendix B): the work of recipes/linear_svm.py."""

import argparse
from typing import Any

from accelerate import Accelerator

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.data.options import data_source
from recipes.evaluation.net import arithmetic_in, description_of
from recipes.features.descriptors import Descriptors, describe, of_folders
from recipes.features.protocols import PROTOCOLS, Request, SvmProtocol
from recipes.features.report import SvmReport
from recipes.features.samples import Samples
from recipes.features.split import run_split
from recipes.features.svm import solver_for
from recipes.runtime.output_folder import OutputFolder
from recipes.runtime.processes import from_main, main_first
from recipes.runtime.work import begin_test, weights_dtype
from vgg_zoo.descriptors import DenseDescriptor

PAPERS_NETS = ["vgg_d.oxford_in1k", "vgg_e.oxford_in1k"]


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
    protocol = PROTOCOLS[args.protocol]
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
