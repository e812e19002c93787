"""Stores that are filled by groups of chunks, and loaders whose workers take a few images at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import Dataset

from recipes.data.images import Problem
from recipes.evaluation import store as stores
from recipes.evaluation.error_rates import share_of
from recipes.evaluation.store import RescaledImages, Rows, Store, chunks_together, fill
from recipes.runtime.loader import EachOf
from recipes.runtime.processes import make_accelerator
from vgg_zoo.images.inputs import Rescaled

COUNT = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers(Rows):
    """What goes through the "net": of each image its own value, and how many there were."""

    numbers: Tensor
    computed: ClassVar[str] = "numbers"


class Split:
    """Images of two shapes, each filled with its number; one cannot be decoded."""

    def read(self, indices: Sequence[int]) -> list[tuple[Any, int, Problem | None]]:
        """As `LabelledImages` reads."""
        (index,) = indices
        if index == 17:
            return [(None, -1, Problem("validation", index, "17.png", "damaged"))]
        return [(np.full((4, 4 + index % 2, 3), index, np.uint8), index % 5, None)]


def filled(folder: Path, sizes: list[int], workers: int = 0) -> Store[Numbers]:
    """A store of these images; the sizes of what is computed together are appended to `sizes`."""

    def compute(part: Sequence[Rescaled | None]) -> Tensor:
        sizes.append(len(part))
        of_image = [float("nan") if image is None else float(image[0][0, 0, 0]) for image in part]
        return torch.tensor([[value, len(part)] for value in of_image])

    store = Store(folder, COUNT, Numbers)
    images = RescaledImages(Split(), (4,))  # type: ignore[arg-type]
    fill(store, images, compute, make_accelerator(), workers)
    return store


def digests(files: list[Path]) -> list[Any]:
    """Of each file's rows; in its header names stand in any order."""
    found = []
    for file in files:
        with safe_open(file, "pt") as opened:
            found.append(opened.metadata())
    return found


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of four images, three of which make a group: those of 12, 12 and 6 images."""
    monkeypatch.setattr(stores, "CHUNK", 4)
    monkeypatch.setattr(stores, "chunks_together", lambda device: 3)


def test_a_gpu_takes_1024_images_together() -> None:
    """A CPU, whose batches are small, a chunk."""
    assert [chunks_together(torch.device(name)) for name in ("cpu", "cuda", "mps")] == [1, 8, 8]


@pytest.mark.usefixtures("groups")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_group_is_computed_whole_and_what_is_there_stays(tmp_path: Path, workers: int) -> None:
    """Whichever chunks are missing, all have the bits of a command that was not interrupted."""
    sizes: list[int] = []
    store = filled(tmp_path / "store", sizes, workers)
    assert sizes == [12, 12, 6]
    rows, files = store.read_all(), sorted(store.path.iterdir())
    assert len(files) == 8
    expected = torch.arange(COUNT, dtype=torch.float32)
    expected[17] = torch.nan
    assert torch.equal(rows.numbers[:, 0].nan_to_num(-1), expected.nan_to_num(-1))
    assert rows.labels.tolist() == [-1 if index == 17 else index % 5 for index in range(COUNT)]
    assert [problem.index for problem in rows.problems] == [17]
    before = digests(files)
    for missing in ([0], [1, 7], [4, 5], [6, 7]):
        for chunk in missing:
            files[chunk].unlink()
        kept = {file: file.stat().st_mtime_ns for file in files if file.exists()}
        sizes.clear()
        filled(store.path, sizes, workers)
        assert sizes == [(12, 12, 6)[group] for group in sorted({chunk // 3 for chunk in missing})]
        assert digests(files) == before
        assert {file: file.stat().st_mtime_ns for file in kept} == kept


@pytest.mark.usefixtures("groups")
def test_what_waits_for_the_net_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of large images goes through the net in parts."""
    monkeypatch.setattr(stores, "MOST_BYTES", 200)
    sizes: list[int] = []
    filled(tmp_path, sizes)
    assert sum(sizes) == COUNT
    assert max(sizes) <= 5


class Places(Dataset[int]):
    """Each item is its place."""

    def __getitem__(self, index: int) -> int:
        return index


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_lose_repeat_and_move_nothing(workers: int) -> None:
    """Whatever the number of items, also none; and each process has its share."""
    for order in ([], [5], list(range(8)), list(range(40, 0, -3))):
        items = EachOf(Places(), order, workers)
        assert list(items) == list(items) == order
    assert list(share_of(range(21), 1, 2, workers)) == list(range(1, 21, 2))
