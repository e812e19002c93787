"""Posteriors of a net on a split, kept in a folder: a net sees an image once, however often its scores are used.

The split is cut into chunks, whatever the number of processes. A process takes one chunk at a time and writes it whole.
What is missing after a kill is computed when the command is given again, on any number of processes, to the same bits.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from recipes.data import LabelledImages, Problem
from recipes.launch import from_main
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.images import BadImageError, Pixels
from vgg_zoo.inputs import at_scales

CHUNK = 128
"""Images that are kept, or lost by a kill, together; like shapes among them go through the net together."""

MOST_BYTES = 2**29
"""Of rescaled images that wait for the net at once."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a net says of the images of a split, in their order.

    Attributes:
        posteriors: (N, num_classes), float32; a row of NaN where the image could not be decoded.
        labels: (N,), the data set's classes; `recipes.data.UNLABELLED` where it tells none.
        images: (N,), a hash of each image's pixels, by which the scores of several nets are known to be of the same.
        problems: The images that could not be decoded.
    """

    posteriors: Tensor
    labels: Tensor
    images: Tensor
    problems: list[Problem]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class ScoreFolder:
    """The chunks of the scores of `images` images."""

    path: Path
    images: int

    def chunks(self) -> list[range]:
        """The images of each chunk."""
        return [range(start, min(start + CHUNK, self.images)) for start in range(0, self.images, CHUNK)]

    def write(self, chunk: int, scores: Scores) -> None:
        """Write a chunk under another name, then rename it: it is there whole, or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        tensors = {"posteriors": scores.posteriors, "labels": scores.labels, "images": scores.images}
        metadata = {"digest": _digest(tensors), "problems": json.dumps([asdict(found) for found in scores.problems])}
        writing = self.path / f".{chunk:05}.writing"
        save_file(tensors, writing, metadata)
        writing.replace(self._file(chunk))

    def read(self, chunk: int) -> Scores | None:
        """A chunk; None if it is missing, damaged, or not of so many images."""
        try:
            with safe_open(self._file(chunk), "pt") as file:
                tensors = {name: file.get_tensor(name) for name in ("posteriors", "labels", "images")}
                metadata = file.metadata() or {}
        except (OSError, SafetensorError):
            return None
        length = len(self.chunks()[chunk])
        if metadata.get("digest") != _digest(tensors) or any(len(tensor) != length for tensor in tensors.values()):
            return None
        return Scores(**tensors, problems=[Problem(**found) for found in json.loads(metadata["problems"])])

    def missing(self) -> tuple[list[int], list[Problem]]:
        """The chunks that are still to be computed, and the problems of those that are there."""
        found = [self.read(chunk) for chunk in range(len(self.chunks()))]
        problems = [problem for scores in found if scores is not None for problem in scores.problems]
        return [chunk for chunk, scores in enumerate(found) if scores is None], problems

    def read_all(self) -> Scores:
        """Every image, in order.

        Raises:
            ValueError: A chunk is missing or damaged.
        """
        found = []
        for chunk, images in enumerate(self.chunks()):
            scores = self.read(chunk)
            if scores is None:
                raise ValueError(
                    f"{self._file(chunk)}, the scores of images {images.start} to {images.stop - 1} of {self.images}, "
                    "is missing or damaged; give the command that made the folder again, it computes what is missing"
                )
            found.append(scores)
        names = ("posteriors", "labels", "images")
        joined = {name: torch.cat([getattr(scores, name) for scores in found]) for name in names}
        return Scores(**joined, problems=[problem for scores in found for problem in scores.problems])

    def write_all(self, scores: Scores) -> None:
        """Write every chunk."""
        for chunk, images in enumerate(self.chunks()):
            part = slice(images.start, images.stop)
            problems = [problem for problem in scores.problems if problem.index in images]
            posteriors, labels, hashes = scores.posteriors[part], scores.labels[part], scores.images[part]
            self.write(chunk, Scores(posteriors.clone(), labels.clone(), hashes.clone(), problems))

    def remove(self) -> None:
        """Delete all of it."""
        shutil.rmtree(self.path)

    def _file(self, chunk: int) -> Path:
        return self.path / f"{chunk:05}.safetensors"


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass
class _Rescaled(Dataset[Any]):
    """Images decoded and rescaled to every scale, so that worker processes do both."""

    split: LabelledImages
    scales: Sequence[int]

    def __getitem__(self, index: int) -> tuple[list[Tensor] | None, int, int, Problem | None]:
        pixels, label, problem = self.split.read([index])[0]
        if pixels is None:
            return None, label, 0, problem
        return at_scales(pixels, self.scales), label, _hash(pixels), None


def _hash(pixels: Pixels) -> int:
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(pixels).data)
    return int.from_bytes(digest.digest(), "little", signed=True)


def compute_scores(
    evaluator: DenseEvaluator,
    split: LabelledImages,
    folder: ScoreFolder,
    accelerator: Accelerator,
    workers: int = 0,
    strict: bool = False,
) -> None:
    """Compute the chunks that the folder lacks, dealt out to the processes in turn.

    Args:
        evaluator: Its net is on the accelerator's device.
        split: The images.
        folder: Filled; the chunks that are there stay.
        accelerator: The processes.
        workers: Processes that decode and rescale images, for each process.
        strict: Stop at the first image that cannot be decoded.

    Raises:
        BadImageError: Such an image, by its place and name, if `strict`.
    """
    chunks = folder.chunks()
    missing, problems = from_main(accelerator, folder.missing)
    if strict and problems:
        raise BadImageError(str(problems[0]))
    mine = missing[accelerator.process_index :: accelerator.num_processes]
    order = [index for chunk in mine for index in chunks[chunk]]
    loader: DataLoader[Any] = DataLoader(
        _Rescaled(split, evaluator.scales), sampler=order, batch_size=None, num_workers=workers
    )
    items = iter(loader) if order else iter(())
    done = folder.images - sum(len(chunks[chunk]) for chunk in missing)
    with tqdm(total=folder.images, initial=done, unit=" images", disable=not accelerator.is_main_process) as bar:
        for chunk in mine:
            found = _scores_of(evaluator, items, len(chunks[chunk]), accelerator, strict)
            folder.write(chunk, found)
            bar.update(_present(folder, chunks) - bar.n)
    accelerator.wait_for_everyone()


def _present(folder: ScoreFolder, chunks: Sequence[range]) -> int:
    """Images whose chunk some process has written."""
    return sum(len(chunks[int(file.stem)]) for file in folder.path.glob("[0-9]*.safetensors"))


def _scores_of(
    evaluator: DenseEvaluator, items: Iterator[Any], length: int, accelerator: Accelerator, strict: bool
) -> Scores:
    """The next chunk of so many images, in parts of bounded memory that depend on the chunk alone."""
    posteriors, labels, hashes, problems = [], [], [], []
    waiting: list[list[Tensor] | None] = []
    for place in range(length):
        image, label, hashed, problem = next(items)
        if problem is not None and strict:
            raise BadImageError(str(problem))
        problems += [] if problem is None else [problem]
        labels.append(label)
        hashes.append(hashed)
        waiting.append(image)
        if place == length - 1 or sum(scaled.numel() for image in waiting for scaled in image or ()) > MOST_BYTES:
            with accelerator.autocast():
                posteriors.append(evaluator.of_rescaled(waiting))
            waiting = []
    return Scores(torch.cat(posteriors), torch.tensor(labels), torch.tensor(hashes), problems)
