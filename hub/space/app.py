"""A page that shows a photo's five likeliest classes, and where in the photo the net sees them.

    python hub/space/app.py --model runs/demo/net

A photo is tested as soon as it is dropped, as the paper tests (Sect. 3.2): rescaled to each Q, the net applied to all
of it, to crops, or both. `vgg_zoo.explanation` computes and paints the class score map of each Q. The same file runs as
a Hugging Face Space, on the nets that the environment variable VGG_ZOO_MODELS names, or on `DEFAULT_MODELS`.
VGG_ZOO_PRECISION=bf16 computes in bfloat16, on a CPU with AMX or AVX512-BF16.

Nothing but the nets' weights is fetched, and those only by name: with folders the page needs no network. The server
listens to this machine alone, except in a Space.
"""

import argparse
import html
import io
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

# Read by gradio when it is imported and launched: no telemetry, no look for newer versions, no kept history of photos.
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_RUN_HISTORY="False")

import numpy as np
from PIL import Image, ImageDraw

from vgg_zoo.extras import install

try:
    import fastapi
    import gradio as gr
    import sklearn.datasets
    from matplotlib import colormaps
    from matplotlib.colors import to_hex
except ImportError as error:
    if __name__ != "__main__":
        raise
    sys.exit(f"error: {error}; install what the page needs: {install('space')}")

from vgg_zoo.entrypoints import predicts
from vgg_zoo.evaluation import GRID, PROTOCOLS, DenseEvaluator
from vgg_zoo.explanation import SHOWN, Explanation, PlacedMap, explain
from vgg_zoo.fast.bf16 import check_precision
from vgg_zoo.images.decoding import BadImageError, Pixels, read_pixels
from vgg_zoo.images.explained import heat_over
from vgg_zoo.images.pictures import enlarged
from vgg_zoo.images.preprocessing import rescaled_size
from vgg_zoo.pretrained import check_source
from vgg_zoo.style import HEAT
from vgg_zoo.weights.settings import file_beside, usual_settings

DEFAULT_MODELS = ("vgg_d.tv_in1k", "vgg_e.tv_in1k")

MOST_PIXELS = 25_000_000
"""A photo with more is refused by its header. A 24-megapixel camera's has about 24.3 million, which are 73 MB decoded;
decoding it took up to 341 MB."""

MOST_BYTES = "40mb"
"""Of an upload; gradio refuses more while it arrives. scikit-learn's china.jpg at 24 megapixels has 17 MB as PNG."""

MOST_SCALES = 8

MOST_TESTED = 5_000_000
"""Pixels of the photo at all scales together and of all crops. The paper's three scales and their 150 crops are 4.5
million of a 3:2 photo, and took net E 90 s on two busy CPU cores; 2 million at one scale, densely, 83 s."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats that are decoded. Pillow knows others whose decoders run other programs (EPS) or that no camera writes."""

PHOTOS = tuple(Path(sklearn.datasets.__file__).with_name("images") / name for name in ("china.jpg", "flower.jpg"))
"""Examples that come with scikit-learn."""

DIGITS = {"digit": [3], "digits": [4, 7, 2]}
"""Examples for a net of digits, by name: the digits that stand beside each other."""

PROTOCOL_LABELS = {
    "dense": "dense: the whole photo",
    "multi_crop": "multi-crop: 5 × 5 crops a scale",
    "multi_crop_and_dense": "multi-crop and dense: the mean of both",
}
assert PROTOCOL_LABELS.keys() == PROTOCOLS.keys()


# ---- Nets


def settings_of(model: str) -> Mapping[str, Any]:
    """The evaluator's arguments for a net, without loading it: its own, else the paper's.

    Args:
        model: A folder, a name that timm loads with its weights, or "hf-hub:ORG/NAME".

    Raises:
        ValueError: No such net, one that predicts boxes, or settings that are wrong.
    """
    config = Path(model) / "config.json"
    architecture = json.loads(config.read_text()).get("architecture") if config.is_file() else model.rpartition("/")[2]
    if predicts(str(architecture)) == "boxes":
        raise ValueError(
            f"{model} predicts boxes and no classes, and classes are what is shown here; `vgg-zoo localise` "
            "draws its boxes"
        )
    check_source(model)
    return usual_settings(model).values


class Nets:
    """The nets that the page offers, each loaded when it is first asked for, and once.

    Args:
        models: Folders or names, at least one.
        precision: "fp32", or "bf16" on a CPU that has it.

    Raises:
        ValueError: None, no such net, wrong settings, or no such precision here.
    """

    def __init__(self, models: Iterable[str], precision: str = "fp32") -> None:
        check_precision(precision)
        self.precision = precision
        self.settings = {model: settings_of(model) for model in models}
        if not self.settings:
            raise ValueError("name at least one net, for example --model runs/demo/net")
        self._loaded: dict[str, DenseEvaluator] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """In the order that they were given in."""
        return list(self.settings)

    def evaluator(self, name: str) -> DenseEvaluator:
        """The net with its own settings.

        Raises:
            ValueError: A net that is not offered, whatever the client says; or weights that do not fit.
            OSError: The weights cannot be fetched.
        """
        if name not in self.settings:
            raise ValueError(f"there is no net {name!r} here; there are {', '.join(self.settings)}")
        with self._lock:  # a second request waits rather than loading the same half gigabyte
            if name not in self._loaded:
                self._loaded[name] = DenseEvaluator(name, **self.settings[name], device=None, precision=self.precision)
            return self._loaded[name]

    def scales(self, name: str) -> list[int]:
        """Q of the net's own test; the paper's where nothing is kept with it. Does not load the net."""
        return list(self.settings[name]["scales"])

    def flip(self, name: str) -> bool:
        """Whether the net's own test averages with the mirrored photo."""
        return bool(self.settings[name]["flip"])


def examples_of(models: Iterable[str], folder: Path) -> list[str]:
    """Images to begin with, all of scikit-learn's: digits for nets of digits, photos for others; no network is needed.

    Args:
        models: What is offered.
        folder: Where files of the digits are written.

    Returns:
        Paths.
    """
    of_digits = {_names(model) == list("0123456789") for model in models}
    found = [str(path) for path in PHOTOS if False in of_digits]
    if True in of_digits:
        images = (sklearn.datasets.load_digits().images * (255 / 16)).astype(np.uint8)  # the first ten are 0 to 9
        for name, digits in DIGITS.items():
            found.append(str(folder / f"{name}.png"))
            Image.fromarray(np.hstack(images[digits])).save(found[-1])
    return found


def _names(model: str) -> list[str]:
    """A net's own class names; none where its config has none, or a name alone tells what it is."""
    config = file_beside(model, "config.json")
    return list(json.loads(config.read_text()).get("label_names") or ()) if config else []


# ---- What a person gives


def photo_of(path: str | Path) -> Pixels:
    """An uploaded photo, decoded only after its header has been found to be that of a photo of bearable size.

    Returns:
        (H, W, 3), RGB, at most `MOST_PIXELS`.

    Raises:
        BadImageError: No photo, a damaged one, or one of too many pixels; the message is for the person.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadImageError("it is no longer here; drop it again") from error
    if not data:
        raise BadImageError("the file is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise BadImageError(f"{error}; photos of up to {MOST_PIXELS:,} pixels are tested here") from error
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow's readers of headers raise
        raise BadImageError(f"it is no image of a format that is read here: {', '.join(FORMATS)}") from error
    if width * height > MOST_PIXELS:
        raise BadImageError(
            f"its {width} × {height} = {width * height:,} pixels are more than the {MOST_PIXELS:,} that are tested "
            "here; scale it down first"
        )
    try:
        return read_pixels(data)
    except BadImageError as error:
        raise BadImageError(f"it is damaged or cut short ({error})") from error


def scales_of(chosen: Sequence[int], typed: str) -> tuple[int, ...]:
    """The ticked and the typed test scales Q, rising.

    Raises:
        ValueError: None, too many, or something that is no whole number of pixels.
    """
    words = re.split(r"[\s,;]+", typed.strip()) if typed.strip() else []
    for word in words:
        if not re.fullmatch(r"[0-9]{1,5}", word):
            raise ValueError(f"{word[:20]!r} is no scale; scales are whole numbers of pixels, for example: 256, 384")
    scales = sorted({*map(int, chosen), *map(int, words)})
    if not 1 <= len(scales) <= MOST_SCALES:
        raise ValueError(f"{len(scales)} scales are chosen; tick or type at least one and at most {MOST_SCALES}")
    return tuple(scales)


def check_cost(evaluator: DenseEvaluator, height: int, width: int) -> None:
    """Refuse what would keep everybody else waiting.

    Raises:
        ValueError: The photo at the evaluator's scales, and its crops, have more than `MOST_TESTED` pixels.
    """
    pixels = 0
    for scale in evaluator.scales:
        columns, rows = rescaled_size(width, height, scale)
        pixels += columns * rows + (0 if evaluator.protocol == "dense" else (GRID * evaluator.side) ** 2)
    if pixels > MOST_TESTED:
        raise ValueError(
            f"this photo at Q = {_listed(evaluator.scales)} would be {pixels / 1e6:,.1f} million pixels to test, and "
            f"the most is {MOST_TESTED / 1e6:.0f} million; choose fewer or smaller scales"
        )


# ---- What a person sees


def centres_of(placed: PlacedMap, photo: Pixels) -> tuple[Any, Any]:
    """Where the centres of a map's rows and columns lie in the photo, in pixels."""
    return placed.rows * photo.shape[0], placed.columns * photo.shape[1]


def picture_of(explanation: Explanation, scale: int, shown_class: int, position: tuple[int, int]) -> Image.Image:
    """The posteriors of one class over the photo, a dot at the centre of every window, and one window's outline.

    Args:
        explanation: Of the photo.
        scale: Which of its maps.
        shown_class: Which of the map's classes.
        position: Row and column of the outlined window.
    """
    photo, placed = explanation.photo, explanation.maps[scale]
    height, width = photo.shape[:2]
    picture = Image.fromarray(heat_over(photo, placed.over(height, width)[shown_class]))
    draw, unit = ImageDraw.Draw(picture, "RGBA"), max(height, width) / 300
    rows, columns = centres_of(placed, photo)
    for y in rows:
        for x in columns:
            draw.ellipse((x - unit, y - unit, x + unit, y + unit), fill="#ffffffcc")
    y, x = rows[position[0]], columns[position[1]]
    down, across = placed.window[0] * height / 2, placed.window[1] * width / 2
    box = (max(0, x - across), max(0, y - down), min(width - 1, x + across), min(height - 1, y + down))
    for colour, line in (("#000000", 2.5), ("#ffffff", 1.5)):
        draw.rectangle(box, outline=colour, width=round(line * unit))
    return picture


def legend_of(explanation: Explanation, scale: int, shown_class: int, position: tuple[int, int]) -> str:
    """What `picture_of` shows, as HTML."""
    placed, names = explanation.maps[scale], [html.escape(name) for name, _ in explanation.predictions]
    values = placed.posteriors[:, position[0], position[1]]
    in_window = ", ".join(f"{name} {value:.3f}" for name, value in zip(names, values, strict=True))
    rows, columns = placed.posteriors.shape[1:]
    side = round(max(placed.window) * placed.scale)  # of the rescaled photo, whose smaller side is Q
    steps = [*np.diff(placed.rows) / placed.window[0], *np.diff(placed.columns) / placed.window[1]]
    shared = f", and shares {1 - steps[0]:.0%} of them with each neighbour" if steps else ""
    return (
        "<div class='legend'><span>0</span><div></div><span>1</span></div>"
        f"<p class='small'>Posterior of {names[shown_class]} at each of the {rows} × {columns} positions of the class "
        f"score map at Q = {placed.scale}; the highest is {placed.posteriors[shown_class].max():.3f}. Each dot is the "
        f"centre of a window of {side} × {side} pixels of the rescaled photo{shared}: a bright dot says that the class "
        "is somewhere in its window, not where. Colours between dots are interpolated.</p>"
        f"<p class='small'>In the outlined window: {in_window}. Click on the picture to choose another.</p>"
    )


def table_of(predictions: Sequence[tuple[str, float]]) -> str:
    """The likeliest classes and their posteriors with bars, as HTML."""
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(name) or '(no name)'}</th><td>{posterior:.4f}</td>"
        f"<td class='bar'><div style='width:{100 * posterior:.2f}%'></div></td></tr>"
        for name, posterior in predictions
    )
    return f"<table class='classes'><caption>Likeliest classes and their posteriors</caption>{rows}</table>"


def told(text: str, wrong: bool = False, answer: str = "") -> str:
    """A message, and the answer before it, as HTML that screen readers speak when it appears."""
    role, kind = ("alert", "wrong") if wrong else ("status", "fine")
    first = f"<strong>{html.escape(answer)}</strong>" if answer else ""
    return f"<p role='{role}' class='told {kind}'>{first}{html.escape(text)}</p>"


def _listed(scales: Iterable[int]) -> str:
    return ", ".join(map(str, scales))


# ---- The page

HEAD = """
# What a VGG net sees in a photo, and where

A page of [vgg_zoo](https://pypi.org/project/vgg-zoo), which tests photos as
[the VGG paper](https://arxiv.org/abs/1409.1556) does.
"""

ABOUT = """
**How it works** (Sect. 3.2). The photo is rescaled so that its smallest side is Q. The net's fully-connected layers
become convolutions, so that the net applies to the whole photo and gives a *class score map*: the score of every class
at every position, one for each window of the size of a training crop, the next one 32 pixels further. The scores' mean
over positions, through the soft-max, gives the photo's *posterior* of each class; posteriors are averaged over the
mirrored photo and over the scales. *Multi-crop* tests a grid of 5 × 5 crops of each scale instead.

The picture shows the soft-max at each position of the map of the photo itself, not mirrored, at the window's centre.
Windows overlap, and inside the photo the convolutions see some pixels around their window, too.

Photos are deleted within an hour and used for nothing else. The examples come with scikit-learn: photos by
danielbuechele and vultilion ([CC BY 2.0](https://creativecommons.org/licenses/by/2.0/)), digits by Alpaydin and Kaynak
([CC BY 4.0](https://creativecommons.org/licenses/by/4.0/)).
"""

STYLE = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
.html-container { padding: 0 !important; }
.told { margin: 0; padding: 12px 16px; border-radius: 6px; border-left: 4px solid #0f766e;
        background: var(--background-fill-secondary); color: var(--body-text-color); overflow-wrap: anywhere; }
.told strong { display: block; font-size: 20px; color: var(--body-text-color); }
.told.wrong { border-left-color: #b91c1c; background: #fef2f2; color: #7f1d1d; }
.dark .told.wrong { background: #450a0a; color: #fecaca; }
.classes { width: 100%; border-collapse: collapse; color: var(--body-text-color); }
.classes caption { text-align: left; font-weight: 600; padding: 0 0 6px; }
.classes th, .classes td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--border-color-primary); }
.classes th { text-align: left; font-weight: 400; overflow-wrap: anywhere; }
.classes td { width: 3.5em; text-align: right; font-variant-numeric: tabular-nums; }
.classes td.bar { width: 45%; padding-right: 0; }
.classes td.bar div { height: 12px; min-width: 1px; border-radius: 3px; background: #8c2981; }
.dark .classes td.bar div { background: #de4968; }
.legend { display: flex; align-items: center; gap: 8px; color: var(--body-text-color); font-size: 13px; }
.legend div { flex: 1; height: 10px; border-radius: 3px; background: linear-gradient(to right, MAGMA); }
.small { font-size: 13px; margin: 6px 0 0; color: var(--body-text-color-subdued); }
#examples img[src$=".png"] { image-rendering: pixelated; }
#heat .icon-button-wrapper { position: static; width: fit-content; margin-left: auto; border: 0; }
""".replace("MAGMA", ", ".join(to_hex(colour) for colour in colormaps[HEAT](np.linspace(0, 1, 11))))

SCRIPT = """() => {
    document.addEventListener("keydown", ({key, target}) => {
        const group = target.closest?.("fieldset");
        if (target.type === "radio" && key.startsWith("Arrow"))
            for (const radio of group.querySelectorAll("input")) radio.name = group.id;
    }, true);
    const name = () => document.querySelectorAll("#examples img").forEach((image) => {
        image.alt = "Example: " + image.src.split("/").pop().split(".")[0];
    });
    new MutationObserver(name).observe(document.body, {childList: true, subtree: true});
    name();
}"""
"""gradio gives each radio button a name of its own, but arrow keys move among buttons of one name; and it gives its
examples no text for those who do not see them."""

THEME = gr.themes.Base(  # fonts of the person's machine: none is fetched
    primary_hue="purple", font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")
).set(  # the theme's own greys and its purple are too light to be read easily (WCAG asks for a contrast of 4.5)
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    input_placeholder_color="*neutral_500",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    checkbox_background_color_selected="*primary_700",
)

Updates = dict[Any, Any]
"""Components and their new values; the others stay as they are."""


class Page:
    """The components and what happens at each event.

    Args:
        nets: What is offered.
        folder: Where files of examples and pictures are written: gradio's own, so that it deletes them.
    """

    def __init__(self, nets: Nets, folder: Path) -> None:
        self.nets, self.folder = nets, folder
        # Uploads and pictures are deleted within an hour, by a look every five minutes.
        with gr.Blocks(title="VGG class score maps", analytics_enabled=False, delete_cache=(300, 3300)) as self.blocks:
            gr.Markdown(HEAD)
            self.path = gr.State(None)
            self.explanation = gr.State(None, time_to_live=3600)  # for the person's next click: at most 3 MB
            with gr.Row():
                with gr.Column(min_width=320):
                    self._inputs(examples_of(nets.names, folder))
                with gr.Column(min_width=320):
                    self._outputs()
            gr.Markdown(ABOUT)
            self._events()

    def _inputs(self, examples: Sequence[str]) -> None:
        # Takes every file: gr.Image turns other types away in the browser, in its own words.
        self.upload = gr.File(label="Photo: drop it here or click", height=140, elem_id="upload")
        self.examples = gr.Dataset(
            components=[gr.Image(render=False)],
            samples=[[path] for path in examples],
            label="Or an example",
            elem_id="examples",
        )
        self.preview = gr.Image(
            label="Your photo",
            alt_text="The photo that is tested",
            visible=False,
            height=240,
            format="jpeg",
            buttons=[],
            elem_id="photo",
        )
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            self._settings()

    def _settings(self) -> None:
        first = self.nets.names[0]
        self.net = gr.Dropdown(self.nets.names, value=first, label="Net", elem_id="net")
        self.protocol = gr.Radio(
            [(label, name) for name, label in PROTOCOL_LABELS.items()],
            value=next(iter(PROTOCOLS)),
            label="Protocol",
            elem_id="protocol",
        )
        self.scales = gr.CheckboxGroup(self.nets.scales(first), **self._ticked(first), elem_id="scales")
        self.typed = gr.Textbox(
            label="Other scales", placeholder="for example: 320, 448", max_length=60, elem_id="typed"
        )
        self.flip = gr.Checkbox(self.nets.flip(first), label="Average with the mirrored photo", elem_id="flip")
        self.go = gr.Button("Test again", variant="primary", elem_id="go")

    def _ticked(self, name: str) -> dict[str, Any]:
        info = "smallest side of the rescaled photo in pixels"
        return {"value": self.nets.scales(name), "label": "Test scales Q", "info": info}

    def _outputs(self) -> None:
        self.status = gr.HTML(told("Drop a photo to begin."), apply_default_css=False, elem_id="status")
        with gr.Column(visible=False, elem_id="results") as self.results:
            self.table = gr.HTML(apply_default_css=False, elem_id="classes")
            self.shown_class = gr.Radio([], label="Class shown", elem_id="shown-class")
            self.shown_scale = gr.Radio([], label="Scale Q shown", elem_id="shown-scale")
            buttons: list[Any] = ["download", "fullscreen"]
            self.heat = gr.Image(label="Class score map over the photo", format="png", buttons=buttons, elem_id="heat")
            self.legend = gr.HTML(apply_default_css=False, elem_id="legend")

    def _events(self) -> None:
        # "private": no endpoint for other programs. One test at a time, however it is asked for, bounds the memory.
        options: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 1}
        settings = [self.net, self.protocol, self.scales, self.typed, self.flip]
        picked = [self.explanation, self.shown_class, self.shown_scale]
        painted = [self.heat, self.legend]
        results = [self.status, self.results, self.table, *picked, *painted]
        testing = {**options, "concurrency_id": "test", "show_progress_on": [self.status]}
        shown = [self.upload, self.path, self.preview, *results]
        # "multiple": a photo that is dropped during a test waits for its turn.
        self.upload.upload(self.take, [self.upload, *settings], shown, trigger_mode="multiple", **testing)
        self.examples.click(self.take_example, [self.examples, *settings], shown, **testing)
        self.go.click(self.test, [self.path, *settings], results, **testing)
        self.net.input(self.offer, [self.net], [self.scales, self.typed, self.flip], **options)
        pickers = [self.shown_class.input, self.shown_scale.input]
        gr.on(pickers, self.paint, picked, painted, show_progress="hidden", **options)
        self.heat.select(self.point, picked, painted, show_progress="hidden", **options)

    def take(self, path: str | None, *settings: Any) -> Iterator[Updates]:
        """A file has arrived: show it and test it, or say what is wrong with it; the drop zone is free again."""
        name = Path(path).name if path else "The photo"
        try:
            if path is None:
                raise BadImageError("nothing arrived")
            photo = photo_of(path)
        except BadImageError as error:
            gone = {self.upload: None, self.path: None, self.preview: gr.Image(None, visible=False)}
            yield {**gone, **self._without_results(told(f"{name}: {error}.", wrong=True))}
            return
        shown = Image.fromarray(photo)
        shown.thumbnail((SHOWN, SHOWN))
        preview = gr.Image(enlarged(np.asarray(shown)), visible=True)
        said = told(f"Testing {name}, {photo.shape[1]} × {photo.shape[0]} pixels …")
        yield {self.upload: None, self.path: path, self.preview: preview, **self._without_results(said)}
        yield self.test(path, *settings)

    def _without_results(self, said: str) -> Updates:
        return {self.status: said, self.results: gr.Column(visible=False), self.explanation: None}

    def take_example(self, example: Sequence[str], *settings: Any) -> Iterator[Updates]:
        """An example is like a file that has arrived."""
        yield from self.take(example[0], *settings)

    def offer(self, name: str) -> Updates:
        """Another net: its own scales, ticked, and its own flips."""
        if name not in self.nets.settings:
            return {}
        scales = gr.CheckboxGroup(self.nets.scales(name), **self._ticked(name))
        return {self.scales: scales, self.typed: "", self.flip: self.nets.flip(name)}

    def test(
        self, path: str | None, name: str, protocol: str, chosen: list[int], typed: str | None, flip: bool
    ) -> Updates:
        """Test the photo; what is wrong is said, and nothing old stays beside it."""
        started = time.perf_counter()
        try:
            if path is None:
                raise ValueError("there is no photo yet; drop one first")
            scales = scales_of(chosen, typed or "")
            found = self._explanation(path, name, scales, protocol, flip)
        except (ValueError, OSError) as error:
            return self._without_results(told(f"This cannot be tested: {error}.", wrong=True))
        predictions = found.predictions
        said = (
            f"{Path(path).name}: {name}, {protocol.replace('_', ' ')}, Q = {_listed(scales)}, "
            f"{'' if flip else 'not '}averaged with the mirrored photo; {time.perf_counter() - started:.1f} s"
        )
        classes = [(label, place) for place, (label, _) in enumerate(predictions)]
        finest_first = [(f"Q = {scale}", place) for place, scale in enumerate(scales)][::-1]
        return {
            self.status: told(said, answer=f"{predictions[0][0]}, {predictions[0][1]:.2f}"),
            self.results: gr.Column(visible=True),
            self.explanation: found,
            self.table: table_of(predictions),
            self.shown_class: gr.Radio(classes, value=0),
            self.shown_scale: gr.Radio(finest_first, value=finest_first[0][1]),
            **self.paint(found, 0, finest_first[0][1]),
        }

    def _explanation(self, path: str, name: str, scales: tuple[int, ...], protocol: str, flip: bool) -> Explanation:
        kept = self.nets.evaluator(name)
        chosen = {**kept.settings, "scales": scales, "protocol": protocol, "flip": flip}
        evaluator, photo = DenseEvaluator(kept.model, **chosen, precision=kept.precision), photo_of(path)
        check_cost(evaluator, *photo.shape[:2])
        explanation = explain(photo, evaluator)
        return replace(explanation, photo=enlarged(explanation.photo))

    def paint(
        self,
        explanation: Explanation | None,
        shown_class: int | None,
        shown_scale: int | None,
        position: tuple[int, int] | None = None,
    ) -> Updates:
        """The map of the class and scale that are picked, and one window of it, the surest one unless it is given."""
        if explanation is None or shown_class is None or shown_scale is None:  # forgotten by the server after an hour
            return {self.legend: told("The result is no longer here; press “Test again”.", wrong=True)}
        placed, name = explanation.maps[shown_scale], explanation.predictions[shown_class][0]
        if position is None:
            position = divmod(int(placed.posteriors[shown_class].argmax()), len(placed.columns))
        text = f"Heat map over the photo: where the net sees {name} at Q = {placed.scale}"
        shown = explanation, shown_scale, shown_class, position
        # gradio would call it image.png, and that is what a download of it would be called.
        words = re.findall(r"\w+", name[:40])
        file = Path(tempfile.mkdtemp(dir=self.folder)) / f"{'_'.join([*words, f'Q{placed.scale}'])}.png"
        picture_of(*shown).save(file)
        return {self.heat: gr.Image(str(file), alt_text=text), self.legend: legend_of(*shown)}

    def point(
        self, explanation: Explanation | None, shown_class: int | None, shown_scale: int | None, click: gr.SelectData
    ) -> Updates:
        """The window whose centre is nearest to a click on the map."""
        position = None
        if explanation is not None and shown_scale is not None:
            rows, columns = centres_of(explanation.maps[shown_scale], explanation.photo)
            x, y = click.index
            position = int(abs(rows - y).argmin()), int(abs(columns - x).argmin())
        return self.paint(explanation, shown_class, shown_scale, position)


def models_of(environment: str | None) -> list[str]:
    """The nets that VGG_ZOO_MODELS names, separated by spaces or commas; the default ones if it is not set."""
    return re.findall(r"[^\s,]+", environment or "") or list(DEFAULT_MODELS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until it is interrupted; 1 if that cannot be done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", nargs="+", metavar="NAME_OR_FOLDER", help="default: $VGG_ZOO_MODELS, or D and E")
    parser.add_argument("--port", type=int, default=7860)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a Space is stopped like this; uploads are deleted then
    try:
        models = options.model or models_of(os.environ.get("VGG_ZOO_MODELS"))
        nets = Nets(models, os.environ.get("VGG_ZOO_PRECISION") or "fp32")
        with tempfile.TemporaryDirectory(prefix="vgg_zoo_space_") as folder:
            os.environ["GRADIO_TEMP_DIR"] = folder
            serve(Page(nets, Path(folder)), options.port)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


async def refuse_addresses(request: fastapi.Request) -> None:
    """Photos are uploaded: gradio would fetch any public address that a client names as its file, however large.

    Raises:
        HTTPException: JSON that has an address in the place of a file's path.
    """

    def check(found: dict[str, Any]) -> dict[str, Any]:
        if re.match(r"\s*https?:", str(found.get("path")), re.IGNORECASE):
            raise fastapi.HTTPException(403, f"photos are uploaded, not fetched from {str(found['path'])[:100]}")
        return found

    if request.method == "POST" and not request.url.path.endswith("/gradio_api/upload"):  # read as it arrives
        try:
            json.loads(await request.body(), object_hook=check)
        except ValueError:  # no JSON: it is refused where it is read
            return


def serve(page: Page, port: int) -> None:
    """Serve the page until it is interrupted.

    Raises:
        OSError: The port is taken.
    """
    _, address, _ = page.blocks.queue(max_size=32).launch(
        server_name="0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1",  # noqa: S104 (a Space is a container)
        server_port=port,
        share=False,
        max_file_size=MOST_BYTES,
        state_session_capacity=100,  # results of 3 MB
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        app_kwargs={"dependencies": [fastapi.Depends(refuse_addresses)]},
        footer_links=[],
        quiet=True,
        prevent_thread_lock=True,
        theme=THEME,
        css=STYLE,
        js=SCRIPT,
    )
    print(f"open {address}", flush=True)
    page.blocks.block_thread()


if __name__ == "__main__":
    sys.exit(main())
