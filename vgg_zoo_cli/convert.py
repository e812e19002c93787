"""`vgg-zoo convert FILE --output FOLDER`: convert weights of a VGG from any of the published formats."""

from collections.abc import Sequence
from pathlib import Path

import click

from vgg_zoo_cli import look, options
from vgg_zoo_cli.command import Command
from vgg_zoo_cli.names import NETS
from vgg_zoo_cli.options import option


def _positive(ctx: click.Context, param: click.Parameter, values: Sequence[float]) -> Sequence[float]:
    if not all(value > 0 for value in values):
        raise click.BadParameter(f"must be above 0; got {' '.join(f'{value:g}' for value in values)}", ctx, param)
    return values


@click.command("convert", cls=Command, short_help="Convert a file of weights to a folder for timm.")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@option(
    "--architecture",
    group="Net",
    silent=["--net"],
    type=click.Choice(NETS),
    help="timm's name of the net, if its weights are ambiguous: vgg_a_lrn.",
)
@option(
    "--random-head",
    group="Net",
    type=click.IntRange(min=1),
    metavar="CLASSES",
    help="Add new FC layers to a file without top.",
)
@option(
    "--order",
    group="Input",
    type=click.Choice(["rgb", "bgr"]),
    help="Order of the colours for the file's first convolution.",
)
@option(
    "--mean",
    group="Input",
    type=float,
    numbers=True,
    metavar="X...",
    help="Mean RGB in 0–255.  [default: by the kind of file]",
)
@option(
    "--std",
    "deviation",
    group="Input",
    type=float,
    numbers=True,
    metavar="X...",
    callback=_positive,
    help="Deviation in 0–255; 1 means no division.  [default: by the kind of file]",
)
@option(
    "--output",
    "--to",
    "folder",
    group="Output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="FOLDER",
    help="Folder for timm; it is created.",
)
@option("--tag", group="Output", help="Name of these weights.  [default: the kind of file]")
@option("--license", "licence", group="Output", silent=["--licence"], help="Licence of these weights.")
@option(
    "--class-names",
    "names",
    group="Output",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Class names: a text file with one name a line.",
)
@options.overwrite
def command(
    source: Path,
    architecture: str | None,
    random_head: int | None,
    order: str | None,
    mean: Sequence[float],
    deviation: Sequence[float],
    folder: Path,
    tag: str | None,
    licence: str | None,
    names: Path | None,
    overwrite: bool,
) -> int:
    """Convert a file of weights to a folder that timm loads.

    It reads Caffe's .caffemodel, Keras' .h5, MatConvNet's .mat, and state dicts of timm and torchvision (.safetensors,
    .pth, .pt). It recognises the format and the net of Table 1 by the content. If the file does not describe its input
    (order of colours, mean, deviation), the defaults of its kind are used; the output and config.json say what was
    assumed.

    \b
    vgg-zoo convert VGG_ILSVRC_16_layers.caffemodel --output vgg_d
    python -c 'import timm, vgg_zoo; timm.create_model("local-dir:vgg_d", pretrained=True)'
    """
    if (folder / "model.safetensors").exists() and not overwrite:
        raise click.UsageError(f"{folder} already has weights; name another folder, or replace them with --overwrite")
    from vgg_zoo.weights.convert import convert
    from vgg_zoo.weights.folder import CONFIG, WEIGHTS

    look.title("convert", str(source))
    said = convert(
        source,
        folder,
        net=architecture,
        order=order,
        mean=mean or None,
        deviation=deviation or None,
        tag=tag,
        licence=licence,
        class_names=names.read_text("utf-8").splitlines() if names else None,
        random_head=random_head,
        overwrite=overwrite,
    )
    click.echo(said)
    look.finish({}, [folder / WEIGHTS, folder / CONFIG])
    return 0
