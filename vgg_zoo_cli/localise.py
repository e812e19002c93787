"""`vgg-zoo localise PHOTOS...`: find the classes in a photo and their boxes (Appendix A)."""

from collections.abc import Sequence
from pathlib import Path

import click

from vgg_zoo_cli import look, options
from vgg_zoo_cli.command import Command, typed_wrong
from vgg_zoo_cli.options import Model, option
from vgg_zoo_cli.outputs import pictures
from vgg_zoo_cli.stream import pictures_of


@click.command("localise", cls=Command, short_help="Find classes in photos, with boxes.")
@options.photos
@option(
    "--model",
    "models",
    group="Net",
    type=Model(),
    required=True,
    multiple=True,
    help="Folder of a net that predicts boxes; repeat the option for several nets.",
)
@option("--classifier", group="Net", type=Model(), required=True, help="Folder or name of a net with the same classes.")
@options.device
@options.precision
@options.scales("Q of every box net.  [default: those of its localise.json, or its training's S]")
@options.top
@option(
    "--drawn", group="Output", type=click.IntRange(min=0), default=1, metavar="N", help="Classes whose boxes are drawn."
)
@options.output("localised")
@options.overwrite
def command(
    photos: Sequence[str],
    models: Sequence[str],
    classifier: str,
    device: str,
    precision: str,
    scales: Sequence[int],
    top: int,
    drawn: int,
    output: Path | None,
    overwrite: bool,
) -> int:
    """Find the likeliest classes of each photo and their boxes, and draw them into a PNG.

    Boxes are left, top, right, bottom in pixels of the upright photo.

    \b
    vgg-zoo localise photo.jpg --model runs/vgg_d_s384_pcr --classifier vgg_e.oxford_in1k
    """
    with typed_wrong():
        targets = pictures(photos, output, "localised", overwrite)
    look.title("localise", *models, f"classes by {classifier}")
    from vgg_zoo.evaluation import DenseEvaluator
    from vgg_zoo.images.pictures import draw_boxes
    from vgg_zoo.localisation import Localiser
    from vgg_zoo.weights.files import whole
    from vgg_zoo_cli.nets import described, load

    nets, classifying = [load(each, device) for each in models], load(classifier, device)
    with typed_wrong():
        evaluator = DenseEvaluator(classifying, precision=precision)
        of_nets = [list(scales)] * len(nets) if scales else None
        localiser = Localiser(nets, evaluator, of_nets, top=top, precision=precision)
    for net, of_net in zip([*nets, classifying], [*localiser.scales_of_nets, evaluator.scales], strict=True):
        look.note(described(net, of_net))
    lines = look.Lines(("posterior", "left", "top", "right", "bottom", "class"))

    def draw_one(photo: str, pixels: object, target: Path) -> None:
        found = localiser(pixels)  # type: ignore[call-overload]  # decoded_each's pixels
        with whole(target) as writing:
            draw_boxes(pixels, found[:drawn]).save(writing, "PNG")  # type: ignore[arg-type]
        lines.add(photo, [(f"{score:.3f}", *(f"{side:.0f}" for side in box), name) for name, score, box in found])

    return pictures_of(photos, targets, draw_one)
