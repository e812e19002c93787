"""`vgg-zoo features PHOTOS... --output FILE`: write image descriptors (Appendix B) of any number of photos."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from vgg_zoo_cli import look, options
from vgg_zoo_cli.command import Command, typed_wrong
from vgg_zoo_cli.options import option
from vgg_zoo_cli.outputs import check_file
from vgg_zoo_cli.photos import each_photo

SUFFIXES = (".npz", ".parquet")
_ROWS_AT_ONCE = 256  # rows in a group of a Parquet file


@click.command("features", cls=Command, short_help="Write image descriptors of photos into one file.")
@options.dense
@option(
    "--layer", group="Test", default="fc7", help="fc6, fc7, or a conv or max-pool by the paper's name, conv5_3, pool5."
)
@option(
    "--combine",
    group="Test",
    type=click.Choice(["average", "stack"]),
    default="average",
    help="Average or stack the descriptors of the scales.",
)
@option(
    "--output",
    "--out",
    "file",
    group="Output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="File to write, ending in .npz or .parquet.",
)
@options.overwrite
def command(
    photos: Sequence[str],
    model: str,
    device: str,
    precision: str,
    scales: Sequence[int],
    layer: str,
    combine: str,
    file: Path,
    overwrite: bool,
) -> int:
    """Write an image descriptor of each photo: a layer's map averaged over positions, the mirrored photo and scales.

    A .npz has the arrays photos (N,), descriptors (N, D) of float32 and errors (N,). A .parquet has the columns photo,
    descriptor and error. A photo that cannot be read keeps its row, with NaN (null in Parquet) and its error.

    \b
    vgg-zoo features photos/ --model vgg_d.oxford_in1k --out features.npz
    """
    with typed_wrong():
        check_file(file, SUFFIXES, overwrite)
    look.title("features", model)
    from vgg_zoo.descriptors import DenseDescriptor
    from vgg_zoo_cli.nets import described, load
    from vgg_zoo_cli.stream import rows_of_each

    net = load(model, device)
    with typed_wrong():
        descriptor = DenseDescriptor(net, layer, scales or None, combine, precision=precision)
    look.note(described(net, descriptor.scales, f"{layer}, {descriptor.size} numbers a photo"))
    names = [photo for photo, _ in each_photo(photos)]
    writer = _npz if file.suffix.lower() == ".npz" else _parquet
    with writer(file, len(names), descriptor.size) as add, look.progress(len(names)) as going:
        for photo, row, error in rows_of_each(descriptor, names):
            add(photo, row.numpy(), error or "")
            going.step(photo, error)
    look.finish_photos(going, photos, [file])
    return going.exit_code


Add = Callable[[str, Any, str], None]
"""A function that takes a photo, its descriptor (D,), and its error or ""."""


@contextmanager
def _npz(file: Path, rows: int, numbers: int) -> Iterator[Add]:
    """A NumPy archive, written whole or not at all; descriptors are written to disk as they come."""
    import zipfile

    import numpy as np

    from vgg_zoo.weights.files import whole

    photos: list[str] = []
    errors: list[str] = []
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, numbers)}
    with whole(file) as writing, zipfile.ZipFile(writing, "w") as archive:
        with archive.open("descriptors.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)

            def add(photo: str, row: Any, error: str) -> None:
                member.write(row.astype("<f4", copy=False).tobytes())
                photos.append(photo)
                errors.append(error)

            yield add
        for name, values in (("photos", photos), ("errors", errors)):
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.array(values, dtype=np.str_), allow_pickle=False)


@contextmanager
def _parquet(file: Path, rows: int, numbers: int) -> Iterator[Add]:
    """A Parquet file, written in groups of rows; whole or not at all."""
    import pyarrow as pa
    from pyarrow import parquet

    from vgg_zoo.weights.files import whole

    vector = pa.list_(pa.float32(), numbers)
    schema = pa.schema([("photo", pa.string()), ("descriptor", vector), ("error", pa.string())])
    waiting: list[tuple[str, Any, str]] = []

    with whole(file) as writing, parquet.ParquetWriter(writing, schema) as writer:

        def flush() -> None:
            photos, found, errors = zip(*waiting, strict=True)
            vectors = pa.array([None if error else row for row, error in zip(found, errors, strict=True)], vector)
            columns = [pa.array(photos), vectors, pa.array([error or None for error in errors], pa.string())]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            waiting.clear()

        def add(photo: str, row: Any, error: str) -> None:
            waiting.append((photo, row, error))
            if len(waiting) == _ROWS_AT_ONCE:
                flush()

        yield add
        if waiting:
            flush()
