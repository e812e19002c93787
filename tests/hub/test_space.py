"""The Space's page in a real Chromium, and the functions behind it."""

import ast
import base64
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import httpx
import matplotlib
import numpy as np
import pytest
import sklearn.datasets
import torch
from huggingface_hub import SpaceCard
from PIL import Image

from tests.helpers import small, training_results
from vgg_zoo.devices import bf16_of_cpu
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.explanation import PlacedMap, explain
from vgg_zoo.fast import bf16
from vgg_zoo.images.decoding import BadImageError

REQUIRED = os.environ.get("VGG_ZOO_REQUIRE_BROWSER") == "1"  # CI says so; elsewhere what is missing skips the tests

try:
    from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

    from hub.space import app
except ImportError as error:
    if REQUIRED:
        raise
    pytest.skip(f"{error}; pip install -e '.[dev]' brings it", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
SPACE = ROOT / "hub" / "space"
ARTIFACTS = Path(os.environ.get("VGG_ZOO_ARTIFACTS") or ROOT / "runs" / "artifacts")
PHOTO = Path(sklearn.datasets.__file__).with_name("images") / "china.jpg"
NAMES = ["crane", "tench, Tinca tinca", "<b>bold</b> & co", "crane", "pagoda"]  # ImageNet has two cranes as well
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# ---- Without a browser


def net(seed: int = 0) -> Any:
    """A net whose classes differ enough to be told apart, with names."""
    torch.manual_seed(seed)
    model = small("vgg_d")
    with torch.no_grad():
        model.head.fc.weight.mul_(1000)
    model.pretrained_cfg["label_names"] = NAMES
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two nets with different scales of their own."""
    paths = [tmp_path_factory.mktemp("nets") / name for name in ("first", "second")]
    DenseEvaluator(net(), (64, 96, 160)).save_pretrained(paths[0])
    DenseEvaluator(net(1), (64, 128), flip=False).save_pretrained(paths[1])
    return paths


def image_bytes(image: Image.Image, kind: str = "PNG") -> bytes:
    """As a file of some format."""
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


BAD = {
    "notes.txt": (lambda: b"no photo at all\n" * 40, "it is no image of a format that is read here: JPEG, PNG, WEBP"),
    "text.jpg": (lambda: b"no photo at all\n" * 40, "it is no image of a format that is read here"),
    "empty.jpg": (lambda: b"", "the file is empty (0 bytes)"),
    "short.jpg": (lambda: PHOTO.read_bytes()[:30_000], "it is damaged or cut short ("),
    "corrupt.png": (lambda: _corrupt(), "it is damaged or cut short ("),
    "large.png": (
        lambda: image_bytes(Image.new("1", (10_000, 5_000))),
        "its 10000 × 5000 = 50,000,000 pixels are more than the 25,000,000 that are tested here; scale it down first",
    ),
    "bomb.png": (lambda: image_bytes(Image.new("1", (20_000, 20_000))), "exceeds limit"),
    "drawing.eps": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "it is no image"),
}
"""Files that are no photos, and what is said of them."""


def _corrupt() -> bytes:
    data = bytearray(image_bytes(Image.open(PHOTO)))
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    return bytes(data)


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


def test_the_heat_has_the_colours_of_the_explanations() -> None:
    """As matplotlib overlays them in `vgg_zoo.explanation`, within what eleven colours instead of 256 leave open."""
    photo = np.asarray(Image.open(PHOTO))
    rng = np.random.default_rng(0)
    places = {"rows": np.array([0.2, 0.5, 0.8]), "columns": np.array([0.1, 0.3, 0.6, 0.9])}
    placed = PlacedMap(scale=96, posteriors=rng.random((2, 3, 4)), **places)
    picture = app.heat_over(photo, placed, 1).astype(float)
    assert picture.shape == photo.shape
    grey = (np.asarray(Image.fromarray(photo).convert("L")) / 255 + 0.5) / 1.5
    colours, greys = (
        matplotlib.colormaps[name](values)[..., :3]
        for name, values in (("magma", placed.over(427, 640)[1]), ("gray", grey))
    )
    difference = np.abs(picture - 255 * (0.6 * colours + 0.4 * greys)).max(axis=2)
    dots = np.zeros(difference.shape, bool)
    for y in places["rows"]:
        for x in places["columns"]:
            dots[int(427 * y) - 1 : int(427 * y) + 2, int(640 * x) - 1 : int(640 * x) + 2] = True
    assert difference[~dots].max() < 5
    assert difference[dots].min() > 20


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
        (["--model", "."], ". is no folder of a trained net: it has no config.json"),
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
    import gradio
    from packaging.requirements import Requirement

    card = SpaceCard.load(SPACE / "README.md").data
    assert (card.sdk, card.app_file, card.license) == ("gradio", "app.py", "apache-2.0")
    assert card.title
    assert len(card.get("short_description")) <= 60  # the Hub refuses longer ones
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {card.get("colorFrom"), card.get("colorTo")} <= colours
    lines = (SPACE / "requirements.txt").read_text().splitlines()
    needed = {it.name: it for line in lines if line[0] not in "#-" and (it := Requirement(line))}
    assert set(needed) == {"gradio", "vgg-zoo"}
    for version in (card.sdk_version, gradio.__version__):
        assert version in needed["gradio"].specifier
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
    assert found - sys.stdlib_module_names == {"gradio", "numpy", "PIL", "vgg_zoo"}


# ---- The page, served by a process of its own, in a browser

GUARD = """
import os, sys

def guard(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in (None, "127.0.0.1", "localhost", "::1", "0.0.0.0"):
        with open(os.environ["LEFT_THIS_MACHINE"], "a") as file:
            print(event, host, file=file)
        raise OSError(f"no network in this test, not even {host}")

sys.addaudithook(guard)
"""
"""Imported by Python when it starts: names and connections that leave the machine are written down and refused."""


class Server:
    """The page, and what its process wrote."""

    def __init__(self, address: str, log: Path) -> None:
        self.address, self.log = address, log

    def call(self, name: str, data: list[Any]) -> dict[str, Any]:
        """What the server answers to a client that is no browser and keeps to no rules."""
        config = json.loads(self._get("config"))
        (index,) = [event["id"] for event in config["dependencies"] if event["api_name"] == name]
        session = uuid.uuid4().hex
        request = {"data": data, "fn_index": index, "session_hash": session}
        httpx.post(f"{self.address}/gradio_api/queue/join", json=request).raise_for_status()
        for line in self._get(f"gradio_api/queue/data?session_hash={session}").splitlines():
            if line.startswith("data:") and (event := json.loads(line[5:]))["msg"] == "process_completed":
                return event
        raise AssertionError("the server did not answer")

    def _get(self, path: str) -> str:
        return httpx.get(f"{self.address}/{path}", timeout=60).raise_for_status().text


@pytest.fixture(scope="module")
def server(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`python hub/space/app.py` on a free port, on two nets, without a network."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "sitecustomize.py").write_text(GUARD)
    log, left = folder / "log", folder / "left"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "hub/space/app.py", "--model", *map(str, folders), "--port", str(port)]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}:{ROOT}",
        "LEFT_THIS_MACHINE": str(left),
        "TMPDIR": str(folder),
    }
    environment.pop("SPACE_ID", None)
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(lambda: "open http" in log.read_text() or process.poll() is not None, 120)
        assert process.poll() is None, log.read_text()
        yield Server(f"http://127.0.0.1:{port}", log)
    finally:
        process.terminate()
        try:
            code = process.wait(30)
        finally:
            process.kill()
    assert code == 0, log.read_text()
    assert not left.exists(), left.read_text()
    assert not list(folder.glob("vgg_zoo_space_*")), "uploads are left behind"


def _wait(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"nothing happened in {seconds} s"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium that is installed; none is fetched."""
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    if found is None:
        message = "no Chromium here: apt install chromium (Debian), or Google's Chrome"
        pytest.fail(message) if REQUIRED else pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture
def page(server: Server, browser: Browser) -> Iterator[Page]:
    """The page in a new window. No request may leave the machine, nothing may go wrong in it or in the server."""
    before, wrong = len(server.log.read_text()), []
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(30_000)
    opened = context.new_page()

    def note_request(request: Any) -> None:
        address = urlparse(request.url)
        if address.scheme not in ("data", "blob") and address.hostname != "127.0.0.1":
            wrong.append(f"asked {request.url}")

    def note_message(message: Any) -> None:
        # gradio's: it asks how far an upload is, which a small one may have ended before; the browser and its own
        # code then say so.
        ended = "upload_progress" in message.location["url"] or message.text == "Response"
        if message.type == "error" and not ended:
            wrong.append(f"console: {message.text} ({message.location['url']})")

    opened.on("request", note_request)
    opened.on("websocket", note_request)
    opened.on("console", note_message)
    opened.on("pageerror", lambda error: wrong.append(f"page: {error}"))
    opened.goto(server.address)
    expect(opened.get_by_text("Drop a photo to begin.")).to_be_visible()
    yield opened
    context.close()
    assert not wrong
    assert "Traceback" not in server.log.read_text()[before:]


def upload(page: Page, name: str, data: bytes) -> None:
    """Choose a file as a person does by a click."""
    page.locator("#upload input[type=file]").set_input_files({"name": name, "mimeType": "", "buffer": data})


def said(page: Page, wrong: bool = False) -> Locator:
    """The page's message; gradio has places of its own for others."""
    return page.locator("#status").get_by_role("alert" if wrong else "status").and_(page.locator(".told"))


def upload_photo(page: Page) -> None:
    """A real one."""
    upload(page, "china.jpg", PHOTO.read_bytes())
    expect(said(page)).to_contain_text("china.jpg, 640 × 427 pixels")


def run_test(page: Page) -> None:
    """Press the button."""
    page.get_by_role("button", name="Test the photo").click()


def check_classes(page: Page, folder: Path, **settings: Any) -> None:
    """The table is what the evaluator says, apart from the page."""
    kept = DenseEvaluator.from_pretrained(folder)
    predictions = DenseEvaluator(kept.model, **{**kept.settings, **settings}).predict([PHOTO])[0]
    rows = page.locator("#classes tr").all()
    assert [row.locator("th").inner_text() for row in rows] == [name for name, _ in predictions]
    shown = [float(row.locator("td").first.inner_text()) for row in rows]
    assert shown == pytest.approx([posterior for _, posterior in predictions], abs=6e-5)  # of four decimals


def pixels_of(page: Page, image: Locator) -> Any:
    """An image of the page as an array."""
    answer = page.request.get(image.get_attribute("src"))
    with Image.open(io.BytesIO(answer.body())) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.slow
def test_a_photo_is_tested_and_explained(page: Page, folders: list[Path]) -> None:
    """From the drop to the class score maps of every class and scale, which are those of `vgg_zoo.explain`."""
    upload_photo(page)
    preview = page.locator("#photo img")
    expect(preview).to_be_visible()
    assert (preview.get_attribute("alt") == "The photo that you dropped") == bool(app.words_for(""))
    assert pixels_of(page, preview).shape == (427, 640, 3)
    run_test(page)
    expect(said(page)).to_contain_text("dense, Q = 64, 96, 160, averaged with the mirrored photo")
    expect(page.locator("#results")).to_be_visible()
    check_classes(page, folders[0])

    explanation = explain(PHOTO, DenseEvaluator.from_pretrained(folders[0]))
    heat = page.locator("#heat img")
    for place, scale in ((None, None), (4, 2), (4, 0), (0, 0), (0, 2)):
        if place is None:  # without a click: the likeliest class on the finest map
            place, scale = 0, 2
        else:
            page.locator("#shown-class label").nth(place).click()
            page.locator("#shown-scale label").nth(scale).click()
        name, placed = explanation.predictions[place][0], explanation.maps[scale]
        expect(page.locator("#legend")).to_contain_text(f"Posterior of {name} at each of")
        expect(page.locator("#legend")).to_contain_text(
            f"Q = {placed.scale}; the highest is {placed.posteriors[place].max():.3f}"
        )
        if app.words_for(""):
            expect(heat).to_have_attribute(
                "alt", f"Heat map over the photo: where the net sees {name} at Q = {placed.scale}"
            )
        expected = app.heat_over(explanation.photo, placed, place)
        assert np.abs(pixels_of(page, heat) - expected).max() <= 1
    box = heat.bounding_box()
    assert box["width"] > 400
    assert box["width"] / box["height"] == pytest.approx(640 / 427, rel=0.01)
    keep_screenshot(page, "space")


def keep_screenshot(page: Page, name: str) -> None:
    """Where CI takes it from."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    path = ARTIFACTS / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as picture:
        assert picture.width == page.viewport_size["width"]


@pytest.mark.slow
def test_every_setting_counts(page: Page, folders: list[Path]) -> None:
    """Net, protocol, scales and flips; choosing a net brings its own scales and flips."""
    upload_photo(page)
    page.get_by_label("Net", exact=True).click()
    page.get_by_role("option", name=str(folders[1])).click()
    flip = page.get_by_label("Average with the mirrored photo")
    expect(flip).not_to_be_checked()
    assert page.locator("#scales label").all_inner_texts() == ["64", "128"]
    page.get_by_label("128", exact=True).uncheck()
    page.get_by_label("Other scales").fill("100, 150")
    for protocol, label in (("multi_crop", "multi-crop: 5 × 5"), ("multi_crop_and_dense", "multi-crop and dense")):
        page.locator("#protocol label").filter(has_text=label).click()
        run_test(page)
        mirrored = "averaged" if flip.is_checked() else "not averaged"
        expected = f"{folders[1]}, {protocol.replace('_', ' ')}, Q = 64, 100, 150, {mirrored} with the mirrored photo"
        expect(said(page)).to_contain_text(expected)
        settings = {"scales": (64, 100, 150), "protocol": protocol, "flip": flip.is_checked()}
        check_classes(page, folders[1], **settings)
        flip.check()


@pytest.mark.slow
def test_bad_uploads_are_answered_and_the_page_goes_on(page: Page, folders: list[Path]) -> None:
    """Each by its own message, the photo before it is gone; a good photo is tested afterwards."""
    run_test(page)
    expect(said(page, wrong=True)).to_have_text("This cannot be tested: there is no photo yet; drop one first.")
    for name, (make, message) in BAD.items():
        upload_photo(page)
        upload(page, name, make())
        expect(said(page, wrong=True)).to_contain_text(f"{name}: ")
        expect(said(page, wrong=True)).to_contain_text(message)
        expect(page.locator("#photo")).to_be_hidden()
        if name == "large.png":
            keep_screenshot(page, "space_refused")
    run_test(page)
    expect(said(page, wrong=True)).to_contain_text("there is no photo yet")
    upload_photo(page)
    run_test(page)
    expect(said(page)).to_contain_text("dense, Q = ")
    check_classes(page, folders[0])
    upload(page, "notes.txt", b"text")
    expect(said(page, wrong=True)).to_contain_text("notes.txt")
    expect(page.locator("#results")).to_be_hidden()


@pytest.mark.slow
def test_a_file_of_too_many_bytes_is_answered(page: Page, tmp_path: Path) -> None:
    """By gradio, before it arrives; the page goes on."""
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(41 * 2**20)
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "huge.png")
    expect(page.get_by_text('exceed the maximum allowed size of 40.0 Mb: "huge.png"')).to_be_visible()
    upload_photo(page)


@pytest.mark.slow
def test_files_can_be_dropped(page: Page) -> None:
    """A photo, and a text file, which no filter of the browser keeps from being answered."""
    for name, data, message in (
        ("china.jpg", PHOTO.read_bytes(), "640 × 427"),
        ("notes.txt", b"text", "it is no image"),
    ):
        script = """([name, data]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)), dropped = new DataTransfer();
            dropped.items.add(new File([bytes], name, {type: name.endsWith("txt") ? "text/plain" : "image/jpeg"}));
            return dropped;
        }"""
        dropped = page.evaluate_handle(script, [name, base64.b64encode(data).decode()])
        page.locator("#upload button").dispatch_event("drop", {"dataTransfer": dropped})
        expect(page.locator("#status")).to_contain_text(f"{name}")
        expect(page.locator("#status")).to_contain_text(message)


@pytest.mark.slow
def test_wrong_scales_are_answered_and_the_page_goes_on(page: Page) -> None:
    """Each by its own message; right ones are tested afterwards."""
    upload_photo(page)
    typed = page.get_by_label("Other scales")
    for text, message in (
        ("big", "'big' is no scale"),
        ("63", "scales must be smallest sides of at least 64 pixels, the net's crop; got (63, 64, 96, 160)"),
        ("99999", "million pixels to test, and the most is 5 million; choose fewer or smaller scales"),
    ):
        typed.fill(text)
        run_test(page)
        expect(said(page, wrong=True)).to_contain_text(message)
    typed.fill("")
    for scale in ("64", "96", "160"):
        page.get_by_label(scale, exact=True).uncheck()
    run_test(page)
    expect(said(page, wrong=True)).to_contain_text("0 scales are chosen; tick or type at least one")
    typed.fill("70")
    run_test(page)
    expect(said(page)).to_contain_text("Q = 70,")


@pytest.mark.slow
def test_a_client_that_keeps_to_no_rules_gets_nothing(server: Server, folders: list[Path]) -> None:
    """Neither files of the server, nor what it would fetch, nor other nets, nor an endpoint of its own."""
    mark = {"meta": {"_type": "gradio.FileData"}}
    for path in (
        "/etc/passwd",
        str(folders[0] / "config.json"),
        f"{server.address}/config",
        "https://example.com/a.jpg",
    ):
        answer = server.call("take", [{"path": path, **mark}])
        assert answer["success"] is False
        assert "root:" not in json.dumps(answer)
    settings = ["dense", [64], "", True]
    assert "not in the list of choices" in server.call("test", [None, "/tmp", *settings])["output"]["error"]  # noqa: S108
    answer = server.call(
        "test", ["/etc/passwd", str(folders[0]), *settings]
    )  # the path is the server's, not the client's
    assert "there is no photo yet" in json.dumps(answer)
    for path in ("file=/etc/passwd", f"file={folders[0]}/config.json", "call/test", "proxy=http://127.0.0.1/"):
        assert httpx.get(f"{server.address}/gradio_api/{path}").status_code in (400, 403, 404, 405)
    endpoints = httpx.get(f"{server.address}/gradio_api/info").json()
    assert endpoints == {"named_endpoints": {}, "unnamed_endpoints": {}}


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(server: Server, folders: list[Path]) -> None:
    """In one line, with exit code 1."""
    port = server.address.rpartition(":")[2]
    command = [sys.executable, "hub/space/app.py", "--model", str(folders[0]), "--port", port]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert port in done.stderr
    assert "Traceback" not in done.stderr
