"""Numbers for each image of a split, stored in a folder: a net sees an image once, however often they are used.

The split is divided into chunks, whatever the number of processes, and each chunk is written whole. A process takes one
chunk at a time; on a GPU, a group of chunks, so that more images of one shape go through the net together. If the
command was killed, the same command computes the groups that lack a chunk, on any number of processes, with
bit-identical results.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import chain, repeat
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import Dataset

from recipes.data.images import LabelledImages, Problem
from recipes.runtime.loader import EachOf
from recipes.runtime.look import progress
from recipes.runtime.processes import from_main, together
from recipes.runtime.shared_folder import check_shared, wait_for
from vgg_zoo.images.decoding import BadImageError, Pixels
from vgg_zoo.images.inputs import Rescaled, at_scales, in_parts
from vgg_zoo.weights.files import whole

CHUNK = 128
"""Images of a chunk, which is one file."""

MOST_BYTES = 2**29
"""Maximum bytes of rescaled images that wait for the net."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Stored rows for the images of a split, in their order; a subclass adds the results of a net.

    Its fields are tensors and lists of N rows, except the problems.

    Attributes:
        labels: (N,), the data set's classes; `UNLABELLED` if unknown.
        images: (N,), a hash of each image's pixels, to check that several nets saw the same images.
        problems: The images that could not be used.
        computed: The field that a net computes; the other fields are read with the images.
    """

    labels: Tensor
    images: Tensor
    problems: list[Problem]
    computed: ClassVar[str]

    def __len__(self) -> int:
        return len(self.labels)


RowsKind = TypeVar("RowsKind", bound=Rows)


@dataclass(frozen=True, slots=True)
class Store(Generic[RowsKind]):
    """The rows of a split in a folder, chunk by chunk.

    Attributes:
        path: The folder.
        images: Number of images in the split.
        kind: Class of the rows.
    """

    path: Path
    images: int
    kind: type[RowsKind]

    def chunks(self) -> list[range]:
        """The images of each chunk."""
        return [range(start, min(start + CHUNK, self.images)) for start in range(0, self.images, CHUNK)]

    def write(self, chunk: int, rows: RowsKind) -> None:
        """Write a chunk, whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        tensors = {name: getattr(rows, name).contiguous() for name in self._tensors()}
        with whole(self._file(chunk)) as writing:
            save_file(tensors, writing, self._metadata(rows))

    def read(self, chunk: int) -> RowsKind | None:
        """A chunk; None if it is missing, damaged, or has another number of images."""
        try:
            with safe_open(self._file(chunk), "pt") as file:
                tensors: dict[str, Any] = {name: file.get_tensor(name) for name in self._tensors()}
                metadata = file.metadata() or {}
        except (OSError, SafetensorError):
            return None
        length = len(self.chunks()[chunk])
        lists = {name: metadata.get(name, "[]") for name in self._lists()}
        if metadata.get("digest") != _digest(tensors, lists):
            return None
        read = {name: json.loads(text) for name, text in lists.items()}
        if any(len(rows) != length for rows in (*tensors.values(), *read.values())):
            return None
        problems = [Problem(**found) for found in json.loads(metadata["problems"])]
        return self.kind(**tensors, **read, problems=problems)

    def missing(self) -> tuple[list[int], list[Problem]]:
        """The chunks that are still to be computed, and the problems of the existing chunks."""
        found = [self.read(chunk) for chunk in range(len(self.chunks()))]
        problems = [problem for rows in found if rows is not None for problem in rows.problems]
        return [chunk for chunk, rows in enumerate(found) if rows is None], problems

    def read_all(self) -> RowsKind:
        """Every image, in order.

        Raises:
            ValueError: A chunk is missing or damaged.
        """
        found = []
        for chunk, images in enumerate(self.chunks()):
            rows = self.read(chunk)
            if rows is None:
                raise ValueError(
                    f"{self._file(chunk)}, the {self.kind.computed} of images {images.start} to {images.stop - 1} of "
                    f"{self.images}, is missing or damaged; give the command that made the folder again, it computes "
                    "what is missing"
                )
            found.append(rows)
        tensors: dict[str, Any] = {name: torch.cat([getattr(rows, name) for rows in found]) for name in self._tensors()}
        names = [*self._lists(), "problems"]
        lists: dict[str, Any] = {name: [item for rows in found for item in getattr(rows, name)] for name in names}
        return self.kind(**tensors, **lists)

    def write_all(self, rows: RowsKind) -> bool:
        """Write every chunk; whether any is another than before."""
        changed = False
        for chunk, images in enumerate(self.chunks()):
            part = slice(images.start, images.stop)
            own: dict[str, Any] = {name: getattr(rows, name)[part] for name in (*self._tensors(), *self._lists())}
            problems = [problem for problem in rows.problems if problem.index in images]
            before, now = self.read(chunk), self.kind(**own, problems=problems)
            if before is None or self._metadata(before) != self._metadata(now):
                self.write(chunk, now)
                changed = True
        return changed

    def present(self) -> int:
        """Number of images whose chunk exists."""
        chunks = self.chunks()
        return sum(len(chunks[int(file.stem)]) for file in self.path.glob("[0-9]*.safetensors"))

    def remove(self) -> None:
        """Delete all chunks."""
        shutil.rmtree(self.path)

    def _metadata(self, rows: RowsKind) -> dict[str, str]:
        """What a chunk holds beside its tensors, and a hash of all of it but the problems."""
        lists = {name: json.dumps(getattr(rows, name)) for name in self._lists()}
        problems = json.dumps([asdict(found) for found in rows.problems])
        digest = _digest({name: getattr(rows, name) for name in self._tensors()}, lists)
        return {"digest": digest, "problems": problems, **lists}

    def _file(self, chunk: int) -> Path:
        return self.path / f"{chunk:05}.safetensors"

    def _tensors(self) -> list[str]:
        return [field.name for field in fields(self.kind) if field.type is Tensor]

    def _lists(self) -> list[str]:
        return [field.name for field in fields(self.kind) if field.type is not Tensor and field.name != "problems"]


def _digest(tensors: dict[str, Tensor], lists: dict[str, str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].contiguous().numpy().tobytes())
    for name in sorted(lists):
        digest.update(lists[name].encode())
    return digest.hexdigest()


class ReadImage(NamedTuple):
    """An image on its way to the net.

    Attributes:
        scaled: (3, H, W) of uint8 at every scale; None if it could not be decoded.
        fields: Its rows of the fields of `Rows`, except the problems.
        problem: Why it cannot be used.
    """

    scaled: list[Tensor] | None
    fields: dict[str, Any]
    problem: Problem | None


@dataclass
class RescaledImages(Dataset[Any]):
    """Images decoded and rescaled to every scale, both in worker processes; a subclass adds more fields.

    Attributes:
        split: The images.
        scales: Q in pixels.
    """

    split: LabelledImages
    scales: Sequence[int]

    def __getitem__(self, index: int) -> ReadImage:
        return self.rescaled(*self.split.read([index])[0])

    def rescaled(self, pixels: Pixels | None, label: int, problem: Problem | None, **fields: Any) -> ReadImage:
        """The image with the rows of every `Rows`; `fields` are further rows."""
        about = {"labels": label, "images": 0 if pixels is None else _hash(pixels), **fields}
        return ReadImage(None if pixels is None else at_scales(pixels, self.scales), about, problem)


def _hash(pixels: Pixels) -> int:
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(pixels).data)
    return int.from_bytes(digest.digest(), "little", signed=True)


def chunks_together(device: torch.device) -> int:
    """Number of chunks that go through the net together, and that a kill loses: on a GPU those of 1,024 images."""
    return 1 if device.type == "cpu" else 1024 // CHUNK


def fill(
    store: Store[RowsKind],
    images: RescaledImages,
    compute: Callable[[Sequence[Rescaled | None]], Tensor],
    accelerator: Accelerator,
    workers: int = 0,
    strict: bool = False,
) -> bool:
    """Compute the chunks that the store lacks; their groups are assigned to the processes in turn.

    A group that lacks a chunk is computed whole: the images that go through the net together depend only on the group.

    Args:
        store: The store to fill; existing chunks are kept.
        images: The images to read.
        compute: From images at every scale to rows of numbers, NaN for None; its net is on the accelerator's device.
        accelerator: The processes.
        workers: Number of processes that decode and rescale images, for each process.
        strict: Stop at the first image that cannot be decoded.

    Returns:
        Whether it lacked any.

    Raises:
        BadImageError: An image cannot be decoded and `strict` is set; the message has its position and name.
        ValueError: The processes do not share the folder.
    """
    chunks = store.chunks()
    missing, problems = from_main(accelerator, store.missing, f"reading {store.path}")
    if strict and problems:
        raise BadImageError(str(problems[0]))
    if missing:
        check_shared(accelerator, store.path)
    size, lacking = chunks_together(accelerator.device), set(missing)
    groups = [range(start, min(start + size, len(chunks))) for start in range(0, len(chunks), size)]
    wanted = [group for group in groups if lacking.intersection(group)]
    mine = wanted[accelerator.process_index :: accelerator.num_processes]
    items = iter(EachOf(images, [index for group in mine for chunk in group for index in chunks[chunk]], workers))
    done = store.images - sum(len(chunks[chunk]) for chunk in missing)
    bar = progress(store.images, accelerator.is_main_process, initial=done)

    def fill_mine() -> None:
        for group in mine:
            lengths = [len(chunks[chunk]) for chunk in group]
            of_chunks: list[dict[str, Any]] = [{"problems": []} for _ in group]
            read = chain.from_iterable(map(_read, repeat(items), lengths, of_chunks, repeat(strict)))
            with accelerator.autocast():  # in parts of bounded memory that depend only on the group
                values = torch.cat([compute(part) for part in in_parts(read, MOST_BYTES)])
            for chunk, rows, computed in zip(group, of_chunks, values.split(lengths), strict=True):
                if chunk in lacking:
                    told: dict[str, Any] = {name: torch.tensor(rows.pop(name)) for name in ("labels", "images")}
                    store.write(chunk, store.kind(**rows, **told, **{store.kind.computed: computed}))
            bar.update(store.present() - bar.n)

    with bar:
        together(accelerator, fill_mine, "computing its share of the images")
    if accelerator.num_processes > 1:
        complete, who = lambda: store.present() >= store.images, "process 0 does not see what another one"
        from_main(accelerator, lambda: wait_for(complete, who, store.path))
    return bool(missing)


def _read(items: Iterator[Any], length: int, rows: dict[str, Any], strict: bool) -> Iterator[Rescaled | None]:
    """The next images at every scale, as many as given; their other fields go into the rows."""
    for _ in range(length):
        image: ReadImage = next(items)
        if image.problem is not None and strict:
            raise BadImageError(str(image.problem))
        for name, value in image.fields.items():
            rows.setdefault(name, []).append(value)
        rows["problems"] += [] if image.problem is None else [image.problem]
        yield image.scaled
