"""Data sets from everywhere, and batches that do not depend on processes or workers."""

from itertools import chain
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from recipes.data import (
    EvaluationImages,
    GlobalBatches,
    LabelledImages,
    evaluation_batches,
    load_splits,
    training_loader,
    training_mean,
)
from recipes.recipe import Recipe, load_recipe


@pytest.fixture(scope="module")
def digits() -> tuple[LabelledImages, LabelledImages]:
    """The digits' two splits."""
    return load_splits("digits")


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two classes, five images each, of several sizes."""
    for label, colour in (("ant", (255, 0, 0)), ("bee", (0, 0, 255))):
        (tmp_path / "set" / label).mkdir(parents=True)
        for place in range(5):
            Image.new("RGB", (70 + place, 80), colour).save(tmp_path / "set" / label / f"{place}.png")
    return tmp_path / "set"


def test_the_digits_are_all_there_and_a_fifth_is_held_out(digits: tuple[LabelledImages, LabelledImages]) -> None:
    """1,797 images, ten classes, every class held out in proportion, no image in both splits."""
    training, held_out = digits
    assert len(training) + len(held_out) == 1797
    assert len(held_out) == 360
    assert training.class_names == tuple("0123456789")
    counts = np.bincount([held_out.label(i) for i in range(len(held_out))])
    assert counts.min() >= 34
    assert held_out.image(0).mode == "RGB"


def test_the_held_out_fifth_is_the_same_every_time(digits: tuple[LabelledImages, LabelledImages]) -> None:
    """A result can be compared with yesterday's."""
    again = load_splits("digits")[1]
    assert [again.label(i) for i in range(360)] == [digits[1].label(i) for i in range(360)]


def test_a_folder_of_images_is_a_data_set(image_folder: Path) -> None:
    """Classes are the folders' names, in order."""
    training, held_out = load_splits(str(image_folder))
    assert training.class_names == ("ant", "bee")
    assert (len(training), len(held_out)) == (8, 2)
    red = training_mean(training)
    assert red == pytest.approx((127.5, 0, 127.5))


def test_a_folder_with_splits_keeps_them(image_folder: Path, tmp_path: Path) -> None:
    """train/ and val/ are used as they are."""
    (tmp_path / "both").mkdir()
    image_folder.rename(tmp_path / "both" / "train")
    for label in ("ant", "bee"):
        (tmp_path / "both" / "val" / label).mkdir(parents=True)
        Image.new("L", (64, 64)).save(tmp_path / "both" / "val" / label / "x.png")
    training, validation = load_splits(str(tmp_path / "both"))
    assert (len(training), len(validation)) == (10, 2)


def test_parquet_and_saved_sets_are_data_sets(image_folder: Path, tmp_path: Path) -> None:
    """The same images come out of a parquet file and of `save_to_disk`."""
    rows = datasets.load_dataset(str(image_folder), split="train")
    rows.to_parquet(tmp_path / "set.parquet")
    rows.save_to_disk(tmp_path / "saved")
    for spec in (tmp_path / "set.parquet", tmp_path / "saved"):
        training, held_out = load_splits(str(spec))
        assert (len(training), len(held_out)) == (8, 2)
        assert training.image(0).size[1] == 80


def test_nothing_at_the_place_named_is_one_clear_error(tmp_path: Path) -> None:
    """The message names the value and what could be given."""
    with pytest.raises(ValueError, match=r"cannot load the data set '.*nowhere'.*'digits', a folder"):
        load_splits(str(tmp_path / "nowhere"))


def test_a_set_without_classes_lists_its_columns(tmp_path: Path) -> None:
    """The message names the columns that there are."""
    datasets.Dataset.from_dict({"text": ["a", "b"]}).save_to_disk(tmp_path / "texts")
    with pytest.raises(ValueError, match=r"needs a column of type Image .* it has text \(Value\)"):
        load_splits(str(tmp_path / "texts"))


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
    """Every epoch has its own order, and so has every seed."""

    def order(seed: int, epoch: int) -> list[int]:
        sampler = GlobalBatches(100, 10, seed, 0, 1)
        sampler.epoch = epoch
        return [index for batch in sampler for _, index in batch]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


@pytest.mark.parametrize(
    ("batch", "world", "message"),
    [(11, 1, "batch_size 11 is larger than the training set of 10 images"), (2, 3, "3 processes no image each")],
)
def test_batches_that_cannot_be_made_are_refused(batch: int, world: int, message: str) -> None:
    """The message names the numbers."""
    with pytest.raises(ValueError, match=message):
        GlobalBatches(10, batch, 0, 0, world)


def test_loader_workers_change_nothing(digits: tuple[LabelledImages, LabelledImages]) -> None:
    """Two workers give the batches of none, crop by crop."""
    recipe = load_recipe("digits_vgg_a")
    batches = GlobalBatches(len(digits[0]), recipe.batch_size, recipe.seed, 0, 1)
    alone = training_loader(digits[0], recipe, batches, workers=0)
    helped = training_loader(digits[0], recipe, batches, workers=2)
    for _, (one, other) in zip(range(3), zip(alone, helped, strict=True), strict=False):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_every_test_image_comes_once_in_batches_of_one_shape(image_folder: Path) -> None:
    """Over two processes, whole images of several shapes."""
    split, _ = load_splits(str(image_folder))
    images = EvaluationImages(split, scale=64, crop_size=None)
    batches = [batch for rank in range(2) for batch in evaluation_batches(images, rank, 2, most=3)]
    assert sum(len(labels) for _, labels in batches) == len(split)
    assert all(pixels.shape[0] == len(labels) <= 3 and min(pixels.shape[2:]) == 64 for pixels, labels in batches)
    assert len({tuple(pixels.shape[1:]) for pixels, _ in batches}) > 1


def test_recipe_crops_have_the_recipes_size(digits: tuple[LabelledImages, LabelledImages]) -> None:
    """8-bit RGB crops with their labels."""
    recipe = Recipe(model="vgg_a", crop_size=32, train_scales=(32, 40), test_scale=32, batch_size=16)
    pixels, labels = next(iter(training_loader(digits[0], recipe, GlobalBatches(1437, 16, 0, 0, 1), workers=0)))
    assert pixels.shape == (16, 3, 32, 32)
    assert pixels.dtype == torch.uint8
    assert labels.shape == (16,)
