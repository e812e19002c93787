"""Linear SVMs on a frozen net's descriptors (Appendix B): the work of recipes/linear_svm.py."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.data.options import data_source
from recipes.evaluation.net import arithmetic_in, description_of
from recipes.features.descriptors import Descriptors, describe, of_folders
from recipes.features.folder import KEPT
from recipes.features.protocols import PROTOCOLS, Request, SvmProtocol
from recipes.features.report import SUMMARY, SvmReport
from recipes.features.samples import Samples
from recipes.features.split import run_split
from recipes.features.svm import solver_for
from recipes.runtime.files import check_pictures
from recipes.runtime.look import progress, title
from recipes.runtime.output_folder import WHAT
from recipes.runtime.processes import from_main, main_first
from recipes.runtime.work import begin_test, in_processes, weights_dtype
from vgg_zoo.descriptors import DenseDescriptor

PAPERS_NETS = ["vgg_d.oxford_in1k", "vgg_e.oxford_in1k"]


def descriptor_of(args: argparse.Namespace, protocol: SvmProtocol, model: str) -> DenseDescriptor:
    """The net's descriptor with the settings of the command, or else the protocol, or else the net."""
    # The paper's protocols do not depend on how a net was trained.
    settings: dict[str, Any] = {} if protocol.scales is None else {"scales": protocol.scales, "flip": True}
    settings |= {name: value for name in ("scales", "flip", "ceil_mode") if (value := getattr(args, name)) is not None}
    settings |= {"combine": args.combine or protocol.combine, "l2": args.l2}
    settings |= {"exact": args.exact, "precision": args.copy_precision}
    return DenseDescriptor(model, args.layer, most_pixels=args.most_pixels, device=None, **settings)


def load_nets(
    args: argparse.Namespace, protocol: SvmProtocol, accelerator: Accelerator
) -> tuple[list[DenseDescriptor], list[dict[str, Any]]]:
    """The nets' descriptors, and what is said of each."""
    models = args.model or PAPERS_NETS
    descriptors: list[DenseDescriptor] = main_first(
        accelerator, lambda: [descriptor_of(args, protocol, model) for model in models], "fetching the nets"
    )
    nets = [
        description_of(model, one) | arithmetic_in(one, accelerator, args.precision)
        for model, one in zip(models, descriptors, strict=True)
    ]
    return descriptors, nets


def compute(
    args: argparse.Namespace,
    descriptors: Sequence[DenseDescriptor],
    nets: Sequence[dict[str, Any]],
    samples: Samples,
    cache: Path,
    accelerator: Accelerator,
) -> tuple[Descriptors, list[Path]]:
    """The samples' stacked descriptors, and the folders of `cache` that keep them."""
    found, folders = [], []
    for net, descriptor in zip(nets, descriptors, strict=True):
        descriptor.model.to(accelerator.device, weights_dtype(args.precision))
        identity = {"net": net, "data": args.data, "precision": args.precision}
        rows, folder = describe(samples, descriptor, cache, identity, accelerator, args.workers, args.overwrite)
        found.append(rows)
        folders.append(folder)
        descriptor.model.cpu()
    return Descriptors.stacked(found), folders


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    check_pictures()
    protocol = PROTOCOLS[args.protocol]
    folder, accelerator = begin_test(args)
    args.data = args.data or " and ".join(args.features)
    request = Request(source=data_source(args), test_set=args.test_set, boxes=not args.image_only, seed=args.seed)
    identity: dict[str, Any] = {"protocol": args.protocol, "seed": args.seed}
    if args.features:
        samples, rows, nets = of_folders(args.features, args.seed)
        identity |= {"nets": nets, "features": args.features}
    else:
        samples = main_first(accelerator, lambda: protocol.load(request), "reading the data set")
        descriptors, nets = load_nets(args, protocol, accelerator)
        identity |= {"nets": nets, "data": args.data, "precision": args.precision, "samples": len(samples)}
        identity |= {"test_set": args.test_set, "boxes": samples.box is not None}

    def begin() -> bool:
        folder.begin(identity, args.overwrite)
        return folder.repeats and (folder.path / SUMMARY).exists() and not args.features  # they may be others now

    done, kept = from_main(accelerator, begin), list[Path]()
    about = " & ".join(str(net["model"]) for net in nets), f"{len(samples):,} samples of {args.data}"
    accelerator.print(title("linear_svm", args.protocol, *about, in_processes(accelerator, args.precision)))
    if not done and not args.features:
        cache = args.cache or folder.path / KEPT
        rows, kept = compute(args, descriptors, nets, samples, cache, accelerator)
    if accelerator.is_main_process:
        new = not done and tested(args, protocol, request, samples, nets, rows).write(folder)
        print((folder.path / SUMMARY).read_text())
        folder.tell({}, new, {path: WHAT[KEPT] for path in kept if args.cache})
    accelerator.end_training()


def tested(
    args: argparse.Namespace,
    protocol: SvmProtocol,
    request: Request,
    samples: Samples,
    nets: Sequence[dict[str, Any]],
    rows: Descriptors,
) -> SvmReport:
    """Train and test on every split."""
    solver = solver_for(args.solver, rows.rows[samples.splits[0].training])
    fits = len(samples.splits) * (len(args.candidates) + 1 if len(args.candidates) > 1 else 1)
    with progress(fits, unit=" fits", delay=1) as bar:
        splits = [
            run_split(protocol.measure, samples, split, rows.rows, args.candidates, solver, args.seed, bar.update)
            for split in samples.splits
        ]
    return SvmReport(
        name=args.protocol,
        protocol=protocol,
        request=request,
        samples=samples,
        nets=nets,
        solver=solver,
        descriptors=rows,
        splits=splits,
    )
