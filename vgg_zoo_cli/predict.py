"""`vgg-zoo predict PHOTOS...`: predict the classes of photos by dense evaluation (Sect. 3.2)."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from vgg_zoo_cli import look, options
from vgg_zoo_cli.command import Command, typed_wrong
from vgg_zoo_cli.options import option
from vgg_zoo_cli.outputs import check_file
from vgg_zoo_cli.photos import count_photos, each_photo


@click.command("predict", cls=Command, short_help="Predict the likeliest classes of photos.")
@options.dense
@options.top
@option("--csv", "file", group="Output", type=click.Path(path_type=Path), help="Write a row for each photo here.")
@options.overwrite
def command(
    photos: Sequence[str],
    model: str,
    device: str,
    precision: str,
    scales: Sequence[int],
    top: int,
    file: Path | None,
    overwrite: bool,
) -> int:
    """Predict the likeliest classes of each photo and their posteriors by dense evaluation.

    Any number of photos is processed one by one. A photo that cannot be read is reported and counted, and the CSV has
    its error; the exit code is then 1.

    \b
    vgg-zoo predict photo.jpg --model vgg_d.tv_in1k
    vgg-zoo predict photos/ 'more/*.png' --model runs/digits --csv predictions.csv
    """
    if file is not None:
        with typed_wrong():
            check_file(file, [".csv"], overwrite)
    look.title("predict", model)
    from vgg_zoo.evaluation import DenseEvaluator
    from vgg_zoo_cli.nets import described, load
    from vgg_zoo_cli.stream import rows_of_each

    net = load(model, device)
    with typed_wrong():
        evaluator = DenseEvaluator(net, scales or None, precision=precision)
    look.note(described(net, evaluator.scales, evaluator.protocol))
    top = min(top, len(evaluator.class_names))
    with ExitStack() as stack:
        add = stack.enter_context(_csv(file, top)) if file else _printed()
        going = stack.enter_context(look.progress(count_photos(photos)))
        for photo, row, error in rows_of_each(evaluator, (photo for photo, _ in each_photo(photos))):
            add(photo, [] if error else likeliest(row, evaluator.class_names, top), error)
            going.step(photo, error)
    look.finish_photos(going, photos, [file] if file else [])
    return going.exit_code


def likeliest(posteriors: Any, names: Sequence[str], top: int) -> list[tuple[str, float]]:
    """The classes of a row of posteriors (classes,), in descending order."""
    values, classes = posteriors.topk(top)
    return [(names[number], value) for number, value in zip(classes.tolist(), values.tolist(), strict=True)]


Add = Callable[[str, Sequence[tuple[str, float]], str | None], None]


def _printed() -> Add:
    lines = look.Lines(("posterior", "class"))
    return lambda photo, found, error: lines.add(photo, [(f"{value:.3f}", name) for name, value in found])


@contextmanager
def _csv(file: Path, top: int) -> Iterator[Add]:
    """A CSV with one row for each photo, written whole or not at all."""
    from vgg_zoo.weights.files import whole

    columns = [column for rank in range(1, top + 1) for column in (f"class_{rank}", f"posterior_{rank}")]
    with whole(file) as writing, writing.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(["photo", "error", *columns])

        def add(photo: str, found: Sequence[tuple[str, float]], error: str | None) -> None:
            cells = [cell for name, value in found for cell in (name, f"{value:.6f}")]
            writer.writerow([photo, error or "", *(cells or [""] * len(columns))])

        yield add
