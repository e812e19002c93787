"""The Space's page in a real Chromium, from the drop to the class score maps."""

import base64
import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.hub.space.conftest import Server
from tests.hub.space.made import BAD, PHOTO, ROOT, skip_module
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.explanation import Explanation, explain

try:
    from playwright.sync_api import Locator, Page, expect

    from hub.space import app
except ImportError as error:
    skip_module(error)

pytestmark = pytest.mark.slow

ARTIFACTS = Path(os.environ.get("VGG_ZOO_ARTIFACTS") or ROOT / "runs" / "artifacts")


def upload(page: Page, name: str, data: bytes) -> None:
    """Choose a file as a person does by a click."""
    page.locator("#upload input[type=file]").set_input_files({"name": name, "mimeType": "", "buffer": data})


def upload_photo(page: Page) -> None:
    """A real one, which is tested at once."""
    upload(page, "china.jpg", PHOTO.read_bytes())
    expect(said(page)).to_contain_text("china.jpg: ")


def said(page: Page, wrong: bool = False) -> Locator:
    """The page's message; gradio has places of its own for others."""
    return page.locator("#status").get_by_role("alert" if wrong else "status").and_(page.locator(".told"))


def open_settings(page: Page) -> None:
    """They are folded away at first."""
    page.get_by_role("button", name="Settings").click()
    expect(page.get_by_role("button", name="Test again")).to_be_visible()


def run_test(page: Page) -> None:
    """Press the button."""
    page.get_by_role("button", name="Test again").click()


def check_classes(page: Page, folder: Path, **settings: Any) -> None:
    """The table and the answer are what the evaluator says, apart from the page."""
    kept = DenseEvaluator.from_pretrained(folder)
    predictions = DenseEvaluator(kept.model, **{**kept.settings, **settings}).predict([PHOTO])[0]
    expect(said(page).locator("strong")).to_have_text(f"{predictions[0][0]}, {predictions[0][1]:.2f}")
    rows = page.locator("#classes tr").all()
    assert [row.locator("th").inner_text() for row in rows] == [name for name, _ in predictions]
    shown = [float(row.locator("td").first.inner_text()) for row in rows]
    assert shown == pytest.approx([posterior for _, posterior in predictions], abs=6e-5)  # of four decimals


def pixels_of(page: Page, image: Locator) -> Any:
    """An image of the page as an array."""
    answer = page.request.get(image.get_attribute("src"))
    with Image.open(io.BytesIO(answer.body())) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def keep_screenshot(page: Page, name: str) -> None:
    """Where CI takes it from; nothing reaches beyond the window's right border."""
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


def explained(folder: Path) -> Explanation:
    """What the page makes of the photo, without the page."""
    return explain(PHOTO, DenseEvaluator.from_pretrained(folder))


WINDOWS = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone_light": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
    "phone_dark": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"},
}


@pytest.mark.parametrize("page", WINDOWS.values(), ids=WINDOWS, indirect=True)
def test_nothing_is_shown_before_there_is_something(page: Page, request: pytest.FixtureRequest) -> None:
    """First a place for a photo, examples and a hint; with a photo its results; with a bad file its message alone."""
    name = request.node.callspec.id
    shown = page.locator("#classes, #heat, #legend, #shown-class, #shown-scale, #photo, #net, #protocol, #go")
    expect(shown.locator("visible=true")).to_have_count(0)
    expect(page.locator("#upload, #examples, #status, #settings").locator("visible=true")).to_have_count(4)
    expect(page.get_by_role("link", name="vgg_zoo")).to_have_attribute("href", "https://pypi.org/project/vgg-zoo")
    keep_screenshot(page, f"space_{name}_empty")
    upload_photo(page)
    expect(shown.locator("visible=true")).to_have_count(6)
    expect(page.locator("#heat img")).to_have_js_property("complete", True)
    keep_screenshot(page, f"space_{name}_tested")
    open_settings(page)
    expect(shown.locator("visible=true")).to_have_count(9)
    keep_screenshot(page, f"space_{name}_settings")
    upload(page, "large.png", BAD["large.png"][0]())
    expect(said(page, wrong=True)).to_contain_text("large.png: its 10000 × 5000")
    expect(shown.locator("visible=true")).to_have_count(3)
    keep_screenshot(page, f"space_{name}_refused")


def test_a_photo_is_tested_and_explained(page: Page, folders: list[Path]) -> None:
    """From the drop to the class score maps of every class and scale, which are those of `vgg_zoo.explain`."""
    upload_photo(page)
    preview = page.locator("#photo img")
    expect(preview).to_have_attribute("alt", "The photo that is tested")
    assert pixels_of(page, preview).shape == (427, 640, 3)
    expect(said(page)).to_contain_text("dense, Q = 64, 96, 160, averaged with the mirrored photo")
    check_classes(page, folders[0])

    explanation, heat = explained(folders[0]), page.locator("#heat img")
    assert page.locator("#shown-scale label").all_inner_texts() == ["Q = 160", "Q = 96", "Q = 64"]
    for place, scale in ((None, 160), (4, 160), (4, 64), (0, 64), (0, 160)):
        if place is not None:  # without a click: the likeliest class on the finest map
            page.locator("#shown-class label").nth(place).click()
            page.get_by_label(f"Q = {scale}", exact=True).click()
        check_map(page, explanation, place or 0, scale)
    box = heat.bounding_box()
    assert box["width"] > 400
    assert box["width"] / box["height"] == pytest.approx(640 / 427, rel=0.01)


def check_map(
    page: Page, explanation: Explanation, shown_class: int, scale: int, position: tuple[int, int] | None = None
) -> None:
    """The picture and the words beneath it are those of a class, a scale and a window, the surest one if not given."""
    name = explanation.predictions[shown_class][0]
    number = [placed.scale for placed in explanation.maps].index(scale)
    placed = explanation.maps[number]
    if position is None:
        position = np.unravel_index(placed.posteriors[shown_class].argmax(), placed.posteriors.shape[1:])
    expect(page.locator("#legend")).to_contain_text(f"Posterior of {name} at each of")
    highest = placed.posteriors[shown_class].max()
    expect(page.locator("#legend")).to_contain_text(f"Q = {scale}; the highest is {highest:.3f}")
    values = placed.posteriors[:, position[0], position[1]]
    words = zip(explanation.predictions, values, strict=True)
    listed = ", ".join(f"{label} {value:.3f}" for (label, _), value in words)
    expect(page.locator("#legend")).to_contain_text(f"In the outlined window: {listed}.")
    heat = page.locator("#heat img")
    expect(heat).to_have_attribute("alt", f"Heat map over the photo: where the net sees {name} at Q = {scale}")
    expected = np.asarray(app.picture_of(explanation, number, shown_class, position)).astype(int)
    assert np.abs(pixels_of(page, heat) - expected).max() <= 1


def test_the_arrow_keys_move_among_radio_buttons(page: Page, folders: list[Path]) -> None:
    """There and back and around the end, and each time the map follows."""
    upload_photo(page)
    explanation = explained(folders[0])
    scales = page.locator("#shown-scale input")
    scales.first.focus()
    for key, place, scale in (
        ("ArrowDown", 1, 96),
        ("ArrowRight", 2, 64),
        ("ArrowLeft", 1, 96),
        ("ArrowUp", 0, 160),
        ("ArrowUp", 2, 64),
    ):
        page.keyboard.press(key)
        expect(scales.nth(place)).to_be_focused()
        expect(scales.nth(place)).to_be_checked()
        check_map(page, explanation, 0, scale)
    page.locator("#shown-class input").first.focus()
    page.keyboard.press("ArrowRight")
    check_map(page, explanation, 1, 64)


def test_a_click_on_the_map_outlines_a_window(page: Page, folders: list[Path]) -> None:
    """Whose posteriors are listed; the picture can be downloaded as it is shown."""
    upload_photo(page)
    explanation, heat = explained(folders[0]), page.locator("#heat img")
    check_map(page, explanation, 0, 160)
    box, rows, columns = heat.bounding_box(), explanation.maps[2].rows, explanation.maps[2].columns
    for row, column in ((0, 1), (len(rows) - 1, len(columns) - 2)):
        heat.click(position={"x": columns[column] * box["width"], "y": rows[row] * box["height"]})
        check_map(page, explanation, 0, 160, (row, column))
    shown = pixels_of(page, heat)
    page.locator("#heat").hover()
    with page.expect_download() as download:
        page.locator("#heat").get_by_label("Download").click()
    words = re.findall(r"\w+", explanation.predictions[0][0])
    assert download.value.suggested_filename == "_".join([*words, "Q160.png"])
    with Image.open(download.value.path()) as picture:
        assert picture.format == "PNG"
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), shown)


def test_examples_are_tested_at_a_click(page: Page) -> None:
    """Each of them."""
    for place, name in enumerate(("china.jpg", "flower.jpg")):
        example = page.locator("#examples button").nth(place)
        expect(example.locator("img")).to_have_attribute("alt", f"Example: {name.partition('.')[0]}")
        example.click()
        expect(said(page)).to_contain_text(f"{name}: ")
        assert pixels_of(page, page.locator("#photo img")).shape == (427, 640, 3)


def test_a_photo_that_is_dropped_during_a_test_waits_for_its_turn(page: Page, server: Server) -> None:
    """It is not lost; the first test ends only when the second photo has arrived."""
    with server.tests_held_up():
        upload(page, "first.jpg", PHOTO.read_bytes())
        expect(page.locator("#status")).to_contain_text("Testing first.jpg")
        with page.expect_response(lambda response: "queue/join" in response.url):
            upload(page, "second.jpg", PHOTO.with_name("flower.jpg").read_bytes())
        expect(page.locator("#status")).to_contain_text("Testing first.jpg")
    expect(said(page)).to_contain_text("second.jpg: ")


def test_every_setting_counts(page: Page, folders: list[Path]) -> None:
    """Net, protocol, scales and flips; choosing a net brings its own scales and flips."""
    upload_photo(page)
    open_settings(page)
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


def test_bad_uploads_are_answered_and_the_page_goes_on(page: Page, folders: list[Path]) -> None:
    """Each by its own message, the photo before it is gone; a good photo is tested afterwards."""
    open_settings(page)
    run_test(page)
    expect(said(page, wrong=True)).to_have_text("This cannot be tested: there is no photo yet; drop one first.")
    for name, (make, message) in BAD.items():
        upload_photo(page)
        upload(page, name, make())
        expect(said(page, wrong=True)).to_contain_text(f"{name}: ")
        expect(said(page, wrong=True)).to_contain_text(message)
        expect(page.locator("#photo")).to_be_hidden()
        expect(page.locator("#results")).to_be_hidden()
    run_test(page)
    expect(said(page, wrong=True)).to_contain_text("there is no photo yet")
    upload_photo(page)
    check_classes(page, folders[0])


def test_a_file_of_too_many_bytes_is_answered(page: Page, tmp_path: Path) -> None:
    """By gradio, before it arrives; the page goes on."""
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(41 * 2**20)
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "huge.png")
    expect(page.get_by_text('exceed the maximum allowed size of 40.0 Mb: "huge.png"')).to_be_visible()
    upload_photo(page)


def test_files_can_be_dropped(page: Page) -> None:
    """A photo, and a text file, which no filter of the browser keeps from being answered."""
    for name, data, message in (
        ("china.jpg", PHOTO.read_bytes(), "china.jpg: "),
        ("notes.txt", b"text", "notes.txt: it is no image"),
    ):
        script = """([name, data]) => {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)), dropped = new DataTransfer();
            dropped.items.add(new File([bytes], name, {type: name.endsWith("txt") ? "text/plain" : "image/jpeg"}));
            return dropped;
        }"""
        dropped = page.evaluate_handle(script, [name, base64.b64encode(data).decode()])
        page.locator("#upload button").dispatch_event("drop", {"dataTransfer": dropped})
        expect(page.locator("#status")).to_contain_text(message)


def test_wrong_scales_are_answered_and_the_page_goes_on(page: Page) -> None:
    """Each by its own message; right ones are tested afterwards."""
    upload_photo(page)
    open_settings(page)
    typed = page.get_by_label("Other scales")
    for text, message in (
        ("big", "'big' is no scale"),
        ("63", "scales must be smallest sides of at least 64 pixels, the net's crop; got (63, 64, 96, 160)"),
        ("99999", "million pixels to test, and the most is 5 million; choose fewer or smaller scales"),
    ):
        typed.fill(text)
        run_test(page)
        expect(said(page, wrong=True)).to_contain_text(message)
        expect(page.locator("#results")).to_be_hidden()
    typed.fill("")
    for scale in ("64", "96", "160"):
        page.get_by_label(scale, exact=True).uncheck()
    run_test(page)
    expect(said(page, wrong=True)).to_contain_text("0 scales are chosen; tick or type at least one")
    typed.fill("70")
    run_test(page)
    expect(said(page)).to_contain_text("Q = 70,")
