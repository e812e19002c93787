"""Results as the paper's tables: the work of recipes/tables.py."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from recipes.evaluation import plots
from recipes.evaluation.box_tables import BoxResult, box_tables
from recipes.evaluation.class_tables import ClassResult, block, class_tables
from recipes.runtime.files import check_pictures, write_picture, write_text
from recipes.runtime.look import ending, title
from vgg_zoo.results import read_results, reading


def read(folder: Path) -> ClassResult | BoxResult | None:
    """The result in a folder; None for unlabelled images.

    Raises:
        ValueError: There is no result, or the folder has something else.
    """
    content = read_results(folder, "classes", "boxes")
    with reading(folder, content["kind"]):
        if content["kind"] == "boxes":
            return BoxResult.of(content)
        return ClassResult.of(content) if content["results"] is not None else None


def tables(results: Iterable[ClassResult | BoxResult]) -> str:
    """Markdown with the tables of each data set for which there are results."""
    of_data: dict[tuple[str, str], list[ClassResult | BoxResult]] = {}
    for result in results:
        of_data.setdefault(result.data_set, []).append(result)
    parts = []
    for (spec, split), found in of_data.items():
        parts.append(f"# {spec}, {split}\n")
        parts += class_tables([result for result in found if isinstance(result, ClassResult)])
        parts += box_tables([result for result in found if isinstance(result, BoxResult)])
        if not all(result.is_ilsvrc for result in found):
            parts.append(
                "These are not ILSVRC-2012's 50,000 validation images: the paper's figures are no comparison, and no "
                "differences are shown.\n"
            )
    return "\n".join(parts)


def draw(results: Sequence[ClassResult | BoxResult], picture: Path) -> None:
    """Draw the classification errors; without any there is no picture."""
    of_data: dict[tuple[str, str], list[ClassResult]] = {}
    for result in results:
        if isinstance(result, ClassResult):
            of_data.setdefault(result.data_set, []).append(result)
    if of_data:
        write_picture(picture, partial(plots.draw, [block(found) for found in of_data.values()]))
    else:
        picture.unlink(missing_ok=True)


def run(args: argparse.Namespace) -> None:
    """Read, print, write."""
    if args.output is not None:
        check_pictures()
    found = {folder: read(folder) for folder in args.folders}
    results = [result for result in found.values() if result is not None]
    for folder in (folder for folder, result in found.items() if result is None):
        print(f"{folder} is of images without labels, and left out", file=sys.stderr)
    if not results:
        raise ValueError("none of the folders has errors to show")
    print(title("tables", f"{len(results)} of {len(found)} result(s) beside the paper's"), file=sys.stderr)
    text = tables(results)
    print(text)
    if args.output is not None:
        args.output.mkdir(parents=True, exist_ok=True)
        file, picture = args.output / "tables.md", args.output / "tables.png"
        write_text(file, text)
        draw(results, picture)
        print(ending({}, {file: "the tables", picture: "the errors"}), file=sys.stderr)
