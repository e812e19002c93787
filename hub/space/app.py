"""A page where a person drops a photo and sees its five likeliest classes and where in the photo the net sees them.

    python hub/space/app.py --model runs/demo/net

The photo is tested as the paper tests (Sect. 3.2): rescaled to each Q, the net applied to all of it, to crops, or both;
the class score map of each Q is laid over the photo by `vgg_zoo.explain`. As a Hugging Face Space it runs as it is, on
the nets that the environment variable VGG_ZOO_MODELS names, or on `DEFAULT_MODELS`. VGG_ZOO_PRECISION=bf16 computes in
bfloat16, on a CPU with AMX or AVX512-BF16.

Nothing but the nets' weights is fetched, and those only by name: with folders the page needs no network. The server
listens to this machine alone, except in a Space.
"""

import argparse
import html
import inspect
import io
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

# Read by gradio when it is imported and launched: no telemetry, no look for newer versions, no kept history of photos.
os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_RUN_HISTORY="False")

import gradio as gr
import numpy as np
from gradio import processing_utils
from PIL import Image, ImageColor

from vgg_zoo.entrypoints import predicts
from vgg_zoo.evaluation import GRID, PROTOCOLS, DenseEvaluator
from vgg_zoo.explanation import SHOWN, Explanation, PlacedMap, explain
from vgg_zoo.fast.bf16 import check_precision
from vgg_zoo.images.decoding import BadImageError, Pixels, read_pixels
from vgg_zoo.images.preprocessing import rescaled_size
from vgg_zoo.pretrained import check_source
from vgg_zoo.weights.settings import usual_settings

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

PROTOCOL_LABELS = {
    "dense": "dense: the whole photo",
    "multi_crop": "multi-crop: 5 × 5 crops a scale",
    "multi_crop_and_dense": "multi-crop and dense: the mean of both",
}
assert PROTOCOL_LABELS.keys() == PROTOCOLS.keys()

MAGMA = "#000004, #140e36, #3b0f70, #641a80, #8c2981, #b73779, #de4968, #f7705c, #fe9f6d, #fecf92, #fcfdbf"
"""matplotlib's colour map of `vgg-zoo explain`, from 0 to 1 in equal steps."""


# ---- Nets


def settings_of(model: str) -> Mapping[str, Any]:
    """The evaluator's arguments for a net, without loading it: its own, else the paper's.

    Args:
        model: A folder, a name that timm loads with its weights, or "hf-hub:ORG/NAME".

    Raises:
        ValueError: No such net, one that predicts boxes, or settings that are wrong.
    """
    if predicts(_architecture(model)) == "boxes":
        raise ValueError(
            f"{model} predicts boxes and no classes, and classes are what is shown here; `vgg-zoo localise` "
            "draws its boxes"
        )
    check_source(model)
    return usual_settings(model).values


def _architecture(model: str) -> str:
    """What the folder's config says, or the name."""
    config = Path(model) / "config.json"
    if config.is_file():
        return str(json.loads(config.read_text()).get("architecture"))
    return model.rpartition("/")[2]


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


def enlarged(photo: Pixels) -> Pixels:
    """A photo smaller than half of `SHOWN`, such as a digit of 8 × 8 pixels, with every pixel a square of them."""
    factor = max(1, SHOWN // 2 // max(photo.shape[:2]))
    return photo.repeat(factor, axis=0).repeat(factor, axis=1)


def heat_over(photo: Pixels, placed: PlacedMap, place: int) -> Pixels:
    """The posteriors of one class in colours over the grey photo, with a dot at the centre of every window.

    Args:
        photo: (H, W, 3).
        placed: The map of one scale.
        place: Of the class among the map's.

    Returns:
        (H, W, 3); 0 is black and 1 light yellow, as `vgg-zoo explain` draws it.
    """
    height, width = photo.shape[:2]
    heat = replace(placed, posteriors=placed.posteriors[place : place + 1]).over(height, width)[0]
    scale = np.array([ImageColor.getrgb(colour) for colour in MAGMA.split(", ")])
    steps = np.linspace(0, 1, len(scale))
    colours = np.stack([np.interp(heat, steps, channel) for channel in scale.T], axis=2)
    grey = np.asarray(Image.fromarray(photo).convert("L"), dtype=np.float64)[:, :, None]
    picture = 0.6 * colours + 0.4 * (grey + 127.5) / 1.5  # no black: colours are to be seen on every photo
    radius = max(height, width) // 400
    for y in (placed.rows * height).astype(int):
        for x in (placed.columns * width).astype(int):
            dot = picture[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
            dot += (255 - dot) * 0.6
    return picture.round().astype(np.uint8)


def table_of(predictions: Sequence[tuple[str, float]]) -> str:
    """The likeliest classes and their posteriors with bars, as HTML."""
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(name) or '(no name)'}</th><td>{posterior:.4f}</td>"
        f"<td class='bar'><div style='width:{100 * posterior:.2f}%'></div></td></tr>"
        for name, posterior in predictions
    )
    return f"<table class='classes'><caption>Likeliest classes and their posteriors</caption>{rows}</table>"


def told(text: str, wrong: bool = False) -> str:
    """A message as HTML that screen readers speak when it appears."""
    role, kind = ("alert", "wrong") if wrong else ("status", "fine")
    return f"<p role='{role}' class='told {kind}'>{html.escape(text)}</p>"


def _listed(scales: Iterable[int]) -> str:
    return ", ".join(map(str, scales))


def legend_of(name: str, placed: PlacedMap, place: int) -> str:
    """What the heat map shows, as HTML."""
    rows, columns = placed.posteriors.shape[1:]
    return (
        "<div class='legend'><span>0</span><div></div><span>1</span></div>"
        f"<p class='small'>Posterior of {html.escape(name)} at each of the {rows} × {columns} positions of the class "
        f"score map at Q = {placed.scale}; the highest is {placed.posteriors[place].max():.3f}. Each dot is the centre "
        "of one window.</p>"
    )


def words_for(text: str) -> dict[str, Any]:
    """For those who do not see a picture; gradio before 6.28 has no place for them."""
    return {"alt_text": text} if "alt_text" in inspect.signature(gr.Image).parameters else {}


# ---- The page

ABOUT = """
**How it works** (Sect. 3.2 of [the VGG paper](https://arxiv.org/abs/1409.1556)). The photo is rescaled so that its
smallest side is Q. The net's fully-connected layers become convolutions, so that the net applies to the whole photo
and gives a *class score map*: the score of every class at every position, one place for each window of the size of a
training crop, the next one 32 pixels further. The scores' mean over positions, through the soft-max, gives the photo's
*posterior* of each class; posteriors are averaged over the mirrored photo and over the scales. *Multi-crop* tests a
grid of 5 × 5 crops of each scale instead.

The picture shows the soft-max at each position of the map of the photo itself, not mirrored, at the window's centre.
Photos are deleted within an hour and used for nothing else.
"""

STYLE = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
.html-container { padding: 0 !important; }
.told { margin: 0; padding: 12px 16px; border-radius: 6px; border-left: 4px solid #0f766e;
        background: var(--background-fill-secondary); color: var(--body-text-color); overflow-wrap: anywhere; }
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
""".replace("MAGMA", MAGMA)

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

Updates = list[Any]


class Page:
    """The components and what happens at each event.

    Args:
        nets: What is offered.
    """

    def __init__(self, nets: Nets) -> None:
        self.nets = nets
        # Uploads and pictures are deleted within an hour, by a look every five minutes.
        with gr.Blocks(title="VGG class score maps", analytics_enabled=False, delete_cache=(300, 3300)) as self.blocks:
            gr.Markdown("# What a VGG net sees in a photo, and where")
            self.path = gr.State(None)
            self.result = gr.State(None, time_to_live=3600)  # for the person's next click: at most 3 MB
            with gr.Row():
                with gr.Column(min_width=320):
                    self._inputs()
                with gr.Column(min_width=320):
                    self._outputs()
            gr.Markdown(ABOUT)
            self._events()

    def _inputs(self) -> None:
        first = self.nets.names[0]
        # Takes every file: gr.Image turns other types away in the browser, in its own words.
        self.upload = gr.File(label="Photo: drop it here or click", height=140, elem_id="upload")
        self.preview = gr.Image(
            label="Your photo", visible=False, height=240, format="jpeg", buttons=[], elem_id="photo"
        )
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
        self.go = gr.Button("Test the photo", variant="primary", elem_id="go")

    def _ticked(self, name: str) -> dict[str, Any]:
        info = "smallest side of the rescaled photo in pixels"
        return {"value": self.nets.scales(name), "label": "Test scales Q", "info": info}

    def _outputs(self) -> None:
        self.status = gr.HTML(told("Drop a photo to begin."), apply_default_css=False, elem_id="status")
        # "hidden", never False: gradio before 6.28 does not show a column that it had left out.
        with gr.Column(visible="hidden", elem_id="results") as self.results:
            self.table = gr.HTML(apply_default_css=False, elem_id="classes")
            self.heat = gr.Image(
                label="Class score map over the photo", format="png", buttons=["fullscreen"], elem_id="heat"
            )
            self.legend = gr.HTML(apply_default_css=False, elem_id="legend")
            self.shown_class = gr.Radio([], label="Class shown", elem_id="shown-class")
            self.shown_scale = gr.Radio([], label="Scale Q shown", elem_id="shown-scale")

    def _events(self) -> None:
        # "private": no endpoint for other programs. One test at a time, and one upload beside it, bound the memory.
        options: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 1}
        painted = [self.heat, self.legend]
        pickers = [self.shown_class, self.shown_scale]
        self.upload.upload(
            self.take, [self.upload], [self.upload, self.path, self.preview, self.status, self.results], **options
        )
        self.net.input(self.offer, [self.net], [self.scales, self.typed, self.flip], **options)
        self.go.click(
            self.test,
            [self.path, self.net, self.protocol, self.scales, self.typed, self.flip],
            [self.status, self.results, self.result, self.table, *pickers, *painted],
            show_progress_on=[self.status],
            **options,
        )
        gr.on(
            [picker.input for picker in pickers],
            self.paint,
            [self.result, *pickers],
            painted,
            show_progress="hidden",
            **options,
        )

    def take(self, path: str | None) -> Updates:
        """A file has arrived: show it, or say what is wrong with it; the drop zone is free again."""
        hidden = gr.Column(visible="hidden")
        try:
            if path is None:
                raise BadImageError("nothing arrived")
            photo = photo_of(path)
        except BadImageError as error:
            name = Path(path).name if path else "The photo"
            return [None, None, gr.Image(None, visible=False), told(f"{name}: {error}.", wrong=True), hidden]
        height, width = photo.shape[:2]
        shown = Image.fromarray(photo)
        shown.thumbnail((SHOWN, SHOWN))
        preview = gr.Image(enlarged(np.asarray(shown)), visible=True, **words_for("The photo that you dropped"))
        said = told(f"{Path(path).name}, {width} × {height} pixels. Choose a net and press “Test the photo”.")
        return [None, path, preview, said, hidden]

    def offer(self, name: str) -> Updates:
        """Another net: its own scales, ticked, and its own flips."""
        if name not in self.nets.settings:
            return [gr.skip()] * 3
        return [gr.CheckboxGroup(self.nets.scales(name), **self._ticked(name)), "", self.nets.flip(name)]

    def test(
        self, path: str | None, name: str, protocol: str, chosen: list[int], typed: str | None, flip: bool
    ) -> Updates:
        """Test the photo; what is wrong is said, and nothing old stays beside it."""
        started = time.perf_counter()
        try:
            if path is None:
                raise ValueError("there is no photo yet; drop one first")
            scales = scales_of(chosen, typed or "")
            result = self._explanation(path, name, scales, protocol, flip)
        except (ValueError, OSError) as error:
            wrong = told(f"This cannot be tested: {error}.", wrong=True)
            return [wrong, gr.Column(visible="hidden"), None, *[gr.skip()] * 5]
        names = [(label, place) for place, (label, _) in enumerate(result.predictions)]
        said = (
            f"{name}, {protocol.replace('_', ' ')}, Q = {_listed(scales)}, {'' if flip else 'not '}averaged with the "
            f"mirrored photo; {time.perf_counter() - started:.1f} s"
        )
        largest = len(scales) - 1  # the finest map
        return [
            told(said),
            gr.Column(visible=True),
            result,
            table_of(result.predictions),
            gr.Radio(names, value=0),
            gr.Radio([(f"Q = {scale}", place) for place, scale in enumerate(scales)], value=largest),
            *self.paint(result, 0, largest),
        ]

    def _explanation(self, path: str, name: str, scales: tuple[int, ...], protocol: str, flip: bool) -> Explanation:
        kept = self.nets.evaluator(name)
        chosen = {**kept.settings, "scales": scales, "protocol": protocol, "flip": flip}
        evaluator, photo = DenseEvaluator(kept.model, **chosen, precision=kept.precision), photo_of(path)
        check_cost(evaluator, *photo.shape[:2])
        explanation = explain(photo, evaluator)
        return replace(explanation, photo=enlarged(explanation.photo))

    def paint(self, result: Explanation | None, shown_class: int | None, shown_scale: int | None) -> Updates:
        """The map of the class and scale that are picked."""
        if result is None or shown_class is None or shown_scale is None:  # the server forgot the result after an hour
            return [gr.skip(), told("The result is no longer here; press “Test the photo” again.", wrong=True)]
        placed = result.maps[shown_scale]
        name = result.predictions[shown_class][0]
        text = f"Heat map over the photo: where the net sees {name} at Q = {placed.scale}"
        picture = heat_over(result.photo, placed, shown_class)
        return [gr.Image(picture, **words_for(text)), legend_of(name, placed, shown_class)]


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
        with tempfile.TemporaryDirectory(prefix="vgg_zoo_space_") as uploads:
            os.environ["GRADIO_TEMP_DIR"] = uploads
            serve(Page(nets), options.port)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


async def fetch_nothing(url: str) -> NoReturn:
    """In place of gradio's own, which fetches any public address that a client names as its upload, however large."""
    raise gr.Error(f"photos are uploaded, not fetched from {url[:100]}")


def serve(page: Page, port: int) -> None:
    """Serve the page until it is interrupted.

    Raises:
        OSError: The port is taken.
    """
    processing_utils.async_ssrf_protected_get = fetch_nothing
    _, address, _ = page.blocks.queue(max_size=32).launch(
        server_name="0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1",  # noqa: S104 (a Space is a container)
        server_port=port,
        share=False,
        max_file_size=MOST_BYTES,
        state_session_capacity=100,  # results of 3 MB
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        footer_links=[],
        quiet=True,
        prevent_thread_lock=True,
        theme=THEME,
        css=STYLE,
    )
    print(f"open {address}", flush=True)
    page.blocks.block_thread()


if __name__ == "__main__":
    sys.exit(main())
