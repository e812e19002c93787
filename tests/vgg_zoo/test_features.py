"""`ImageDescriptor`: what it takes, boxes, damaged images, and its life inside scikit-learn."""

import io
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import datasets
import joblib
import numpy as np
import pandas
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_sample_image
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_array
from timm.data import create_transform, resolve_data_config

import vgg_zoo
import vgg_zoo.features
from tests.helpers import small
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.features import ImageDescriptor
from vgg_zoo.images.decoding import BadImageError

PHOTOS = [load_sample_image("china.jpg"), load_sample_image("flower.jpg")]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def net() -> Any:
    """A small net A."""
    torch.manual_seed(0)
    return small("vgg_a")


@pytest.fixture(scope="module")
def folder(net: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same net as a folder that timm loads."""
    path = tmp_path_factory.mktemp("nets") / "a"
    DenseEvaluator(net, (64,)).save_pretrained(path)
    return str(path)


def parts(count: int = 12) -> tuple[list[np.ndarray], list[int]]:
    """Pieces of two photos, of several sizes, and which photo each is of."""
    generator = np.random.default_rng(0)
    images = []
    for place in range(count):
        height, width = generator.integers(64, 100, 2)
        top, left = generator.integers(0, 300, 2)
        images.append(PHOTOS[place % 2][top : top + height, left : left + width])
    return images, [place % 2 for place in range(count)]


def png(image: np.ndarray) -> bytes:
    """A file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.slow
def test_importing_the_package_imports_no_scikit_learn() -> None:
    """An extra; the transformer is there when it is asked for, and without the extra the error says what to install."""
    code = "import sys, vgg_zoo; assert 'sklearn' not in sys.modules; print(vgg_zoo.ImageDescriptor.__name__)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    code = "import sys, vgg_zoo; from vgg_zoo import *; sys.modules['sklearn.base'] = None; vgg_zoo.ImageDescriptor"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True)
    assert "pip install -e '.[sklearn]'" in done.stderr
    with pytest.raises(AttributeError, match="no attribute 'ImageDescripter'"):
        _ = vgg_zoo.ImageDescripter


def test_every_kind_of_image_gives_the_same_row(net: Any, tmp_path: Path) -> None:
    """PIL images, paths, arrays, bytes, generators, and columns of `datasets`, decoded or not, sliced or not."""
    images, _ = parts(4)
    descriptor = ImageDescriptor(net, scales=(64, 80))
    expected = descriptor.transform(images)
    assert expected.shape == (4, 24)
    assert expected.dtype == np.float32
    files = [tmp_path / f"{place}.png" for place in range(4)]
    for file, image in zip(files, images, strict=True):
        file.write_bytes(png(image))
    rows = datasets.Dataset.from_dict({"image": [str(file) for file in files]}).cast_column("image", datasets.Image())
    bare = rows.cast_column("image", datasets.Image(decode=False))
    held = datasets.Dataset.from_dict({"image": [png(image) for image in images]}).cast_column(
        "image", datasets.Image()
    )
    kinds: list[Any] = [
        [Image.fromarray(image) for image in images],
        files,
        [str(file) for file in files],
        np.array([str(file) for file in files]),
        [png(image) for image in images],
        (image for image in images),
        rows["image"],
        bare["image"],
        held["image"],
        rows[:]["image"],
        bare[:]["image"],
        [rows["image"][place] for place in range(4)],
    ]
    for kind in kinds:
        np.testing.assert_array_equal(descriptor.transform(kind), expected)
    chosen = rows.select([2, 0])["image"]
    np.testing.assert_allclose(descriptor.transform(chosen), expected[[2, 0]], rtol=1e-5, atol=1e-6)
    same_size = np.stack([PHOTOS[0][:70, :80], PHOTOS[1][:70, :80]])
    np.testing.assert_array_equal(descriptor.transform(same_size), descriptor.transform(list(same_size)))


def test_a_columns_own_transform_is_respected(net: Any) -> None:
    """`set_transform` may crop or colour; its result is what is described."""
    rows = datasets.Dataset.from_dict({"image": [png(PHOTOS[0][:90, :90])]}).cast_column("image", datasets.Image())
    rows.set_transform(lambda batch: {"image": [image.crop((0, 0, 70, 64)) for image in batch["image"]]})
    descriptor = ImageDescriptor(net, scales=(64,))
    np.testing.assert_array_equal(descriptor.transform(rows["image"]), descriptor.transform([PHOTOS[0][:64, :70]]))


@pytest.mark.parametrize("one", ["photo.jpg", Path("photo.jpg"), b"bytes", Image.new("L", (70, 70)), PHOTOS[0]])
def test_one_image_is_no_sequence_of_images(net: Any, one: Any) -> None:
    """Letters of a path and rows of an array are no images."""
    with pytest.raises(ValueError, match=r"but several are expected; give a list: \[image\]"):
        ImageDescriptor(net, scales=(64,)).transform(one)


@pytest.mark.parametrize(
    ("images", "message"),
    [([], "no images"), ([PHOTOS[0].astype(float)], "float64"), ([3], "got a int"), (np.zeros((2, 5)), "float64")],
)
def test_what_is_no_image_is_refused(net: Any, images: Any, message: str) -> None:
    """With what it is."""
    with pytest.raises(ValueError, match=message):
        ImageDescriptor(net, scales=(64,)).transform(images)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(bad=st.lists(st.booleans(), min_size=1, max_size=7), boxed=st.booleans(), stack=st.booleans())
def test_no_row_moves_for_a_damaged_image(bad: list[bool], boxed: bool, stack: bool) -> None:
    """Row i is image i, whichever images are damaged; those are NaN, counted and named, or stop the work."""
    torch.manual_seed(0)
    combine = "stack" if stack else "average"
    descriptor = ImageDescriptor(small("vgg_a"), scales=(64, 70), combine=combine, on_error="nan")
    images, _ = parts(len(bad))
    boxes = [(3, 5, 60, 63)] * len(bad) if boxed else None
    whole = descriptor.transform(images, boxes)
    files = [png(image)[:200] if lost else png(image) for image, lost in zip(images, bad, strict=True)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = descriptor.transform(files, boxes)
    assert found.shape == whole.shape == (len(bad), 24 * (1 + boxed) * (1 + stack))
    assert np.isnan(found).all(1).tolist() == np.isnan(found).any(1).tolist() == bad
    keep = [not lost for lost in bad]
    np.testing.assert_allclose(found[keep], whole[keep], rtol=1e-5, atol=1e-6)
    if any(bad):
        message = str(caught[0].message)
        assert f"{sum(bad)} of {len(bad)} images are rows of NaN: " in message
        assert all((f"image {place}: " in message) == lost for place, lost in enumerate(bad))
        with pytest.raises(BadImageError, match=f"image {bad.index(True)}: "):
            descriptor.set_params(on_error="raise").transform(files, boxes)
    else:
        assert not caught


def test_damaged_images_are_named_by_path_also_in_a_decoded_column(net: Any, tmp_path: Path) -> None:
    """A column that would raise while it is iterated, and a PIL image that was opened but not read."""
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(png(PHOTOS[0][:70, :70]))
    bad.write_bytes(png(PHOTOS[0][:70, :70])[:200])
    rows = datasets.Dataset.from_dict({"image": [str(bad), str(good)]}).cast_column("image", datasets.Image())
    descriptor = ImageDescriptor(net, scales=(64,))
    with pytest.raises(BadImageError, match=r"image 0 \(.*bad\.png\): "):
        descriptor.transform(rows["image"])
    with pytest.raises(BadImageError, match=r"image 1 \(.*nowhere\.png\): the file cannot be read"):
        descriptor.transform([good, tmp_path / "nowhere.png"])
    descriptor.set_params(on_error="nan")
    with pytest.warns(UserWarning, match=r"1 of 2 images are rows of NaN: image 0 \(.*bad\.png\): "):
        assert np.isnan(descriptor.transform(rows["image"])).all(1).tolist() == [True, False]
    with Image.open(bad) as opened, pytest.warns(UserWarning, match="1 of 1 images are rows of NaN: image 0: OSError"):
        assert np.isnan(descriptor.transform([opened])).all()


def test_a_box_is_an_image_of_its_own_behind_the_whole(net: Any) -> None:
    """Appendix B's action task: the whole image ⊕ the person's box; beyond the image it is cut off."""
    images, _ = parts(3)
    boxes = [(10, 5, 60, 50), (-20.5, 3.2, 40.4, 1000), (0, 0, 64, 64)]
    inside = [images[0][5:50, 10:60], images[1][3:, :41], images[2][:64, :64]]
    descriptor = ImageDescriptor(net, scales=(64, 70), combine="stack")
    expected = np.hstack([descriptor.transform(images), descriptor.transform(inside)])
    assert expected.shape == (3, 2 * 2 * 24)
    np.testing.assert_allclose(descriptor.transform(images, boxes), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(descriptor.transform(images, boxes=np.array(boxes)), expected, rtol=1e-5, atol=1e-6)
    pairs = list(zip(images, boxes, strict=True))
    np.testing.assert_allclose(descriptor.fit_transform(pairs), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([(0, 0, 10, 10)], "1 boxes for 2 images"),
        ([(0, 0, 10, 10), (0, 0, 10)], r"image 1: a box is \(left, top, right, bottom\) in pixels; got \(0, 0, 10\)"),
        ([(0, 0, 10, 10), (0, 0, np.nan, 10)], "image 1: a box is"),
        ([(50, 5, 50, 9), (0, 0, 9, 9)], r"image 0: the box \(50.0, 5.0, 50.0, 9.0\) has no pixel of the image of"),
        ([(0, 0, 9, 9), (5000, 0, 6000, 9)], "image 1: the box"),
    ],
)
def test_wrong_boxes_are_refused(net: Any, boxes: Any, message: str) -> None:
    """With the image and what a box is."""
    with pytest.raises(ValueError, match=message):
        ImageDescriptor(net, scales=(64,)).transform(parts(2)[0], boxes)


def test_boxes_for_some_images_only_are_refused(net: Any) -> None:
    """Rows would have different lengths."""
    first, second = parts(2)[0]
    for images, boxes in (([(first, (0, 0, 9, 9)), second], None), ([(first, (0, 0, 9, 9))], [(0, 0, 9, 9)])):
        with pytest.raises(ValueError, match="only some images have boxes, or boxes are given twice"):
            ImageDescriptor(net, scales=(64,)).transform(images, boxes)


def test_images_are_decoded_once_and_wait_in_bounded_numbers(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacked scales share one decoding; a part goes through the net before all others are decoded."""
    decoded: list[Any] = []
    parts: list[tuple[int, int]] = []
    decode, run = vgg_zoo.images.inputs.decoded, vgg_zoo.descriptors.DenseDescriptor.of_rescaled
    monkeypatch.setattr(vgg_zoo.images.inputs, "decoded", lambda image: decoded.append(image) or decode(image))
    monkeypatch.setattr(
        vgg_zoo.descriptors.DenseDescriptor,
        "of_rescaled",
        lambda self, x: parts.append((len(x), len(decoded))) or run(self, x),
    )
    monkeypatch.setattr(vgg_zoo.dense, "_BYTES_A_PIXEL", (3 * (64 * 64 + 80 * 80) * 3 - 1) / 2**20)
    found = ImageDescriptor(net, scales=(64, 80), combine="stack").transform([PHOTOS[0][:64, :64]] * 70)
    assert found.shape == (70, 48)
    assert [part for part, _ in parts] == [*[3] * 23, 1]
    assert parts[0][1] <= 3 + vgg_zoo.images.inputs._AHEAD
    assert len(decoded) == 70


def test_a_name_and_a_folder_are_loaded_once_for_all_clones(
    net: Any, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cross-validation clones the estimator for every fold; the pickle has no weights and loads them again."""
    loaded: list[str] = []
    load = vgg_zoo.pretrained.pretrained_net
    monkeypatch.setattr(vgg_zoo.pretrained, "pretrained_net", lambda name: loaded.append(str(name)) or load(name))
    images, labels = parts()
    descriptor = ImageDescriptor(folder, scales=(64,))
    scores = cross_val_score(make_pipeline(descriptor, LinearSVC()), images, labels, cv=3)
    assert loaded == [folder]
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(descriptor.transform(images), ImageDescriptor(net, scales=(64,)).transform(images))
    data = pickle.dumps(descriptor)
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data).transform(images), descriptor.transform(images))  # noqa: S301
    pickle.loads(data).transform(images)  # noqa: S301
    assert len(loaded) == 2  # once for all that this process unpickles
    assert clone(descriptor.set_params(model=Path(folder))).fit([]).get_params()["model"] == Path(folder)


def test_a_module_is_shared_by_clones_and_part_of_the_pickle(net: Any) -> None:
    """A cross-validation does not copy 550 MB for each fold."""
    descriptor = ImageDescriptor(net, scales=(64,))
    assert clone(descriptor).model is net
    images = parts(3)[0]
    again = pickle.loads(pickle.dumps(descriptor))  # noqa: S301
    np.testing.assert_array_equal(again.transform(images), descriptor.transform(images))


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
def test_a_pipeline_with_memory_describes_each_image_once(
    named: bool, net: Any, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grid over the SVM's C runs the net for each fold's training images once, and in a second grid not at all."""
    described: list[int] = []
    run = vgg_zoo.descriptors.DenseDescriptor.of_rescaled
    monkeypatch.setattr(
        vgg_zoo.descriptors.DenseDescriptor, "of_rescaled", lambda self, x: described.append(len(x)) or run(self, x)
    )
    images, labels = parts()
    tests = 3 * 2 * 6  # for each C, fold and image: scikit-learn caches no transformation of test images
    for training in (2 * 6, 0):
        descriptor = ImageDescriptor(folder if named else net, scales=(64,))
        pipeline = Pipeline([("descriptor", descriptor), ("svm", LinearSVC())], memory=str(tmp_path))
        search = GridSearchCV(pipeline, {"svm__C": [0.01, 0.1, 1]}, cv=2, refit=False).fit(images, labels)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert sum(described) == training + tests
        described.clear()


@pytest.mark.slow
def test_a_grid_over_the_descriptors_own_parameters(net: Any) -> None:
    """Layers, scales and combinations are parameters as any others."""
    images, labels = parts()
    grid = {
        "imagedescriptor__layer": ["pool3", "fc6"],
        "imagedescriptor__combine": ["average", "stack"],
        "imagedescriptor__scales": [(64,), (64, 80)],
    }
    search = GridSearchCV(make_pipeline(ImageDescriptor(net), LinearSVC()), grid, cv=2).fit(images, labels)
    assert len(search.cv_results_["params"]) == 8
    assert search.predict(images[:1]).shape == (1,)


def test_two_nets_are_stacked_by_a_union(net: Any) -> None:
    """Appendix B's D & E; the columns have names."""
    images, _ = parts(3)
    one, other = ImageDescriptor(net, scales=(64,)), ImageDescriptor(small("vgg_b"), "fc6", (64, 70), "stack")
    union = FeatureUnion([("d", one), ("e", other)])
    np.testing.assert_array_equal(
        union.fit_transform(images), np.hstack([one.transform(images), other.transform(images)])
    )
    names = union.get_feature_names_out()
    assert names.shape == (72,)
    assert names[[0, 24, 71]].tolist() == ["d__fc7_0", "e__fc6_q64_0", "e__fc6_q70_23"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": "fc9"}, "no layer 'fc9'; it has conv1_1, pool1"),
        ({"combine": "max"}, "unknown combine 'max'; choose from average, stack"),
        ({"l2": "none"}, "unknown l2 'none'; choose from scale, final"),
        ({"on_error": "skip"}, "unknown on_error 'skip'; choose from raise, nan"),
        ({"scales": (32,)}, "at least 64 pixels for fc7"),
        ({"model": "vgg_x"}, "there is no net 'vgg_x'"),
        ({"model": torch.nn.Linear(2, 2)}, "a Linear cannot be applied densely"),
    ],
)
def test_wrong_parameters_are_refused_by_fit_and_by_transform(net: Any, changes: Any, message: str) -> None:
    """Not by the constructor: scikit-learn sets parameters later, too."""
    descriptor = ImageDescriptor(**{"model": net, "scales": (64,), **changes})
    for use in (descriptor.fit, descriptor.transform):
        with pytest.raises(ValueError, match=message):
            use(parts(1)[0])


def test_maps_of_an_image_file_at_its_size_and_rescaled(net: Any, tmp_path: Path) -> None:
    """The descriptor's own layer by default; tensors are rescaled by the caller."""
    (tmp_path / "photo.png").write_bytes(png(PHOTOS[0][:96, :130]))
    descriptor = ImageDescriptor(net, layer="conv2_1")
    assert {name: x.shape for name, x in descriptor.feature_maps(tmp_path / "photo.png").items()} == {
        "conv2_1": (1, 13, 48, 65)
    }
    maps = descriptor.feature_maps(PHOTOS[0][:96, :130], ["pool1", "fc6"], scale=192)
    assert [x.shape for x in maps.values()] == [(1, 6, 96, 130), (1, 24, 5, 7)]
    tensor = torch.rand(1, 3, 64, 64, requires_grad=True)
    assert descriptor.feature_maps(tensor)["conv2_1"].requires_grad
    with pytest.raises(ValueError, match="scale=70 is for images"):
        descriptor.feature_maps(tensor, scale=70)


def test_a_column_of_paths_beside_others(net: Any, tmp_path: Path) -> None:
    """In a ColumnTransformer, its columns named, as a table of pandas where that is asked for."""
    images, _ = parts(3)
    files = [tmp_path / f"{place}.png" for place in range(3)]
    for file, image in zip(files, images, strict=True):
        file.write_bytes(png(image))
    table = pandas.DataFrame({"photo": [str(file) for file in files], "age": [3.0, 1.0, 2.0]}, index=["a", "b", "c"])
    descriptor = ImageDescriptor(net, scales=64)
    for column in ("photo", ["photo"]):
        columns = ColumnTransformer([("vgg", descriptor, column), ("as is", "passthrough", ["age"])])
        found = columns.set_output(transform="pandas").fit_transform(table)
        assert found.columns.tolist() == [*(f"vgg__fc7_{number}" for number in range(24)), "as is__age"]
        assert found.index.tolist() == ["a", "b", "c"]
        np.testing.assert_array_equal(found.to_numpy()[:, :24].astype(np.float32), descriptor.transform(images))
        assert columns.get_feature_names_out().tolist() == found.columns.tolist()
    with pytest.raises(ValueError, match=r"a table of 2 columns; give its column of images, table\[name\]"):
        descriptor.transform(table)


def identities(descriptor: ImageDescriptor) -> tuple[int, int]:
    """Process and net."""
    return os.getpid(), id(descriptor._net())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # joblib's own, of forks beside threads
def test_two_jobs_share_weights(net: Any, folder: str) -> None:
    """A process of joblib loads a net once for all of its tasks; threads share one; the scores are those of one job."""
    images, labels = parts()
    pipeline = make_pipeline(ImageDescriptor(folder, scales=64), LinearSVC())
    scores = cross_val_score(pipeline, images, labels, cv=3)
    np.testing.assert_array_equal(cross_val_score(pipeline, images, labels, cv=3, n_jobs=2), scores)
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(identities)(ImageDescriptor(folder)) for _ in range(8))
    assert len(set(found)) == len({process for process, _ in found}) <= 2
    assert os.getpid() not in dict(found)
    with joblib.parallel_config("threading", n_jobs=2):
        np.testing.assert_array_equal(cross_val_score(pipeline, images, labels, cv=3), scores)
        descriptor = ImageDescriptor(folder)
        shared = joblib.Parallel()(joblib.delayed(identities)(clone(descriptor)) for _ in range(8))
    assert len(set(shared)) == 1


def test_a_folder_that_was_trained_again_is_read_again(net: Any, tmp_path: Path) -> None:
    """Also by an estimator that has loaded it before."""
    DenseEvaluator(net, 64).save_pretrained(tmp_path)
    descriptor, images = ImageDescriptor(tmp_path, scales=64), parts(1)[0]
    before = descriptor.transform(images)
    other = small("vgg_a", width_multiplier=0.2)
    DenseEvaluator(other, 64).save_pretrained(tmp_path)
    os.utime(tmp_path, ns=(1, 1))  # where the clock is coarse
    after = descriptor.transform(images)
    np.testing.assert_array_equal(after, ImageDescriptor(other, scales=64).transform(images))
    assert not np.array_equal(before, after)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # transformers' own
def test_transformers_pipeline_takes_a_published_folder(net: Any, tmp_path: Path) -> None:
    """With the class names, and the posteriors of timm's own transform."""
    net.pretrained_cfg["label_names"] = ["owl", "cat", "dog", "hen", "cow"]
    DenseEvaluator(net, 64).save_pretrained(tmp_path)
    photo = Image.fromarray(PHOTOS[0])
    classify = transformers.pipeline("image-classification", model=str(tmp_path), device="cpu")
    found = {row["label"]: row["score"] for row in classify(photo, top_k=5)}
    transform = create_transform(**resolve_data_config(model=net))
    with torch.inference_mode():
        posteriors = net(transform(photo)[None])[0].softmax(0).tolist()
    assert found == pytest.approx(dict(zip(net.pretrained_cfg["label_names"], posteriors, strict=True)), abs=1e-5)


class OnNumbers(ImageDescriptor):
    """The descriptor of rows of numbers, each drawn as an image: scikit-learn's checks know only such rows."""

    def __repr__(self) -> str:  # the tests' names have it
        return "OnNumbers()"

    def transform(self, X: Any) -> Any:  # noqa: N803
        """A grey image of 32 × 32 pixels for each row, with the row's numbers as stripes."""
        rows = check_array(X, dtype=float)
        return super().transform([np.resize((row * 25) % 256, (32, 32)).astype(np.uint8) for row in rows])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


EXPECTED = {
    "check_estimators_overwrite_params": "it compares joblib's hashes of a net and of its copy; PyTorch's never agree",
    "check_estimator_sparse_tag": "fit looks at no data, and so cannot refuse sparse ones; transform does",
}
"""Checks that cannot pass, and why."""


@parametrize_with_checks(
    [OnNumbers(small("vgg_a", width_multiplier=0.05), layer="pool2", scales=(32,))],
    expected_failed_checks=lambda _: EXPECTED,
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    """Its whole suite for estimators and transformers."""
    check(estimator)
