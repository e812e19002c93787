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
from typing import Any

if __name__ == "__main__":  # run as a script, Python looks for modules beside this file; the recipes are a package
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.data.agreement import check_same_images
from recipes.data.images import LabelledImages
from recipes.data.source import add_data_options, data_source
from recipes.data.splits import load_splits, load_test_split
from recipes.evaluation.net import arithmetic_in, description_of
from recipes.evaluation.store import Store, fill
from recipes.features.folder import DescriptorRows, NamedImages, descriptor_store
from recipes.runtime.command import add_testing_options, begin_test, command, command_parser, weights_dtype
from recipes.runtime.files import write_rows
from recipes.runtime.output_folder import OutputFolder
from recipes.runtime.processes import from_main, main_first
from vgg_zoo.descriptors import COMBINE, L2, DenseDescriptor

CHOSEN = ("layer", "scales", "combine", "flip", "l2", "ceil_mode", "most_pixels", "exact")
"""Options that are arguments of the descriptor."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = command_parser(__doc__, output="the descriptors")
    parser.add_argument("--model", required=True, help="a name that timm loads with weights, or a folder of a run")
    group = parser.add_argument_group("descriptor; where nothing is said, as the model's folder says, or the paper")
    group.add_argument("--layer", default="fc7", help="fc7, fc6, or a conv or max-pool: conv3_2, pool5; default: fc7")
    group.add_argument(
        "--scales", type=int, nargs="+", metavar="Q", help="default: those of recipes/evaluate.py, 256 384 512"
    )
    group.add_argument("--combine", default="average", help=f"of the scales: {' or '.join(COMBINE)}; default: average")
    group.add_argument("--l2", default="scale", help=f"each scale or the whole: {' or '.join(L2)}; default: scale")
    group.add_argument("--flip", action=argparse.BooleanOptionalAction, help="average with the mirrored image")
    group.add_argument("--ceil-mode", action=argparse.BooleanOptionalAction, help="pool as Caffe does")
    add_data_options(parser)
    group = parser.add_argument_group("images; default: the validation split")
    one = group.add_mutually_exclusive_group()
    one.add_argument("--training", action="store_true", help="the training split, without what is held out of it")
    one.add_argument("--unlabelled", action="store_true", help="the split has no labels")
    add_testing_options(parser)
    return parser.parse_args(arguments)


def about_data(args: argparse.Namespace, split: LabelledImages) -> dict[str, Any]:
    """What results.json says of the data set."""
    named = args.training_split if args.training else args.validation_split
    return {
        "spec": args.data,
        "split": split.name if named is None else f"{split.name}: {named}",
        "classes": len(split.class_names),
        "class_names": list(split.class_names),
        "images": len(split),
    }


def run(args: argparse.Namespace) -> None:
    """Everything that the command does."""
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
        f"{args.model} on {len(split)} images of {args.data}: {args.layer}, Q = {list(descriptor.scales)}, "
        f"{accelerator.num_processes} process(es) on {accelerator.device.type}"
    )
    store = descriptor_store(folder, len(split))
    images = NamedImages(split, descriptor.scales)
    fill(store, images, descriptor.of_rescaled, accelerator, args.workers, args.strict)
    if accelerator.is_main_process:
        finish(folder, store, content, descriptor.size)
    accelerator.end_training()


def finish(folder: OutputFolder, store: Store[DescriptorRows], content: dict[str, Any], size: int) -> None:
    """Name the images that could not be decoded, and write results.json as the sign that all is there."""
    missing, problems = store.missing()
    if missing:
        raise ValueError(f"{store.path} lost {len(missing)} of its files meanwhile; give the same command again")
    if problems:
        write_rows(folder.problems, problems)
        print(f"{len(problems)} image(s) could not be decoded: {folder.problems} names them, their rows are NaN")
    data = content["data"] | {"unreadable_images": len(problems)}
    features = {"size": size, "folder": store.path.name}
    folder.write_results("features", content | {"data": data, "features": features})
    print(f"wrote {store.images} descriptors of {size} numbers to {store.path}")


main = command(run, parse)

if __name__ == "__main__":
    sys.exit(main())
