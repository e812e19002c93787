"""`vgg-zoo explain PHOTOS...`: show where in a photo the dense net sees which class (Sect. 3.2)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from vgg_zoo_cli import look, options
from vgg_zoo_cli.command import Command, typed_wrong
from vgg_zoo_cli.outputs import pictures
from vgg_zoo_cli.stream import pictures_of


@click.command("explain", cls=Command, short_help="Show where in photos a net sees which class.")
@options.dense
@options.top
@options.output("explained")
@options.overwrite
def command(
    photos: Sequence[str],
    model: str,
    device: str,
    precision: str,
    scales: Sequence[int],
    top: int,
    output: Path | None,
    overwrite: bool,
) -> int:
    """Show where in each photo the net sees its likeliest classes: a PNG with a heat map for each class and scale.

    \b
    vgg-zoo explain photo.jpg --model vgg_d.tv_in1k
    vgg-zoo explain photos/ --model runs/digits --output explained/
    """
    with typed_wrong():
        targets = pictures(photos, output, "explained", overwrite)
    look.title("explain", model)
    from vgg_zoo.evaluation import DenseEvaluator
    from vgg_zoo.explanation import explain
    from vgg_zoo.style import check_matplotlib
    from vgg_zoo_cli.nets import described, load

    check_matplotlib()  # report a missing package before the net is downloaded and run
    net = load(model, device)
    with typed_wrong():
        evaluator = DenseEvaluator(net, scales or None, precision=precision)
    look.note(described(net, evaluator.scales))
    lines = look.Lines(("posterior", "class"))

    def draw_one(photo: str, pixels: object, target: Path) -> None:
        explanation = replace(explain(pixels, evaluator, top), net=model)  # type: ignore[arg-type]  # decoded_each's pixels
        explanation.draw(target)
        lines.add(photo, [(f"{posterior:.3f}", name) for name, posterior in explanation.predictions])

    return pictures_of(photos, targets, draw_one)
