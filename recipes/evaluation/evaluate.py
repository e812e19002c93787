"""The test of a classifier by any protocol, with each image exactly once: the work of recipes/evaluate.py."""

import argparse
from typing import Any

import torch

import vgg_zoo  # noqa: F401 (registers the nets)
from command_line.parser import MistypedError
from recipes.data.agreement import check_same_images
from recipes.data.images import LabelledImages
from recipes.data.options import about_data, column_options, data_source
from recipes.data.splits import load_test_split
from recipes.evaluation.class_order import outputs_of_classes, submission
from recipes.evaluation.net import NetUnderTest, arithmetic_in, load_net
from recipes.evaluation.scores import score_store, tell, write_results
from recipes.evaluation.store import RescaledImages, fill
from recipes.runtime.look import title
from recipes.runtime.options import check_submission
from recipes.runtime.processes import from_main, main_first
from recipes.runtime.work import begin_test, in_processes, weights_dtype
from vgg_zoo.evaluation import PROTOCOLS

CHOSEN = ("protocol", "scales", "flip", "softmax_first", "ceil_mode", "exact")
"""Options that are passed to the evaluator."""


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    if args.protocol not in (None, *PROTOCOLS):
        raise MistypedError(f"unknown --protocol {args.protocol!r}; choose from {', '.join(PROTOCOLS)}")
    folder, accelerator = begin_test(args)
    chosen = {name: getattr(args, name) for name in CHOSEN} | {"precision": args.copy_precision}

    def load() -> tuple[NetUnderTest, LabelledImages]:
        tested = load_net(args.model, args.train_scales, args.most_pixels, chosen)
        return tested, load_test_split(data_source(args), labelled=not args.unlabelled)

    tested, split = main_first(accelerator, load, "reading the net and the data set")
    check_same_images(accelerator, split)
    evaluator = tested.evaluator
    evaluator.model.to(accelerator.device, weights_dtype(args.precision))
    outputs = from_main(accelerator, lambda: outputs_of_classes(split.class_names, evaluator.model, args.class_index))

    def begin() -> tuple[dict[str, Any], bool]:
        if args.submission is not None:
            check_submission(args)
            submission(torch.zeros(0, int(evaluator.model.num_classes)), outputs)  # raises now, not after days
        net = tested.description() | arithmetic_in(evaluator, accelerator, args.precision)
        data = about_data(args, split) | {"images": len(split), "columns": column_options(args)}
        folder.begin({"net": net, "data": data, "precision": args.precision}, args.overwrite)
        return net, folder.repeats and not (args.keep_scores or args.class_index or args.submission)

    net, done = from_main(accelerator, begin)
    accelerator.print(
        title(
            "evaluate",
            args.model,
            f"{len(split):,} images of {args.data}",
            f"{net['protocol']}, Q = {', '.join(map(str, net['scales']))}",
            in_processes(accelerator, args.precision),
        )
    )
    store, new = score_store(folder, len(split)), False
    if not done:
        images = RescaledImages(split, evaluator.scales)
        new = fill(store, images, evaluator.of_rescaled, accelerator, args.workers, args.strict)
        if accelerator.is_main_process:
            about = about_data(args, split)
            new |= write_results(folder, [net], about, store.read_all(), outputs, args.submission)
            if not args.keep_scores:
                store.remove()
    if accelerator.is_main_process:
        tell(folder, new, args.submission)
    accelerator.end_training()
