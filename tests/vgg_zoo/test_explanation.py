"""Where a net sees which class: the maps, where they lie, and the picture of them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_sample_image

import vgg_zoo
from tests.helpers import small
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.explanation import PlacedMap, explain, window_centres
from vgg_zoo.images.explained import heat_over

BRIGHT, DARK = 3, 1


def set_to_brightness(net: Any) -> Any:
    """Weights with which class 3 scores the mean brightness of a window's cells, and class 1 always a little."""
    first = True
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for module in net.features:
            if isinstance(module, torch.nn.Conv2d):
                middle = module.kernel_size[0] // 2
                module.weight[0, : 3 if first else 1, middle, middle] = 1 / 3 if first else 1
                first = False
        net.pre_logits.fc1.weight[0, 0] = 1 / net.pre_logits.input_kernel_size**2
        net.pre_logits.fc2.weight[0, 0] = 1
        net.head.fc.weight[BRIGHT, 0] = 8
        net.head.fc.bias[DARK] = 1
    return net


@pytest.fixture(scope="module")
def brightness() -> Any:
    """A net D whose window is 64 pixels and whose scores are known."""
    return set_to_brightness(small("vgg_d"))


@pytest.fixture(scope="module")
def folder(brightness: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same net, kept with its scales."""
    path = tmp_path_factory.mktemp("net")
    DenseEvaluator(brightness, (64, 96)).save_pretrained(path)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo's file."""
    path = tmp_path / "china.jpg"
    Image.fromarray(load_sample_image("china.jpg")).save(path)
    return path


def with_patch(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray[Any, Any]:
    """A dark picture with a bright patch: upper, lower, left, right."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[box[0] : box[1], box[2] : box[3]] = 255
    return picture


def slowly_placed(values: Any, centres: tuple[Any, Any], size: tuple[int, int]) -> Any:
    """Bilinear between centres in fractions of the picture, one pixel at a time."""

    def neighbours(middle: float, places: Any) -> tuple[int, int, float]:
        if middle <= places[0]:
            return 0, 0, 0.0
        for place in range(len(places) - 1):
            if middle <= places[place + 1]:
                return place, place + 1, (middle - places[place]) / (places[place + 1] - places[place])
        return len(places) - 1, len(places) - 1, 0.0

    placed = np.zeros(size)
    for y in range(size[0]):
        for x in range(size[1]):
            upper, lower, down = neighbours((y + 0.5) / size[0], centres[0])
            left, right, across = neighbours((x + 0.5) / size[1], centres[1])
            first = (1 - across) * values[upper, left] + across * values[upper, right]
            second = (1 - across) * values[lower, left] + across * values[lower, right]
            placed[y, x] = (1 - down) * first + down * second
    return placed


@pytest.mark.parametrize("cells", [(3, 5), (1, 4), (1, 1)])
def test_a_map_lies_where_its_windows_do(cells: tuple[int, int]) -> None:
    """As pixel by pixel, on a photo of another size than the rescaled one; a single place is one colour."""
    values = np.random.default_rng(0).random((2, *cells))
    rows, columns = (64 / 2 + 32 * np.arange(count) for count in cells)
    placed = PlacedMap(scale=0, posteriors=values, rows=rows / 143, columns=columns / 207)
    heat = placed.over(29, 53)
    assert heat.shape == (2, 29, 53)
    for one, expected in zip(heat, values, strict=True):
        np.testing.assert_allclose(one, slowly_placed(expected, (rows / 143, columns / 207), (29, 53)), atol=1e-12)
    if cells == (1, 1):
        assert np.ptp(heat, axis=(1, 2)).max() == 0


def test_the_papers_windows() -> None:
    """224 pixels wide and 32 apart: the first centre is 112 pixels from the border."""
    assert window_centres(timm.create_model("vgg_d", device="meta"), 3).tolist() == [112, 144, 176]


def test_a_maps_colours_lie_over_the_grey_photo() -> None:
    """magma at 60% over a grey without black, as matplotlib mixes them."""
    photo, heat = load_sample_image("china.jpg"), np.random.default_rng(0).random((427, 640))
    axes = Figure(figsize=(6.4, 4.27), dpi=100).add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(np.asarray(Image.fromarray(photo).convert("L")) / 255, cmap="gray", vmin=-0.5, vmax=1)
    axes.imshow(heat, cmap="magma", vmin=0, vmax=1, alpha=0.6)
    FigureCanvasAgg(axes.figure).draw()
    expected = np.asarray(axes.figure.canvas.buffer_rgba())[:, :, :3].astype(int)
    assert np.abs(heat_over(photo, heat) - expected).max() <= 2


def test_a_map_tells_its_windows_size(brightness: Any) -> None:
    """64 pixels of the rescaled photo, 150 × 247 here."""
    (placed,) = explain(with_patch(200, 330, (0, 9, 0, 9)), DenseEvaluator(brightness, 150)).maps
    assert placed.window == pytest.approx((64 / 150, 64 / 247))


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("size", [(200, 330), (330, 200), (161, 161)])
def test_the_map_of_a_photo_is_placed_by_its_rescaled_size(
    brightness: Any, size: tuple[int, int], ceil_mode: bool
) -> None:
    """Windows of 64 pixels, from the upper left corner on; Caffe's pooling may add one across the border."""
    (placed,) = explain(with_patch(*size, (0, 9, 0, 9)), DenseEvaluator(brightness, 150, ceil_mode=ceil_mode)).maps
    for centres, side in zip((placed.rows, placed.columns), size, strict=True):
        rescaled = int(150 * side / min(size))
        cells = (-(-rescaled // 32) if ceil_mode else rescaled // 32) - 1
        np.testing.assert_allclose(centres * rescaled, [32 * place + 32 for place in range(cells)])


@pytest.mark.parametrize("box", [(0, 80, 0, 80), (0, 80, 240, 320), (120, 200, 0, 80), (120, 200, 240, 320)])
def test_the_heat_is_over_the_bright_corner(brightness: Any, box: tuple[int, int, int, int]) -> None:
    """The hottest pixels lie in the corner, those of another class outside; the net's one patch is 64 of 160 pixels."""
    explanation = explain(with_patch(200, 320, box), brightness, top=2, scales=160)
    assert [name for name, _ in explanation.predictions] == [str(BRIGHT), str(DARK)]
    (placed,) = explanation.maps
    bright, dark = placed.over(200, 320)
    inside = np.zeros((200, 320), bool)
    inside[box[0] : box[1], box[2] : box[3]] = True
    assert inside[bright >= bright.max() - 1e-9].all()
    assert not inside[dark >= dark.max() - 1e-9].any()
    assert bright.max() > 0.9 > 0.5 > bright.min()


def test_the_heat_is_hottest_at_the_windows_centre(brightness: Any) -> None:
    """A patch of exactly one window, at twice the size: rows 64–128 and columns 96–160 of the rescaled photo."""
    (placed,) = explain(with_patch(384, 640, (128, 256, 192, 320)), brightness, scales=192).maps
    heat = placed.over(384, 640)[0]
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(y + 0.5 - 192) <= 0.5
    assert abs(x + 0.5 - 256) <= 0.5


def test_what_is_drawn_is_the_soft_max_at_every_place(brightness: Any) -> None:
    """Of the evaluator's map, at every scale; the classes are the evaluator's, with its flips."""
    picture = load_sample_image("flower.jpg")[:200, :300]
    evaluator = DenseEvaluator(brightness, (64, 128))
    explanation = explain(picture, evaluator, top=4)
    assert list(explanation.predictions) == evaluator.predict([picture], top=4)[0]
    for placed, scale in zip(explanation.maps, (64, 128), strict=True):
        expected = evaluator.class_score_map(picture, scale).softmax(0)
        assert placed.scale == scale
        for (name, _), one in zip(explanation.predictions, placed.posteriors, strict=True):
            np.testing.assert_allclose(one, expected[int(name)], atol=1e-6)
    assert len(explain(picture, evaluator, top=50).predictions) == 5


def test_classes_of_one_name_are_told_apart(brightness: Any) -> None:
    """ImageNet has two cranes; the maps are those of the right ones."""
    net = set_to_brightness(small("vgg_d"))
    net.pretrained_cfg["label_names"] = ["crane"] * 5
    explanation = explain(with_patch(64, 64, (0, 64, 0, 64)), net, top=2, scales=64)
    assert explanation.maps[0].posteriors[:, 0, 0].tolist() == pytest.approx([p for _, p in explanation.predictions])


@pytest.mark.slow
def test_timms_own_nets_are_explained() -> None:
    """Full size: windows of 224 pixels."""
    torch.manual_seed(0)
    net = timm.create_model("vgg11", num_classes=3)
    (placed,) = explain(load_sample_image("china.jpg"), net, scales=256).maps
    assert placed.posteriors.shape == (3, 2, 5)
    np.testing.assert_allclose(placed.rows, [112 / 256, 144 / 256])
    np.testing.assert_allclose(placed.columns, (112 + 32 * np.arange(5)) / 383)


def test_the_png_is_what_is_drawn(brightness: Any, tmp_path: Path) -> None:
    """With names that matplotlib would read as formulas; nothing else is left behind."""
    net = set_to_brightness(small("vgg_d"))
    net.pretrained_cfg["label_names"] = ["$x^$, dollar", "", "a name " * 20, "_{", "tench, Tinca tinca"]
    drawn = explain(load_sample_image("china.jpg"), net, scales=(64, 128)).draw(tmp_path / "a.png")
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        assert np.array_equal(np.asarray(picture.convert("RGB")), np.asarray(drawn))
        assert np.ptp(np.asarray(picture.convert("L"))) > 200


def test_the_net_is_named_as_it_was_given(brightness: Any, folder: Path) -> None:
    """A module has no name but its architecture's."""
    picture = with_patch(64, 64, (0, 9, 0, 9))
    for given, name in (
        (folder, str(folder)),
        (str(folder), str(folder)),
        (DenseEvaluator(str(folder), 64), str(folder)),
        (brightness, "vgg_d"),
        (DenseEvaluator(brightness, 64), "vgg_d"),
    ):
        assert explain(picture, given).net == name


def test_a_large_photo_is_drawn_small(brightness: Any) -> None:
    """24 megapixels become at most 1024 pixels a side."""
    explanation = explain(np.full((4000, 6000, 3), 90, np.uint8), brightness, scales=64)
    assert explanation.photo.shape == (683, 1024, 3)


@pytest.mark.slow
def test_matplotlibs_global_state_is_left_alone(brightness: Any, tmp_path: Path) -> None:
    """Neither pyplot nor a window system is needed."""
    code = (
        "import sys; import vgg_zoo.explanation; assert 'matplotlib' not in sys.modules; import numpy as np; "
        "from vgg_zoo.explanation import Explanation, PlacedMap; one = np.full(1, 0.5); "
        "placed = PlacedMap(scale=64, posteriors=np.ones((1, 1, 1)), rows=one, columns=one); "
        "photo = np.zeros((9, 9, 3), np.uint8); classes = (('a', 1.0),); "
        "Explanation(net='d', photo=photo, predictions=classes, maps=(placed,)).draw('a.png'); "
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[2]
    environment = {"PYTHONPATH": str(root), "MPLCONFIGDIR": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "a.png").is_file()


def test_a_failed_write_leaves_nothing(brightness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither half a file nor the temporary one remains; an existing file does not change."""

    def fail(self: Path, data: bytes) -> None:
        with self.open("wb") as writing:
            writing.write(data[:10])
        raise OSError("disk full")

    explanation = explain(with_patch(64, 64, (0, 9, 0, 9)), brightness, scales=64)
    (tmp_path / "a.png").write_bytes(b"before")
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        explanation.draw(tmp_path / "a.png")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"before"]


def test_the_public_function_takes_what_an_evaluator_takes(folder: Path, photo: Path) -> None:
    """A folder, a net or an evaluator, which has its own scales; the data are plain."""
    by_folder = vgg_zoo.explain(photo, folder, 2, scales=[64])
    by_evaluator = vgg_zoo.explain(str(photo), DenseEvaluator(folder, 64), 2)
    assert by_folder.to_dict() == by_evaluator.to_dict()
    told = json.loads(json.dumps(by_folder.to_dict()))
    assert [tuple(row.values()) for row in told["predictions"]] == list(by_folder.predictions)
    assert np.array_equal(told["maps"][0]["posteriors"], by_folder.maps[0].posteriors)
    assert {key: len(told["maps"][0][key]) for key in ("rows", "columns")} == dict(
        zip(("rows", "columns"), by_folder.maps[0].posteriors.shape[1:], strict=True)
    )
    with pytest.raises(ValueError, match=r"the evaluator has its own scales, \(64,\); give them to it"):
        vgg_zoo.explain(photo, DenseEvaluator(folder, 64), scales=96)
    with pytest.raises(ValueError, match="top must be at least 1, the likeliest class; got 0"):
        vgg_zoo.explain(photo, folder, 0)
