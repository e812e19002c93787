"""The test of nets that predict boxes, by both protocols of Appendix A: the work of recipes/localise.py."""

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

import vgg_zoo  # noqa: F401 (registers the nets)
from recipes.data.agreement import check_same_images
from recipes.data.box_splits import load_box_test_split
from recipes.data.boxed_images import BoxedImages
from recipes.data.images import Problem
from recipes.data.options import about_data, column_options, data_source
from recipes.evaluation.applied import Applied
from recipes.evaluation.boxes import CentreCrops, FoundBoxes, RescaledWithBoxes, box_rates, localisation_errors
from recipes.evaluation.class_order import outputs_of_classes, targets
from recipes.evaluation.error_rates import rate_in_words, share_of, wilson_interval
from recipes.evaluation.net import arithmetic_in, description_of
from recipes.evaluation.store import Store, fill
from recipes.runtime.files import write_rows
from recipes.runtime.look import title
from recipes.runtime.output_folder import OutputFolder
from recipes.runtime.processes import from_main, main_first
from recipes.runtime.work import begin_test, in_processes, weights_dtype
from vgg_zoo.boxes.net import BoxVGG
from vgg_zoo.evaluation import DenseEvaluator, Fusion
from vgg_zoo.images.inputs import net_input
from vgg_zoo.layers import smallest_side
from vgg_zoo.localisation import Localiser, box_net, training_scale
from vgg_zoo.results import read_results
from vgg_zoo.weights.settings import run_settings


def make_localiser(args: argparse.Namespace) -> Localiser:
    """The localiser according to the options."""
    how: dict[str, Any] = {"most_pixels": args.most_pixels, "exact": args.exact, "precision": args.copy_precision}
    how["device"] = None  # each process moves them to its own device
    evaluators = [DenseEvaluator(model, args.classifier_scales, **how) for model in args.classifier]
    return Localiser(
        [model for model, _ in args.nets],
        Fusion(evaluators),
        [scales or None for _, scales in args.nets],
        close=args.close,
        ceil_mode=False,  # as hub.results.boxes publishes it
        **how,
    )


def described(model: str, net: BoxVGG, scales: tuple[int, ...]) -> dict[str, Any]:
    """The description of a net that predicts boxes for results.json."""
    run = run_settings(model)
    return {
        **description_of(model, net),
        "regression": net.regression,
        "trainable": run.get("trainable"),
        "train_scales": sorted(set(run.get("train_scales", ()))) or None,
        "scales": list(scales),
    }


def description(
    args: argparse.Namespace, nets: Sequence[BoxVGG], scales: Sequence[tuple[int, ...]], localiser: Localiser | None
) -> dict[str, Any]:
    """The description of the test, of all nets and their settings, for results.json."""
    evaluators = localiser.evaluators if localiser else []
    return {
        "protocol": args.protocol,
        "nets": [
            described(model, net, of_net) for (model, _), net, of_net in zip(args.nets, nets, scales, strict=True)
        ],
        "classifiers": [
            description_of(model, each) for model, each in zip(args.classifier or (), evaluators, strict=True)
        ],
        "close": localiser.close if localiser else None,
    }


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    folder, accelerator = begin_test(args)

    def load() -> tuple[Localiser | None, list[BoxVGG], BoxedImages]:
        localiser = make_localiser(args) if args.protocol == 2 else None
        nets = list(localiser.nets) if localiser else [box_net(args.nets[0][0])]
        return localiser, nets, load_box_test_split(data_source(args))

    localiser, nets, split = main_first(accelerator, load, "reading the nets and the data set")
    check_same_images(accelerator, split)
    scales = localiser.scales_of_nets if localiser else [args.nets[0][1] or (training_scale(nets[0]),)]
    evaluators = localiser.evaluators if localiser else []
    for net in (*nets, *(evaluator.model for evaluator in evaluators)):
        net.to(accelerator.device, weights_dtype(args.precision))

    def begin() -> tuple[dict[str, Any], bool]:
        about = description(args, nets, scales, localiser) | {"data": about_data(args, split)}
        about |= arithmetic_in(evaluators[0] if evaluators else None, accelerator, args.precision)
        identity = {"images": len(split), "columns": column_options(args), "precision": args.precision}
        folder.begin({**about, **identity}, args.overwrite)
        return about, folder.repeats and not (localiser or args.class_index)  # protocol 1 keeps nothing to look at

    content, done = from_main(accelerator, begin)
    accelerator.print(
        title(
            "localise",
            " + ".join(f"{net['model']} at Q = {', '.join(map(str, net['scales']))}" for net in content["nets"]),
            f"{len(split):,} images of {args.data}",
            f"protocol {args.protocol}",
            in_processes(accelerator, args.precision),
        )
    )
    new = False
    if not done:
        classes = evaluators[0].model if evaluators else nets[0]
        outputs = from_main(accelerator, lambda: outputs_of_classes(split.class_names, classes, args.class_index))
        results, problems, new = (
            found_classes(localiser, split, folder, accelerator, args, outputs)
            if localiser
            else true_class(nets[0], scales[0][0], split, accelerator, args.workers, outputs)
        )
        problems = sorted(set(problems))
        if args.strict and problems:
            raise ValueError(f"--strict: {problems[0]}")
        if accelerator.is_main_process:
            new |= write_results(folder, content, results, problems)
    if accelerator.is_main_process:
        tell(folder, new)
    accelerator.end_training()


def true_class(
    net: BoxVGG, scale: int, split: BoxedImages, accelerator: Accelerator, workers: int, outputs: Sequence[int]
) -> tuple[dict[str, Any], list[Problem], bool]:
    """Protocol 1: the errors, the images that cannot be used, and whether any was computed now."""
    crops = CentreCrops(split, scale, smallest_side(net))
    share = share_of(crops, accelerator.process_index, accelerator.num_processes, workers)
    found, problems = box_rates(Applied(net, accelerator), share, partial(net_input, net), accelerator, outputs)
    interval = wilson_interval(found["box_error"], len(split))
    return {**found, "box_error_interval": list(interval)}, gather_object(problems), True


def found_classes(
    localiser: Localiser,
    split: BoxedImages,
    folder: OutputFolder,
    accelerator: Accelerator,
    args: argparse.Namespace,
    outputs: Sequence[int],
) -> tuple[dict[str, Any], list[Problem], bool]:
    """Protocol 2: the same."""
    store = Store(folder.path / "boxes", len(split), FoundBoxes)
    images = RescaledWithBoxes(split, localiser.scales)
    computed = fill(store, images, localiser.of_rescaled, accelerator, args.workers, args.strict)
    found = store.read_all()
    errors = localisation_errors(found.found, targets(found.labels, outputs), found.truth)
    return errors.with_intervals(), found.problems, computed


def write_results(
    folder: OutputFolder, content: dict[str, Any], results: dict[str, Any], problems: list[Problem]
) -> bool:
    """Write all files, results.json last as the sign that all is complete; whether it says anything new."""
    if problems:
        write_rows(folder.problems, problems)
    data = content["data"] | {"images": results["images"], "unusable_images": len(problems)}
    return folder.write_results("boxes", content | {"data": data, "results": results})


def tell(folder: OutputFolder, new: bool) -> None:
    """Print the errors and what was written; arguments as of `OutputFolder.tell`."""
    content = read_results(folder.path, "boxes")
    names = [name for name in content["results"] if name.endswith("error")]
    figures = {name.replace("_", " "): rate_in_words(content["results"], name) for name in names}
    figures["images"] = f"{content['data']['images']:,}"
    if unusable := content["data"]["unusable_images"]:
        figures["unusable"] = f"{unusable:,}, which count as errors"
    folder.tell(figures, new)
