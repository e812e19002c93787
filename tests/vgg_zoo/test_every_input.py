"""Every public function that takes an image or a net, with every kind of image, mode, arithmetic and thread count.

The two tables are the test: + is computed, and equal to what the PIL image or the net in eval mode gives; - is refused
by a sentence.
"""

import copy
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import vgg_zoo
from tests.helpers import small
from vgg_zoo import descriptors
from vgg_zoo.descriptors import DenseDescriptor
from vgg_zoo.evaluation import DenseEvaluator, Fusion
from vgg_zoo.features import ImageDescriptor
from vgg_zoo.images.inputs import at_scales, decoded
from vgg_zoo.localisation import Localiser

PHOTO = np.random.default_rng(0).integers(0, 256, (70, 100, 3), dtype=np.uint8)
SCALES = (64, 75)

# The kinds of image, as one and, where several are taken, as a list of it; a column holds two.
IMAGES = """
                              path str PIL array grey bytes undecoded chw_uint8 tensor chw float empty list none
DenseEvaluator()                 +   +   +     +    +     +         +         +      +   -     -     -    -    -
DenseEvaluator.predict           +   +   +     +    +     +         +         +      +   -     -     -    -    -
DenseEvaluator.class_score_map   +   +   +     +    +     +         +         +      -   -     -     -    -    -
Fusion()                         +   +   +     +    +     +         +         +      +   -     -     -    -    -
Fusion.predict                   +   +   +     +    +     +         +         +      +   -     -     -    -    -
ImageDescriptor.transform        +   +   +     +    +     +         +         +      +   -     -     -    -    -
ImageDescriptor.feature_maps     +   +   +     +    +     +         +         -      +   -     -     -    -    -
Localiser()                      +   +   +     +    +     +         +         +      +   -     -     -    -    -
Localiser.draw                   +   +   +     +    +     +         +         +      -   -     -     -    -    -
explain                          +   +   +     +    +     +         +         +      -   -     -     -    -    -
descriptors.feature_maps         -   -   -     -    -     -         -         -      +   -     -     -    -    -
"""

# The net's own mode, its arithmetic and the number of threads that use it at once.
NETS = """
                              eval train bfloat16 autocast threads double
DenseEvaluator()                 +     +        +        +       +      +
DenseEvaluator.predict           +     +        +        +       +      +
DenseEvaluator.class_score_map   +     +        +        +       +      +
Fusion()                         +     +        +        +       +      +
Fusion.predict                   +     +        +        +       +      +
ImageDescriptor.transform        +     +        +        +       +      +
ImageDescriptor.feature_maps     +     +        +        +       +      +
Localiser()                      +     +        +        +       +      +
Localiser.draw                   +     +        +        +       +      +
explain                          +     +        +        +       +      +
DenseDescriptor.of_rescaled      +     +        +        +       +      +
descriptors.feature_maps         +     +        +        +       +      +
"""

EITHER = {"DenseEvaluator()", "DenseEvaluator.predict", "Fusion()", "Fusion.predict", "Localiser()"}
"""Take one image, or several in an iterable."""

SEVERAL = EITHER | {"ImageDescriptor.transform"}
"""Take images in an iterable."""

ELSEWHERE = {"VGG", "BoxVGG", "fast_inference", "initialise", "initialise_from", "fuse", "verify_weights"}
"""Public names that take tensors or nets as timm's models do, or no image: test_timm_contract, fast.test_net, ..."""


@cache
def box_net() -> Any:
    """One that predicts boxes."""
    torch.manual_seed(1)
    return small("vgg_a_box", num_classes=5)


def numbers_of(found: Any) -> Any:
    """Posteriors by the class, whose order nearly equal ones may change; a row for each of several images."""
    if isinstance(found[0], list):
        return torch.stack([numbers_of(each) for each in found])
    return torch.tensor([value for _, value in sorted(found)])


def in_pairs(found: Any) -> Any:
    """Without the boxes."""
    return [in_pairs(each) if isinstance(each, list) else each[:2] for each in found]


USES: dict[str, Callable[[Any, Any], Any]] = {
    "DenseEvaluator()": lambda net, images: DenseEvaluator(net, SCALES)(images),
    "DenseEvaluator.predict": lambda net, images: numbers_of(DenseEvaluator(net, SCALES).predict(images, 9)),
    "DenseEvaluator.class_score_map": lambda net, image: DenseEvaluator(net, SCALES).class_score_map(image, 75),
    "Fusion()": lambda net, images: Fusion([DenseEvaluator(net, SCALES), DenseEvaluator(net, 64)])(images),
    "Fusion.predict": lambda net, images: numbers_of(Fusion([net, net], SCALES).predict(images, 9)),
    "ImageDescriptor.transform": lambda net, images: torch.from_numpy(
        ImageDescriptor(net, scales=SCALES).transform(images)
    ),
    "ImageDescriptor.feature_maps": lambda net, image: ImageDescriptor(net).feature_maps(image, "conv3_1")["conv3_1"],
    "Localiser()": lambda net, images: numbers_of(
        in_pairs(Localiser(box_net(), DenseEvaluator(net, SCALES), 64)(images))
    ),
    "Localiser.draw": lambda net, image: torch.tensor(
        Localiser(box_net(), DenseEvaluator(net, SCALES), 64).draw(image).size
    ),
    "explain": lambda net, image: torch.from_numpy(
        np.sort(vgg_zoo.explain(image, net, 9, scales=SCALES).maps[0].posteriors, 0)
    ),
    "DenseDescriptor.of_rescaled": lambda net, image: DenseDescriptor(net, scales=SCALES).of_rescaled(
        [at_scales(decoded(image), SCALES)]
    ),
    "descriptors.feature_maps": lambda net, image: descriptors.feature_maps(net, image, "conv3_1")["conv3_1"],
}


def rows(table: str) -> list[tuple[str, str, bool]]:
    """Symbol, column and whether it is computed."""
    head, *lines = (line.split() for line in table.strip().splitlines())
    return [(name, column, mark == "+") for name, *marks in lines for column, mark in zip(head, marks, strict=True)]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The photo in every form; anything else is refused."""
    path = tmp_path_factory.mktemp("images") / "photo.png"
    Image.fromarray(PHOTO).save(path)
    tensor = torch.from_numpy(PHOTO.transpose(2, 0, 1).copy())[None]
    return {
        "path": path,
        "str": str(path),
        "PIL": Image.fromarray(PHOTO),
        "array": PHOTO,
        "grey": np.asarray(Image.fromarray(PHOTO).convert("L")),
        "bytes": path.read_bytes(),
        "undecoded": {"bytes": path.read_bytes(), "path": None},
        "chw_uint8": tensor[0],
        "tensor": tensor,
        "chw": PHOTO.transpose(2, 0, 1),
        "float": PHOTO / 255,
        "empty": PHOTO[:0],
        "list": [[1, 2], [3, 4]],
        "none": None,
    }


@pytest.fixture(scope="module")
def net() -> Any:
    """A small net D whose posteriors tell images apart."""
    torch.manual_seed(0)
    net = small()
    with torch.no_grad():
        net.head.fc.weight *= 300
    return net


@pytest.mark.parametrize(("symbol", "kind", "computed"), rows(IMAGES))
def test_every_kind_of_image(net: Any, kinds: dict[str, Any], symbol: str, kind: str, computed: bool) -> None:
    """Is computed as the PIL image is, or refused by a sentence."""
    image = kinds[kind]
    given = [image] if symbol in SEVERAL else image
    if not computed:
        with pytest.raises((ValueError, TypeError, AttributeError)) as refused:
            USES[symbol](net, given)
        assert not isinstance(refused.value, TypeError | AttributeError) or symbol == "descriptors.feature_maps"
        assert len(str(refused.value).split()) > 5
        return
    same = kinds["tensor"] if symbol == "descriptors.feature_maps" else kinds["PIL"]
    if kind == "grey":
        same = same.convert("L")
    expected = USES[symbol](net, [same] if symbol in SEVERAL else same)
    digits = 1e-5 if kind == "tensor" else 0  # its memory's layout decides how sums are rounded
    torch.testing.assert_close(USES[symbol](net, given), expected, rtol=digits, atol=digits)


@pytest.mark.parametrize("symbol", sorted(SEVERAL))
def test_columns_of_datasets(net: Any, kinds: dict[str, Any], symbol: str) -> None:
    """Decoded by us, as lists, generators and stacks are."""
    table = datasets.Dataset.from_dict({"image": [kinds["undecoded"]] * 2}).cast_column("image", datasets.Image())
    expected = USES[symbol](net, [PHOTO, PHOTO])
    formatted = [table.with_format(kind)["image"] for kind in ("torch", "numpy")]
    batches = DataLoader([(kinds["chw_uint8"], 3)] * 2, batch_size=2)  # type: ignore[arg-type]
    stacks = (np.stack([PHOTO, PHOTO]), torch.cat([kinds["tensor"]] * 2))
    generator = (PHOTO for _ in range(2))
    for several in (table["image"], *formatted, batches, generator, *stacks, (kinds["PIL"],) * 2):
        if not isinstance(several, tuple):  # a tuple of two is an image with its box to ImageDescriptor's pairs
            torch.testing.assert_close(USES[symbol](net, several), expected, rtol=0, atol=0)
    for one in ("path", "str", "PIL", "array", "grey", "bytes", "undecoded", "chw_uint8"):
        if symbol in EITHER:
            same = kinds["PIL"].convert("L") if one == "grey" else PHOTO
            torch.testing.assert_close(USES[symbol](net, kinds[one]), USES[symbol](net, [same])[0], rtol=0, atol=0)
            continue
        with pytest.raises(ValueError, match="but several are expected; give a list"):
            USES[symbol](net, kinds[one])


@pytest.mark.parametrize(("symbol", "how", "computed"), rows(NETS))
def test_every_mode_arithmetic_and_number_of_threads(
    net: Any, kinds: dict[str, Any], symbol: str, how: str, computed: bool
) -> None:
    """As one thread computes it of the same weights in eval mode; near float32 in fewer digits."""
    assert computed
    image: Any = kinds["tensor"] if symbol == "descriptors.feature_maps" else kinds["PIL"]
    given = [image] if symbol in SEVERAL else image
    expected = USES[symbol](net, given).double()
    used = copy.deepcopy(net)
    if how in ("bfloat16", "double"):
        used = used.to(getattr(torch, how))
    used.train(how in ("train", "threads"))
    before = {key: value.clone() for key, value in used.state_dict().items()}

    def use(_: int) -> Any:
        with torch.autocast("cpu", enabled=how == "autocast"):
            return USES[symbol](used, given)

    with ThreadPoolExecutor(4) as pool:
        found = [use(0), use(1), *(pool.map(use, range(4)) if how == "threads" else ())]
    for one in found[1:]:
        torch.testing.assert_close(one, found[0], rtol=0, atol=0)
    error = (found[0].double() - expected).norm() / expected.norm()
    assert error < (0.1 if how in ("bfloat16", "autocast") else 1e-4)
    assert used.training is (how in ("train", "threads"))
    assert all(torch.equal(value, before[key]) for key, value in used.state_dict().items())


def test_no_public_name_is_left_out() -> None:
    """What `vgg_zoo` exports is in the tables, or takes no image."""
    listed = {name.split(".")[0].removesuffix("()") for name in USES}
    public = {name for name in vgg_zoo.__all__ if callable(getattr(vgg_zoo, name))} | {"ImageDescriptor"}
    assert public - listed - ELSEWHERE == {"Configuration", "Explanation"}
    for kind in (DenseEvaluator, ImageDescriptor, Localiser):
        methods = inspect.getmembers(kind, inspect.isfunction)
        takes = {
            name for name, method in methods if {"image", "images", "X"} & set(inspect.signature(method).parameters)
        }
        takes = {name for name in takes if not name.startswith("_") or name == "__call__"}
        mine = {"__call__" if name.endswith("()") else name.split(".")[1] for name in USES if kind.__name__ in name}
        assert takes - mine <= {"of_rescaled", "of_each", "batches", "fit", "fit_transform"}
