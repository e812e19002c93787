"""The figures of a net: rows from the `results.json` files of recipes, all measured with exactly these weights.

They are stored in `eval_results.json`, a list of rows; `hub.results.kind` defines a row.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hub.repository.files import EVALUATION
from hub.results.boxes import Boxes
from hub.results.classes import Classes
from hub.results.kind import Kind, Row
from vgg_zoo.entrypoints import predicts
from vgg_zoo.model import VGG
from vgg_zoo.results import RESULTS, read_results, reading

KINDS: tuple[Kind, ...] = (Classes(), Boxes())
"""The kinds of nets, by what they predict: "classes" or "boxes"."""


def kind_of(name: str) -> Kind:
    """The kind of an architecture such as "vgg_d" or "vgg_d_box"."""
    return next(kind for kind in KINDS if kind.predicts == predicts(name))


def rows_of(kind: Kind, run: Path, tests: Iterable[Path], sha256: str, net: VGG) -> list[Row]:
    """The rows of a net, from the tests at the end of its training and from other tests.

    Args:
        kind: The net's kind.
        run: Folder of the training; its results.json may be missing.
        tests: The --output folders of the recipe that tests such nets.
        sha256: Hash of the net's weights.
        net: The net; only its shapes are used.

    Returns:
        At least one row, in the order of the protocols; a test's row replaces the training's of the same protocol and
        Q.

    Raises:
        ValueError: Results are of other weights, of several nets, without labels or damaged; or there are none.
    """
    found: dict[Any, Row] = {}
    if (run / RESULTS).is_file():
        found |= {_key(kind, row): row for row in _read(kind, run, "training", kind.training_rows)}
    tested: dict[Any, Row] = {}
    for folder in tests:
        for row in _read(kind, folder, kind.predicts, kind.tested_rows):
            if _key(kind, row) in tested:
                raise ValueError(f"two of the results are for {kind.named(row)}; name one of them")
            tested[_key(kind, row)] = row
    found |= tested
    for row in found.values():
        if row["weights_sha256"] != sha256:
            raise ValueError(
                f"the results for {kind.named(row)} are of other weights (sha256 {row['weights_sha256']}) than {run} "
                f"holds ({sha256}); run {kind.tested_by} {run} again"
            )
        row |= kind.about(net)
    if not found:
        raise ValueError(
            f"there are no results for {run}; run {kind.tested_by} {run} --output FOLDER, and name the folder with "
            "--results"
        )
    return sorted(found.values(), key=lambda row: _order(kind, row))


def check_rows(kind: Kind, rows: list[Row], sha256: str, net: VGG, file: Path) -> None:
    """Check that all rows of a built folder are of its weights and net, are valid, and give its settings.

    Raises:
        ValueError: A row is wrong.
    """
    if not rows:
        raise ValueError(f"{file} has no results; build the folder again")
    for row in rows:
        if row["weights_sha256"] != sha256:
            raise ValueError(f"{file} has results of other weights, {row['weights_sha256']}")
        if row | kind.about(net) != row:
            raise ValueError(f"{file} has results of another net; this one is {kind.about(net)}")
        if not all(0 <= rate <= 1 for rate in kind.rates(row).values()):
            raise ValueError(f"{file} has errors that are not from 0 to 1")
        try:
            kind.check(row)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
    if kind.read_settings(file.with_name(kind.settings_file)) != kind.settings(rows):
        raise ValueError(f"{file.with_name(kind.settings_file)} is not of the widest dense test in {EVALUATION}")


def _key(kind: Kind, row: Row) -> tuple[Any, ...]:
    return (*kind.told_apart(row), row["data_set"], row["split"])


def _order(kind: Kind, row: Row) -> tuple[Any, ...]:
    """Rows sort by protocol, then by the number of scales, then by the scales."""
    return list(kind.protocols).index(row["protocol"]), len(row["scales"]), row["scales"], str(_key(kind, row))


def _read(kind: Kind, folder: Path, results: str, rows: Callable[[Any], Iterable[Row]]) -> list[Row]:
    content = read_results(folder, results)
    with reading(folder, results):
        return list(rows(content))
