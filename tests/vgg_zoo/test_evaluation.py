"""Dense posteriors against their parts computed by hand."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import nn

import vgg_zoo  # noqa: F401 (registers the nets)
from tests.helpers import small
from vgg_zoo.evaluation import PROTOCOLS, DenseEvaluator, Fusion, fuse
from vgg_zoo.images.decoding import BadImageError
from vgg_zoo.images.preprocessing import rescale
from vgg_zoo.weights.folder import save_folder


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """A small net D."""
    torch.manual_seed(0)
    small = {"width_multiplier": 0.1, "head_hidden_size": 24, "head_kernel_size": 2, "num_classes": 7}
    net = timm.create_model("vgg_d", **small).eval()
    with torch.no_grad():
        net.head.fc.weight *= 300  # a random net has nearly the same posteriors for all images
    return net


PHOTOS = [load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
SIZES = [(120, 200), (200, 120), (64, 64), (90, 333), (120, 200), (65, 64), (300, 300)]


def photos() -> list[Image.Image]:
    """Parts of two photos, of several sizes, some alike."""
    return [Image.fromarray(PHOTOS[place % 2][:h, :w]) for place, (h, w) in enumerate(SIZES)]


def prepared(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """As the net's pretrained_cfg says."""
    cfg = model.pretrained_cfg
    mean, std = (torch.tensor(cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return (pixels.float() / 255 - mean) / std


def by_hand(model: Any, image: Image.Image, scale: int, protocol: str, softmax_first: bool = False) -> torch.Tensor:
    """One image at one scale, step by step as the paper tells it."""
    whole = rescale(np.array(image), scale)[None]
    height, width = whole.shape[2:]
    both = []
    for pixels in (whole, whole.flip(3)):
        parts = []
        if protocol != "multi_crop":
            score_map = model.class_score_map(prepared(model, pixels))
            per_place = score_map.softmax(1).mean((2, 3)) if softmax_first else score_map.mean((2, 3)).softmax(1)
            parts.append(per_place)
        if protocol != "dense":
            crops = []
            for row in range(5):
                for column in range(5):
                    y, x = round(row * (height - 64) / 4), round(column * (width - 64) / 4)
                    crops.append(model(prepared(model, pixels[:, :, y : y + 64, x : x + 64])).softmax(1))
            assert len(crops) == 25
            parts.append(torch.cat(crops).mean(0, keepdim=True))
        both.append(torch.stack(parts).mean(0))
    return torch.stack(both).mean(0)[0]


@pytest.mark.parametrize("softmax_first", [False, True])
@pytest.mark.parametrize(
    "protocol", ["dense", *(pytest.param(name, marks=pytest.mark.slow) for name in PROTOCOLS if name != "dense")]
)
@torch.no_grad()
def test_the_evaluator_does_what_the_paper_says(model: Any, protocol: str, softmax_first: bool) -> None:
    """Every protocol, three scales, images of several sizes."""
    images, scales = photos(), (64, 96, 131)
    scores = DenseEvaluator(model, scales, protocol=protocol, softmax_first=softmax_first)(images)
    assert scores.shape == (len(images), 7)
    torch.testing.assert_close(scores.sum(1), torch.ones(len(images)))
    for image, row in zip(images, scores, strict=True):
        expected = torch.stack([by_hand(model, image, scale, protocol, softmax_first) for scale in scales]).mean(0)
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-6)
    assert scores.std(0).min() > 1e-2  # posteriors tell the images apart


def test_a_posterior_depends_on_its_image_alone(model: Any) -> None:
    """Not on the others, their order, the size of a batch or of a tile."""
    images = photos()
    scores = DenseEvaluator(model, (64, 160))(images)
    alone = torch.cat([DenseEvaluator(model, (64, 160))([image]) for image in images])
    backwards = DenseEvaluator(model, (64, 160))(images[::-1]).flip(0)
    tiled = DenseEvaluator(model, (64, 160), most_pixels=64 * 64)(images)
    for other in (alone, backwards, tiled):
        torch.testing.assert_close(other, scores, rtol=1e-4, atol=1e-6)


def test_dense_at_the_crops_size_is_a_single_crop(model: Any) -> None:
    """And multi-crop is then one crop, too."""
    square = [Image.fromarray(PHOTOS[0][:200, :200])]
    dense = DenseEvaluator(model, (64,))(square)
    torch.testing.assert_close(DenseEvaluator(model, (64,), protocol="multi_crop")(square), dense)


def test_paths_arrays_and_images_are_alike(model: Any, tmp_path: Path) -> None:
    """Grey arrays, too."""
    image = photos()[0]
    image.save(tmp_path / "photo.png")
    evaluator = DenseEvaluator(model, (64,))
    scores = evaluator([image, tmp_path / "photo.png", str(tmp_path / "photo.png"), np.asarray(image)])
    assert (scores - scores[0]).abs().max() == 0
    grey = evaluator([np.asarray(image.convert("L")), image.convert("L")])
    assert torch.equal(grey[0], grey[1])


def test_bad_images_are_named(model: Any, tmp_path: Path) -> None:
    """With "raise" an error; otherwise a warning and a row of NaN, and the other images are evaluated."""
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    images = [photos()[0], tmp_path / "bad.jpg", photos()[1]]
    evaluator = DenseEvaluator(model, (64,))
    with pytest.raises(BadImageError, match=r"image 1 \(.*bad.jpg\): no image format"):
        evaluator(images)
    with pytest.warns(UserWarning, match=r"1 of 3 images are rows of NaN: image 1 \(.*bad.jpg\): no image format"):
        scores = evaluator(images, on_error="nan")
    assert scores[1].isnan().all()
    torch.testing.assert_close(scores[[0, 2]], evaluator(images[::2]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "sparse"}, "unknown protocol 'sparse'; choose from dense, multi_crop, multi_crop_and_dense"),
        ({"scales": (63, 96)}, r"at least 64 pixels, the net's crop; got \(63, 96\)"),
        ({"scales": ()}, "scales must be"),
        ({"most_pixels": 100}, "most_pixels must be at least 64², the smallest image; got 100"),
    ],
)
def test_wrong_settings_are_named(model: Any, changes: dict[str, Any], message: str) -> None:
    """With the options."""
    with pytest.raises(ValueError, match=message):
        DenseEvaluator(model, **{"scales": (64,), **changes})


def test_wrong_inputs_are_named(model: Any) -> None:
    """No images, floats, four dimensions."""
    evaluator = DenseEvaluator(model, (64,))
    with pytest.raises(ValueError, match="no images"):
        evaluator([])
    with pytest.raises(ValueError, match=r"got an array of \(64, 64, 3\) float64; multiply floats in 0–1 by 255"):
        evaluator([np.zeros((64, 64, 3))])
    with pytest.raises(
        ValueError,
        match=r"got a tensor of \(3, 64, 64\) torch.float32; of floats in 0–1 give",
    ):
        evaluator([torch.zeros(3, 64, 64)])


def test_the_likeliest_classes_come_with_their_names(model: Any) -> None:
    """In falling order; numbers where the net has no names, ImageNet's where it has 1000 classes."""
    (best,) = DenseEvaluator(model, (64,)).predict(photos()[:1], top=3)
    assert len(best) == 3
    assert best[0][1] >= best[1][1] >= best[2][1]
    assert {name for name, _ in best} <= set("0123456")
    imagenet = DenseEvaluator(small("vgg_a", num_classes=1000), (64,))
    assert imagenet.class_names[:2] == ["tench, Tinca tinca", "goldfish, Carassius auratus"]


def test_the_map_of_one_image(model: Any) -> None:
    """(classes, h, w), whose mean gives the dense posterior."""
    evaluator = DenseEvaluator(model, (96,), flip=False)
    score_map = evaluator.class_score_map(photos()[0], 96)
    assert score_map.shape == (7, 2, 4)
    torch.testing.assert_close(score_map.mean((1, 2)).softmax(0)[None], evaluator(photos()[:1]))


def test_a_fusion_is_the_mean_of_its_nets(model: Any) -> None:
    """Each with its own scales; of saved posteriors as of nets."""
    other = small("vgg_a", num_classes=7)
    one, two = DenseEvaluator(model, (64, 96)), DenseEvaluator(other, (128,), protocol="multi_crop")
    expected = (one(photos()) + two(photos())) / 2
    torch.testing.assert_close(Fusion([one, two])(photos()), expected)
    torch.testing.assert_close(fuse([one(photos()), two(photos())]), expected)
    with pytest.raises(ValueError, match=r"of the same classes; got 2, of \[5, 7\]"):
        Fusion([one, DenseEvaluator(small("vgg_a"), (64,))])
    with pytest.raises(ValueError, match="same classes; got 0"):
        Fusion([])
    with pytest.raises(ValueError, match=r"different shapes cannot be fused: \[\(2, 7\), \(3, 7\)\]"):
        fuse([torch.zeros(2, 7), torch.zeros(3, 7)])


def test_a_fusion_names_bad_images_or_leaves_them_out(model: Any) -> None:
    """As an evaluator does: an error, or a row of NaN."""
    fusion, images = (
        Fusion([DenseEvaluator(model, (64,)), DenseEvaluator(model, (96,))]),
        [PHOTOS[0][:64, :64], b"text"],
    )
    with pytest.raises(BadImageError):
        fusion(images)
    with pytest.warns(UserWarning, match="1 of 2 images are rows of NaN: image 1: "):
        found = fusion(images, on_error="nan")
    assert found.isnan().all(1).tolist() == [False, True]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_soft_max_is_taken_of_single_precision(model: Any, dtype: torch.dtype) -> None:
    """Of a net in half precision too: its posteriors sum to 1 by more than half precision's three digits."""
    half = copy.deepcopy(model).to(dtype)
    found = DenseEvaluator(half, (64, 96))(photos()[:2])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.sum(1), torch.ones(2), rtol=1e-6, atol=1e-6)


def test_an_evaluator_is_kept_in_timms_folder(model: Any, tmp_path: Path) -> None:
    """Settings and net come back; timm reads the folder without them."""
    evaluator = DenseEvaluator(model, (64, 131), flip=False, protocol="multi_crop", softmax_first=True, ceil_mode=True)
    evaluator.save_pretrained(tmp_path)
    loaded = DenseEvaluator.from_pretrained(tmp_path)
    assert loaded.settings == evaluator.settings
    assert (loaded.flip, loaded.protocol, loaded.softmax_first, loaded.ceil_mode) == (False, "multi_crop", True, True)
    torch.testing.assert_close(loaded(photos()), evaluator(photos()))
    assert timm.create_model(f"local-dir:{tmp_path}", pretrained=True).num_classes == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ('{"scales": [64]}', r"must have exactly the keys .*; it has \['scales'\]"),
        ("[]", "it has list"),
        (
            '{"scales": 64, "flip": true, "protocol": "dense", "softmax_first": false, "ceil_mode": false}',
            "scales must be a list; got 64",
        ),
    ],
)
def test_wrong_settings_files_are_refused(model: Any, text: str, message: str, tmp_path: Path) -> None:
    """Rather than guessed at."""
    DenseEvaluator(model, (64,)).save_pretrained(tmp_path)
    (tmp_path / "dense_eval.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        DenseEvaluator.from_pretrained(tmp_path)


def test_a_folder_without_settings_is_refused(tmp_path: Path) -> None:
    """The message says what writes them."""
    with pytest.raises(ValueError, match=r"has no dense_eval.json; `DenseEvaluator.save_pretrained` writes it"):
        DenseEvaluator.from_pretrained(tmp_path)


def named(tmp_path: Path) -> str:
    """A folder of a net of three named classes."""
    net = small(num_classes=3)
    save_folder(
        net,
        tmp_path,
        tag="t",
        licence=None,
        mean=(9,) * 3,
        input_size=(3, 64, 64),
        crop_pct=1.0,
        class_names=["owl", "cat", "dog"],
    )
    return f"local-dir:{tmp_path}"


def names_of(net: Any) -> set[str]:
    """The classes that the evaluator tells."""
    evaluator = DenseEvaluator(net, (64,))
    scores = evaluator(photos()[:2])
    torch.testing.assert_close(scores.sum(1), torch.ones(2))
    assert scores.shape[1] == len(evaluator.class_names)
    return {name for name, _ in evaluator.predict(photos()[:1], top=9)[0]}


def test_class_names_are_those_of_the_nets_own_last_layer(tmp_path: Path) -> None:
    """Not those of weights that were loaded for other classes, whatever way the last layer was replaced."""
    folder = named(tmp_path)
    assert names_of(timm.create_model(folder, pretrained=True)) == {"owl", "cat", "dog"}
    for classes in (2, 7):
        assert names_of(timm.create_model(folder, pretrained=True, num_classes=classes)) == set(
            map(str, range(classes))
        )
    net = timm.create_model(folder, pretrained=True)
    net.reset_classifier(3)  # as many, but other ones
    assert names_of(net) == {"0", "1", "2"}
    for classes in (1, 5):
        net = timm.create_model(folder, pretrained=True)
        net.head.fc = nn.Linear(24, classes)
        assert names_of(net) == set(map(str, range(classes)))
        DenseEvaluator(net, (64,)).save_pretrained(tmp_path / "other")
        again = DenseEvaluator(tmp_path / "other")
        assert torch.equal(again(photos()), DenseEvaluator(net, (64,))(photos()))
        assert again.class_names == [str(number) for number in range(classes)]
    net.head.fc = nn.Sequential(nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 4))
    assert names_of(net) == set("0123")
    with pytest.raises(ValueError, match=r"the last layer is a Sequential: timm creates nets with one nn\.Linear"):
        DenseEvaluator(net, (64,)).save_pretrained(tmp_path / "not")
    assert not (tmp_path / "not").exists()


def test_what_else_arguments_may_be(model: Any, tmp_path: Path) -> None:
    """One scale as a number, a Path, nets and names in a fusion; and an error for anything else."""
    save_folder(model, tmp_path, tag="t", licence=None, mean=(9,) * 3, input_size=(3, 64, 64), crop_pct=1.0)
    images = photos()
    assert torch.equal(DenseEvaluator(model, 64)(images), DenseEvaluator(model, (64,))(images))
    for scales in (np.int64(64), np.array([64])):
        assert DenseEvaluator(tmp_path, scales).scales == (64,)  # type: ignore[arg-type]
    for wrong in ("64", 64.5, (64, 96.0)):
        with pytest.raises(ValueError, match="scales must be"):
            DenseEvaluator(model, wrong)  # type: ignore[arg-type]
    DenseEvaluator(tmp_path, 64).save_pretrained(tmp_path)
    fusion = Fusion([tmp_path, str(tmp_path), timm.create_model(f"local-dir:{tmp_path}", pretrained=True)])
    torch.testing.assert_close(fusion(iter(images)), DenseEvaluator(tmp_path)(images))
    assert len(Fusion(tmp_path).evaluators) == 1  # type: ignore[arg-type]


def test_any_number_of_images_goes_through_in_bounded_memory(model: Any) -> None:
    """A generator is drawn from as the net works; 300 photos of 1.4 MB, rescaled, would be 400 MB at once."""
    evaluator = DenseEvaluator(model, (400,), flip=False, most_pixels=64 * 64)
    waiting: list[int] = []
    drawn = 0

    def images() -> Iterator[Any]:
        nonlocal drawn
        for _ in range(300):
            drawn += 1
            yield PHOTOS[0]

    tested = 0

    def counted(part: Any) -> torch.Tensor:
        nonlocal tested
        waiting.append(drawn - tested)
        tested += len(part)
        return torch.zeros(len(part), 7)

    evaluator.of_rescaled = counted  # type: ignore[method-assign]
    assert evaluator(images()).shape == (300, 7)
    assert tested == 300
    assert max(waiting) <= 2**26 // (3 * 400 * 599) + 1 + 33
