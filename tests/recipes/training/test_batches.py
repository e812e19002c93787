"""Batches that do not depend on processes, workers, or where a run was interrupted."""

from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from recipes.data.images import LabelledImages
from recipes.data.splits import load_splits
from recipes.evaluation.error_rates import EvaluationImages, in_batches, share_of
from recipes.recipe import Recipe, load_recipe
from recipes.training.batches import Batch, GlobalBatches, TrainingCrops, training_images
from recipes.training.feed import Feed, Pieces, task_size
from vgg_zoo.images.preprocessing import IMAGENET_COLOURS

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> tuple[LabelledImages, LabelledImages]:
    """The digits' two splits."""
    return load_splits("digits")


@given(st.integers(1, 200), st.data())
def test_the_processes_shares_make_up_the_global_batches(images: int, data: st.DataObject) -> None:
    """Whatever the number of processes, the shares in rank order are the batches of one process."""
    batch = data.draw(st.integers(1, images))
    world = data.draw(st.integers(1, min(batch, 7)))
    epoch = data.draw(st.integers(0, 5))

    def batches(rank: int, world: int) -> list[list[tuple[int, int]]]:
        sampler = GlobalBatches(images, batch, seed=3, rank=rank, world=world)
        sampler.epoch = epoch
        return list(sampler)

    alone = batches(0, 1)
    shares = [batches(rank, world) for rank in range(world)]
    assert [list(chain.from_iterable(parts)) for parts in zip(*shares, strict=True)] == alone
    assert all(len(share) >= batch // world for parts in shares for share in parts)
    seen = [index for keys in alone for _, index in keys]
    assert len(set(seen)) == len(seen) == images // batch * batch


def test_epochs_differ_and_seeds_differ() -> None:
    """Every epoch and every seed has its own order."""

    def order(seed: int, epoch: int) -> list[int]:
        sampler = GlobalBatches(100, 10, seed, 0, 1)
        sampler.epoch = epoch
        return [index for batch in sampler for _, index in batch]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


@pytest.mark.parametrize(
    ("batch", "world", "message"),
    [
        (11, 1, "batch_size 11 is larger than the training set of 10 images"),
        (2, 3, "3 processes no image each"),
    ],
)
def test_batches_that_cannot_be_made_are_refused(batch: int, world: int, message: str) -> None:
    """The message names the numbers."""
    with pytest.raises(ValueError, match=message):
        GlobalBatches(10, batch, 0, 0, world)


def test_loader_workers_change_nothing(digits: tuple[LabelledImages, LabelledImages]) -> None:
    """Two workers give the batches of none, crop by crop."""
    recipe = load_recipe("digits_vgg_a")
    batches = GlobalBatches(len(digits[0]), recipe.batch_size, recipe.seed, 0, 1)
    alone, helped = (Feed(TrainingCrops(digits[0], recipe), batches, workers, CPU) for workers in (0, 2))
    for _, (one, other) in zip(range(3), zip(alone, helped, strict=True), strict=False):
        assert all(torch.equal(*pair) for pair in zip(one[:4], other[:4], strict=True))


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 50))
def test_a_share_is_cut_into_tasks_that_make_it_up(batch: int, world: int, size: int) -> None:
    """In order, whatever the size of a task, so that all processes that load images work on the same batch."""
    for rank in range(min(world, batch)):
        batches = GlobalBatches(100, batch, seed=0, rank=rank, world=min(world, batch))
        pieces = Pieces(batches, size)
        tasks = iter(pieces)
        for share in batches:
            own = list(islice(tasks, pieces.per_batch))
            assert [key for task in own for key in task] == share
            assert max(map(len, own)) <= size
        assert next(tasks, None) is None
        assert len(pieces) == len(batches) * pieces.per_batch


def test_all_processes_that_load_work_on_the_first_batch() -> None:
    """Of 256 crops each of eight makes 32; no task has fewer than eight, unless the whole share has."""
    assert [task_size(256, workers) for workers in (0, 1, 8, 64)] == [256, 256, 32, 8]
    assert task_size(3, 16) == 3


def test_every_test_image_comes_once_in_batches_of_one_shape(tmp_path: Path) -> None:
    """Over two processes, whole images of several shapes."""
    for place in range(10):
        (tmp_path / "ab"[place % 2]).mkdir(exist_ok=True)
        Image.new("RGB", (70 + place, 80)).save(tmp_path / "ab"[place % 2] / f"{place}.png")
    split, _ = load_splits(str(tmp_path))
    images = EvaluationImages(split, scale=64, crop_size=None)
    batches = [batch for rank in range(2) for batch in in_batches(share_of(images, rank, 2), 3)]
    assert sum(map(len, batches)) == len(split)
    assert all(len({item.pixels.shape for item in batch}) == 1 and len(batch) <= 3 for batch in batches)
    assert all(min(batch[0].pixels.shape[1:]) == 64 for batch in batches)
    assert len({batch[0].pixels.shape for batch in batches}) > 1


def test_recipe_crops_have_the_recipes_size(digits: tuple[LabelledImages, LabelledImages]) -> None:
    """8-bit RGB crops with their labels."""
    recipe = Recipe(model="vgg_a", crop_size=32, train_scales=(32, 40), test_scale=32, batch_size=16)
    pixels, labels = next(iter(Feed(TrainingCrops(digits[0], recipe), GlobalBatches(1437, 16, 0, 0, 1), 0, CPU)))[:2]
    assert pixels.shape == (16, 3, 32, 32)
    assert pixels.dtype == torch.uint8
    assert labels.shape == (16,)


@given(st.integers(1, 60), st.data())
def test_an_interrupted_epoch_goes_on_where_it_was(images: int, data: st.DataObject) -> None:
    """The batches behind the consumed ones are those of the whole epoch."""
    batches = GlobalBatches(images, data.draw(st.integers(1, images)), seed=1, rank=0, world=1)
    batches.epoch = 3
    whole = list(batches)
    batches.consumed = data.draw(st.integers(0, len(whole)))
    assert list(batches) == whole[batches.consumed :]
    assert len(batches) == len(whole) - batches.consumed


def test_the_nets_input_is_the_crop_shifted_minus_the_mean(digits: tuple[LabelledImages, LabelledImages]) -> None:
    """The colours of each image move by its own draws; without a shift, only the mean is subtracted."""
    recipe = Recipe(model="vgg_a", crop_size=32, train_scales=(32, 40), test_scale=32, batch_size=16)
    batch = next(iter(Feed(TrainingCrops(digits[0], recipe), GlobalBatches(1437, 16, 0, 0, 1), 0, CPU)))
    images = training_images(batch, recipe, IMAGENET_COLOURS, torch.float64)
    difference = images - (batch.pixels.double() - torch.tensor(IMAGENET_COLOURS.mean).view(1, 3, 1, 1))
    assert difference.std((2, 3)).max() < 1e-5
    assert difference.mean((2, 3)).std(0).min() > 0.5
    assert batch.colours[:, :3].std() == pytest.approx(1, abs=0.3)
    assert batch.colours[:, 3:].abs().max() <= 1
    divided = training_images(batch, recipe, replace(IMAGENET_COLOURS, deviation=(58.0, 57.0, 50.0)), torch.float64)
    torch.testing.assert_close(divided * torch.tensor([58.0, 57.0, 50.0]).view(1, 3, 1, 1), images)


def test_jitter_goes_by_the_last_three_draws() -> None:
    """Brightness of a grey image and saturation of a red one, each computed here; the first three draws change none."""
    recipe = Recipe(model="vgg_a", colour_shift=0, colour_jitter=0.5)
    pixels = torch.tensor([[100, 100, 100], [200, 0, 0]], dtype=torch.uint8).view(2, 3, 1, 1).expand(2, 3, 32, 32)
    colours = torch.tensor([[2.0, -1.5, 0.5, 0.4, 0.0, 0.0], [-2.0, 1.5, 0.25, 0.0, 0.0, -1.0]])
    batch = Batch(pixels, torch.zeros(2, dtype=torch.long), colours, torch.zeros(2, 0), [])
    images = training_images(batch, recipe, IMAGENET_COLOURS, torch.float64)
    grey = 0.299 * 200  # the red image's luma, which half the saturation brings it half the way to
    expected = torch.tensor([[120, 120, 120], [(200 + grey) / 2, grey / 2, grey / 2]], dtype=torch.float64)
    expected = (expected - torch.tensor(IMAGENET_COLOURS.mean))[:, :, None, None].expand(2, 3, 32, 32)
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)
