"""What the Space's page computes, says and draws, without a browser."""

import ast
import json
import re
import shutil
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement
from PIL import Image
from sklearn.datasets import load_digits

from hub.card import PROJECT
from tests.helpers import training_results
from tests.hub.space.made import BAD, PHOTO, ROOT, SPACE, image_bytes, net, skip_module
from vgg_zoo.devices import bf16_of_cpu
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.explanation import Explanation, PlacedMap, explain
from vgg_zoo.fast import bf16
from vgg_zoo.images.decoding import BadImageError
from vgg_zoo.images.explained import heat_over

try:
    import gradio

    from hub.space import app
except ImportError as error:
    skip_module(error)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_words(name: str, tmp_path: Path) -> None:
    """What is wrong, whatever the file is called."""
    make, message = BAD[name]
    (tmp_path / name).write_bytes(make())
    with pytest.raises(BadImageError) as caught:
        app.photo_of(tmp_path / name)
    assert message in str(caught.value)


def test_a_large_photo_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pixel row more than the limit never reaches the decoder; the limit itself does."""

    def decode(data: bytes) -> Any:
        raise BadImageError("decoded")

    monkeypatch.setattr(app, "read_pixels", decode)
    for height, message in ((5_000, "decoded"), (5_001, "25,005,000 pixels are more than")):
        (tmp_path / "photo.png").write_bytes(image_bytes(Image.new("1", (5_000, height))))
        with pytest.raises(BadImageError, match=message):
            app.photo_of(tmp_path / "photo.png")


def test_a_file_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    """Uploads are deleted after a while."""
    with pytest.raises(BadImageError, match="no longer here; drop it again"):
        app.photo_of(tmp_path / "photo.png")


@pytest.mark.parametrize("kind", app.FORMATS)
def test_every_format_that_is_named_is_read(kind: str, tmp_path: Path) -> None:
    """With the photo's size."""
    (tmp_path / "photo").write_bytes(image_bytes(Image.open(PHOTO), kind))
    assert app.photo_of(tmp_path / "photo").shape == (427, 640, 3)


@pytest.mark.parametrize(
    ("chosen", "typed", "expected"),
    [
        ([96, 64], "", (64, 96)),
        ([], "128", (128,)),
        ([64], " 128,96;64\n200 ", (64, 96, 128, 200)),
    ],
)
def test_ticked_and_typed_scales_are_one_list(chosen: list[int], typed: str, expected: tuple[int, ...]) -> None:
    """Each once, rising."""
    assert app.scales_of(chosen, typed) == expected


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "0 scales are chosen; tick or type at least one and at most 8"),
        ("64 65 66 67 68 69 70 71 72", "9 scales are chosen"),
        ("64, big", "'big' is no scale; scales are whole numbers of pixels"),
        ("-64", "'-64' is no scale"),
        ("64.5", "'64.5' is no scale"),
        ("٦٤", "is no scale"),
        ("9" * 5000, f"'{'9' * 20}' is no scale"),
    ],
)
def test_wrong_scales_are_named(typed: str, message: str) -> None:
    """With what a scale is."""
    with pytest.raises(ValueError, match=message):
        app.scales_of([], typed)


def test_the_cost_of_a_test_is_bounded() -> None:
    """All scales and crops of the photo count; the paper's own three scales of an ordinary photo are far below."""
    evaluator = DenseEvaluator(net(), (1000, 2000))
    app.check_cost(evaluator, 1000, 1000)  # 1000² + 2000² = 5 million
    with pytest.raises(ValueError, match=r"at Q = 1000, 2000 would be 5\.0 million pixels to test, and the most is 5"):
        app.check_cost(evaluator, 1000, 1001)
    with pytest.raises(ValueError, match=r"5\.2 million"):  # 2 · 25 · 64² more
        app.check_cost(DenseEvaluator(net(), (1000, 2000), protocol="multi_crop"), 1000, 1000)
    app.check_cost(DenseEvaluator(net(), (256, 384, 512), protocol="multi_crop_and_dense"), 4024, 6048)
    with pytest.raises(ValueError, match="choose fewer or smaller scales"):
        app.check_cost(DenseEvaluator(net(), (99_999,)), 4_000, 6_000)


def made_up() -> Explanation:
    """A photo of 640 × 427 pixels with two classes' maps of 3 × 4 positions and windows half as high."""
    posteriors = np.random.default_rng(0).random((2, 3, 4))
    columns = (np.arange(4) + 1) * 427 / 640 / 4
    placed = PlacedMap(scale=128, posteriors=posteriors, rows=np.array([0.25, 0.5, 0.75]), columns=columns)
    found = explain(PHOTO, DenseEvaluator(net(), 64))
    return replace(found, predictions=(("<b>crane</b>", 0.7), ("pagoda", 0.2)), maps=(placed,))


def test_the_picture_shows_the_map_its_positions_and_one_window() -> None:
    """The map is `vgg-zoo explain`'s; the outline is that of the window; elsewhere dots alone lie on it."""
    explanation = made_up()
    (placed,) = explanation.maps
    picture = np.asarray(app.picture_of(explanation, 0, 1, (1, 0))).astype(int)
    changed = np.abs(picture - heat_over(explanation.photo, placed.over(427, 640)[1])).max(axis=2) > 0
    inside = changed[108:319, 1:212]  # the outline is 3 pixels wide
    assert inside[[0, -1]].all()
    assert inside[:, [0, -1]].all()
    changed[105:323, :216] = False
    assert all(changed[int(427 * y), int(640 * x)] for y in placed.rows for x in placed.columns[2:])
    assert changed.sum() < 25 * 6


def test_the_legend_says_what_a_position_is() -> None:
    """How large its window is, how much neighbours share, and what the outlined one shows; names are text."""
    explanation = made_up()
    (placed,) = explanation.maps
    legend = app.legend_of(explanation, 0, 0, (2, 3))
    assert "each of the 3 × 4 positions of the class score map at Q = 128" in legend
    assert f"the highest is {placed.posteriors[0].max():.3f}" in legend
    assert "a window of 64 × 64 pixels of the rescaled photo, and shares 50% of them with each neighbour" in legend
    first, second = placed.posteriors[:, 2, 3]
    assert f"In the outlined window: &lt;b&gt;crane&lt;/b&gt; {first:.3f}, pagoda {second:.3f}." in legend
    single = PlacedMap(scale=64, posteriors=np.ones((2, 1, 1)), rows=np.array([0.5]), columns=np.array([0.4]))
    assert "64 × 64 pixels of the rescaled photo: " in app.legend_of(replace(explanation, maps=(single,)), 0, 0, (0, 0))


def test_a_click_chooses_the_nearest_window(tmp_path: Path) -> None:
    """Its posteriors are listed; without a click they are those of the surest window."""
    explanation, page = made_up(), app.Page.__new__(app.Page)
    page.heat, page.legend, page.folder = "heat", "legend", tmp_path
    (posteriors,) = (placed.posteriors for placed in explanation.maps)

    class Click:
        index = (2.8 * 427 / 4, 0.7 * 427)

    for updates, values in (
        (page.point(explanation, 1, 0, Click()), posteriors[:, 2, 2]),
        (page.paint(explanation, 1, 0), posteriors.reshape(2, -1)[:, posteriors[1].argmax()]),
    ):
        assert f"&lt;b&gt;crane&lt;/b&gt; {values[0]:.3f}, pagoda {values[1]:.3f}." in updates["legend"]
    assert list(page.paint(None, 1, 0)) == list(page.point(None, 1, 0, Click())) == ["legend"]


def test_a_digit_is_shown_large() -> None:
    """8 × 8 pixels become squares; a photo stays as it is."""
    digit = np.arange(8 * 4 * 3, dtype=np.uint8).reshape(8, 4, 3)
    large = app.enlarged(digit)
    assert large.shape == (512, 256, 3)
    assert (large[::64, ::64] == digit).all()
    assert app.enlarged(np.zeros((600, 1024, 3), np.uint8)).shape == (600, 1024, 3)


def test_messages_and_names_are_text() -> None:
    """A file's or a class's name cannot bring HTML into the page."""
    assert "&lt;img src=x&gt;" in app.told("<img src=x>", wrong=True)
    assert "<b>" not in app.table_of([("<b>bold</b>", 0.5)])


def test_the_nets_own_scales_are_offered(folders: list[Path], tmp_path: Path) -> None:
    """Kept ones; Sect. 4.2's after a training; the paper's for named weights; no net is loaded for that."""
    trained = tmp_path / "trained"
    shutil.copytree(folders[0], trained, ignore=shutil.ignore_patterns("dense_eval.json"))
    offered = {}
    for scales, crop in (([64, 112], 64), ([96, 96], 64), ([64, 64], 64), ([256, 256], 224)):
        run = training_results(settings={"train_scales": scales, "crop_size": crop, "flip": False})
        (trained / "results.json").write_text(json.dumps(run))
        offered[tuple(scales)] = app.Nets([str(trained)]).scales(str(trained))
    assert offered == {
        (64, 112): [64, 88, 112],
        (96, 96): [87, 96, 105],
        (64, 64): [64, 73],
        (256, 256): [224, 256, 288],
    }
    nets = app.Nets([*map(str, folders), "vgg_d.tv_in1k"])
    assert [nets.scales(name) for name in nets.names] == [[64, 96, 160], [64, 128], [256, 384, 512]]
    assert [nets.flip(name) for name in nets.names] == [True, False, True]


def test_examples_suit_the_nets(folders: list[Path], tmp_path: Path) -> None:
    """A net of digits gets scikit-learn's digits as they are, another its photos, both together both."""
    digits = tmp_path / "digits"
    DenseEvaluator(net(names=list("0123456789")), (64,)).save_pretrained(digits)
    photos = [str(PHOTO), str(PHOTO.with_name("flower.jpg"))]
    drawn = [str(tmp_path / f"{name}.png") for name in app.DIGITS]
    assert app.examples_of([str(folders[0]), "vgg_d.tv_in1k"], tmp_path) == photos
    assert app.examples_of([str(digits)], tmp_path) == drawn
    assert app.examples_of([str(digits), "vgg_d.tv_in1k"], tmp_path) == photos + drawn
    known = load_digits()
    for path, numbers in zip(drawn, app.DIGITS.values(), strict=True):
        shown = app.photo_of(path)
        assert known.target[numbers].tolist() == numbers
        levels = np.hstack([known.images[number] for number in numbers])
        np.testing.assert_allclose(shown[:, :, 0], levels * 255 / 16, atol=1)


def test_a_net_is_loaded_once(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if eight ask for it at the same time."""
    loaded = []

    def load(model: str, **settings: Any) -> DenseEvaluator:
        loaded.append(model)
        time.sleep(0.05)
        return DenseEvaluator(model, **settings)

    monkeypatch.setattr(app, "DenseEvaluator", load)
    nets, found = app.Nets(map(str, folders)), []
    threads = [threading.Thread(target=lambda: found.append(nets.evaluator(str(folders[0])))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == [str(folders[0])]
    assert {id(evaluator) for evaluator in found} == {id(found[0])}
    assert found[0].scales == (64, 96, 160)


@pytest.mark.skipif(bf16_of_cpu() is None, reason="the CPU has neither AMX nor AVX512-BF16")
def test_the_page_computes_in_the_precision_of_its_variable(folders: list[Path]) -> None:
    """Which `main` hands on; float32 without it."""
    name = str(folders[0])
    assert app.Nets([name], "bf16").evaluator(name).arithmetic == "bf16"
    assert app.Nets([name]).evaluator(name).precision == "fp32"


def test_a_precision_that_is_not_here_is_refused(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is loaded."""
    monkeypatch.setattr(bf16, "bf16_of_cpu", lambda: None)
    for given, message in (("bf16", "needs a CPU with AMX or AVX512-BF16"), ("half", "unknown precision 'half'")):
        monkeypatch.setenv("VGG_ZOO_PRECISION", given)
        assert app.main(["--model", str(folders[0])]) == 1
        assert message in capsys.readouterr().err


def test_only_offered_nets_are_loaded(folders: list[Path]) -> None:
    """Whatever the client asks for: the second folder is a net, too."""
    nets = app.Nets([str(folders[0])])
    with pytest.raises(ValueError, match=r"there is no net .*second' here; there are .*first"):
        nets.evaluator(str(folders[1]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "vgg_dd"], "there is no net 'vgg_dd' and no folder of this name; near it are vgg_d, "),
        (["--model", "vgg_c"], "there are no weights 'vgg_c'"),
        (["--model", "."], ". is not a folder of a trained net: it has no config.json"),
        (["--model", "vgg_d_box"], "vgg_d_box predicts boxes and no classes"),
        (["--model", "boxes"], "boxes predicts boxes and no classes"),
        (["--model", "hf-hub:org/vgg_d_box.made@v1"], "hf-hub:org/vgg_d_box.made@v1 predicts boxes and no classes"),
        (["--model", "hf-hub:nobody/nothing"], ""),  # the tests are offline
    ],
)
def test_wrong_nets_are_named_before_the_page_is_served(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one line, with exit code 1."""
    (tmp_path / "boxes").mkdir()
    (tmp_path / "boxes" / "config.json").write_text('{"architecture": "vgg_d_box"}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app.signal, "signal", lambda *_: None)
    assert app.main(arguments) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_a_spaces_nets_come_from_its_variable() -> None:
    """Or are D and E."""
    assert app.models_of(" vgg_a.tv_in1k,vgg_b.tv_in1k\nruns/d ") == ["vgg_a.tv_in1k", "vgg_b.tv_in1k", "runs/d"]
    assert app.models_of(None) == app.models_of("") == ["vgg_d.tv_in1k", "vgg_e.tv_in1k"]


def test_the_spaces_card_is_one() -> None:
    """As huggingface_hub reads it; it agrees with the requirements and with what is installed here."""
    card = SpaceCard.load(SPACE / "README.md").data
    assert (card.sdk, card.app_file, card.license) == ("gradio", "app.py", "apache-2.0")
    assert card.title
    assert len(card.get("short_description")) <= 60  # the Hub refuses longer ones
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {card.get("colorFrom"), card.get("colorTo")} <= colours
    (needed,) = (line for line in (SPACE / "requirements.txt").read_text().splitlines() if line[0] not in "#-")
    assert (Requirement(needed).name, Requirement(needed).extras) == ("vgg-zoo", {"space"})
    extra = (ROOT / "pyproject.toml").read_text().partition("\nspace = [\n")[2].partition("\n]")[0]
    packages = {it.name: it.specifier for it in map(Requirement, re.findall('"([^"]+)"', extra))}
    assert set(packages) == {"gradio", "vgg-zoo"}
    for version in (card.sdk_version, gradio.__version__):
        assert version in packages["gradio"]
    assert [line.split()[0] for line in card.get("preload_from_hub")] == card.models


def test_the_space_imports_only_what_it_requires() -> None:
    """It is uploaded without the rest of the checkout."""
    found = set()
    for node in ast.walk(ast.parse((SPACE / "app.py").read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.add((node.module or "").partition(".")[0])
    brought = {"fastapi"}  # by gradio
    assert found - sys.stdlib_module_names - brought == {"gradio", "matplotlib", "numpy", "PIL", "sklearn", "vgg_zoo"}


def test_the_page_names_the_project() -> None:
    """Where the model cards say it is."""
    assert f"]({PROJECT})" in app.HEAD
