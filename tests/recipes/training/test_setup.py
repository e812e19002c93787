"""What is learned, checked before a run begins."""

from dataclasses import replace
from pathlib import Path

import datasets
import pytest
from PIL import Image

from recipes.data.options import DataSource
from recipes.recipe import Recipe
from recipes.training.setup import load

RECIPE = Recipe(model="vgg_d", init_from="a")


def test_a_batch_larger_than_the_set_is_refused_before_a_run_begins() -> None:
    """With the set's size and the way out, whatever is learned."""
    source = DataSource(spec="digits")
    assert len(load(replace(RECIPE, batch_size=1437), source).training) == 1437
    message = r"batch_size 1438 is larger than the training set of 1437 images; take at most 1437: --set batch_size=359"
    with pytest.raises(ValueError, match=message):
        load(replace(RECIPE, batch_size=1438), source)


def test_a_small_set_has_smaller_batches_where_the_recipe_says_so() -> None:
    """A quarter of the images, for four steps an epoch; one image at the least; a large set has those of the recipe."""
    small = replace(RECIPE, batch_size=16, fit_batch=True)
    assert [small.fitted(images).batch_size for images in (1, 3, 4, 10, 63, 64, 1000)] == [1, 1, 1, 2, 15, 16, 16]
    assert small.fitted(10).steps(10) == 74 * 5
    assert replace(small, fit_batch=False).fitted(10).batch_size == 16
    assert len(load(replace(small, batch_size=1438), DataSource(spec="digits")).training) == 1437


def test_a_training_set_of_one_class_is_refused(tmp_path: Path) -> None:
    """Its loss falls to 0 and its error is 0: nothing else would tell."""
    kinds = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["ant", "bee", "cat"]))
    rows = {"image": [Image.new("RGB", (8, 8))] * 10, "label": [1] * 10}
    datasets.Dataset.from_dict(rows, features=kinds).save_to_disk(str(tmp_path / "set"))
    message = r"all 8 training images are of one class, 'bee', of 3; .*--label-column"
    with pytest.raises(ValueError, match=message):
        load(replace(RECIPE, batch_size=4), DataSource(spec=str(tmp_path / "set")))
