"""The descriptors of a data set's images: the work of recipes/extract_features.py."""

import argparse
from typing import Any

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.data.agreement import check_same_images
from recipes.data.images import LabelledImages
from recipes.data.options import data_source
from recipes.data.splits import load_splits, load_test_split
from recipes.evaluation.net import arithmetic_in, description_of
from recipes.evaluation.store import Store, fill
from recipes.features.folder import DescriptorRows, NamedImages, descriptor_store
from recipes.runtime.files import write_rows
from recipes.runtime.look import title
from recipes.runtime.output_folder import OutputFolder
from recipes.runtime.processes import from_main, main_first
from recipes.runtime.work import begin_test, in_processes, weights_dtype
from vgg_zoo.descriptors import DenseDescriptor

CHOSEN = ("layer", "scales", "combine", "flip", "l2", "ceil_mode", "most_pixels", "exact")
"""Options that are passed to the descriptor."""


def about_data(args: argparse.Namespace, split: LabelledImages) -> dict[str, Any]:
    """The description of the data set for results.json."""
    named = args.training_split if args.training else args.validation_split
    return {
        "spec": args.data,
        "split": split.name if named is None else f"{split.name}: {named}",
        "classes": len(split.class_names),
        "class_names": list(split.class_names),
        "images": len(split),
    }


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    folder, accelerator = begin_test(args)

    def load() -> tuple[DenseDescriptor, LabelledImages]:
        chosen = {name: getattr(args, name) for name in CHOSEN}
        descriptor = DenseDescriptor(args.model, **chosen, device=None, precision=args.copy_precision)
        source = data_source(args)
        split = load_splits(source)[0] if args.training else load_test_split(source, labelled=not args.unlabelled)
        return descriptor, split

    descriptor, split = main_first(accelerator, load, "reading the net and the data set")
    check_same_images(accelerator, split)
    descriptor.model.to(accelerator.device, weights_dtype(args.precision))

    def begin() -> dict[str, Any]:
        net = description_of(args.model, descriptor) | arithmetic_in(descriptor, accelerator, args.precision)
        content = {"net": net, "data": about_data(args, split), "precision": args.precision}
        folder.begin(content, args.overwrite)
        return content

    content = from_main(accelerator, begin)
    accelerator.print(
        title(
            "extract_features",
            args.model,
            f"{len(split):,} images of {args.data}",
            f"{args.layer}, Q = {', '.join(map(str, descriptor.scales))}",
            in_processes(accelerator, args.precision),
        )
    )
    store = descriptor_store(folder, len(split))
    images = NamedImages(split, descriptor.scales)
    computed = fill(store, images, descriptor.of_rescaled, accelerator, args.workers, args.strict)
    if accelerator.is_main_process:
        finish(folder, store, content, descriptor.size, computed)
    accelerator.end_training()


def finish(
    folder: OutputFolder, store: Store[DescriptorRows], content: dict[str, Any], size: int, computed: bool
) -> None:
    """List the images that could not be decoded, and write results.json as the sign that all is complete.

    Args:
        folder: Of the command.
        store: Filled.
        content: Of results.json, so far.
        size: D.
        computed: Some of the descriptors were not there before.
    """
    missing, problems = store.missing()
    if missing:
        raise ValueError(f"{store.path} lost {len(missing)} of its files meanwhile; give the same command again")
    if problems:
        write_rows(folder.problems, problems)
    data = content["data"] | {"unreadable_images": len(problems)}
    features = {"size": size, "folder": store.path.name}
    new = folder.write_results("features", content | {"data": data, "features": features})
    figures = {"images": f"{store.images:,}", "descriptor": f"{size:,} numbers of float32"}
    if problems:
        figures["unreadable"] = f"{len(problems):,}, whose rows are NaN"
    folder.tell(figures, new or computed)
