"""The card: README.md of a repository, written from the other files of its folder and from nothing else."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hub.address import Address
from hub.files import CONFIG, EVALUATION, RECIPE, SETTINGS_FILE, WEIGHTS, address_of, read_json
from hub.net import TIMM_NAMES, net_of_config
from hub.results import Row, named, paper_of
from vgg_zoo.dense import smallest_side
from vgg_zoo.model import VGG
from vgg_zoo.weights.hashing import file_digest

_TOP = 5

TEMPLATE = Path(__file__).with_name("card.md.jinja")
PROJECT = "https://pypi.org/project/vgg-zoo"


def card_of(folder: Path) -> str:
    """The card of a built folder; the same text for the same files.

    Raises:
        ValueError: A file that it needs is missing or damaged.
    """
    config, rows = read_json(folder / CONFIG), read_json(folder / EVALUATION)
    address = address_of(folder)
    net = net_of_config(config, device="meta")
    settings = read_json(folder / SETTINGS_FILE)
    card = ModelCard.from_template(
        _metadata(address, config, rows),
        template_path=str(TEMPLATE),
        address=address,
        project=PROJECT,
        summary=_sentence(config["pretrained_cfg"]["description"]),
        licence=config["pretrained_cfg"]["license"],
        recipe=_recipe(folder),
        table=figures(rows, _is_full(net)),
        has_names=bool(config.get("label_names")),
        classes=_classes(config),
        top=min(_TOP, config["num_classes"]),
        scales=", ".join(map(str, settings["scales"])),
        scale=settings["scales"][len(settings["scales"]) // 2],
        sha256=file_digest(folder / WEIGHTS),
        size=f"{(folder / WEIGHTS).stat().st_size:,}",
        **_about(net),
        **_requirement(config, address),
    )
    return str(card).rstrip() + "\n"


def _sentence(text: str) -> str:
    text = _plain(text).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def _metadata(address: Address, config: dict[str, Any], rows: Sequence[Row]) -> ModelCardData:
    return ModelCardData(
        model_name=address.name,
        license=config["pretrained_cfg"]["license"],
        library_name="timm",
        pipeline_tag="image-classification",
        tags=["image-classification", "timm", "vgg", "vgg_zoo", "arxiv:1409.1556"],
        eval_results=[result for row in rows for result in _eval_results(row)],
    )


def _eval_results(row: Row) -> list[EvalResult]:
    """One row in the Hub's terms: accuracies in percent; the first five of five classes are no measure."""
    return [
        EvalResult(
            task_type="image-classification",
            dataset_type=row["data_set"],
            dataset_name=row["data_set"],
            dataset_split=row["split"],
            metric_type=kind,
            metric_name=f"{name} accuracy, {named(row)}",
            metric_value=round(100 * (1 - row[error]), 2),
        )
        for kind, name, error in (
            ("accuracy", "top-1", "top1_error"),
            ("top_5_accuracy", "top-5", "top5_error"),
        )
        if error == "top1_error" or row["classes"] > _TOP
    ]


def figures(rows: Sequence[Row], full: bool) -> str:
    """The errors; the paper's beside those of a net of full width only, which its figures are of."""
    lines = [
        ("protocol", "data set, split", "images", "top-1 error", "top-5 error", "the paper's top-1 / top-5"),
        ("---", "---", "---:", "---:", "---:", "---"),
    ]
    for row in rows:
        paper = paper_of(row) if full else None
        count = f"{row['images']:,}" + (f", {n} unreadable" if (n := row.get("unreadable_images")) else "")
        lines.append(
            (
                named(row),
                _plain(f"{row['data_set']}, {row['split']}"),
                count,
                f"{100 * row['top1_error']:.2f}",
                f"{100 * row['top5_error']:.2f}" if row["classes"] > _TOP else "–",
                f"{paper.top1} / {paper.top5}" if paper else "–",
            )
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """A text of somebody's as nothing but text, in one line and one cell of a table."""
    return re.sub(r"([\\|<\[`*])", r"\\\1", " ".join(text.split()))


def _is_full(net: VGG) -> bool:
    channels = [layer.channels for layer in net.configuration.layers() if layer.kind == "conv"]
    return bool(net.num_features == channels[-1] and net.head_hidden_size == 4096)


def _about(net: VGG) -> dict[str, Any]:
    full = _is_full(net)
    mean = ", ".join(f"{255 * value:.3f}" for value in net.pretrained_cfg["mean"])
    deviation = ", ".join(f"{255 * value:.3f}" for value in net.pretrained_cfg["std"])
    divided = "" if all(abs(255 * value - 1) < 1e-6 for value in net.pretrained_cfg["std"]) else f", over ({deviation})"
    return {
        "configuration": net.configuration.name,
        "layers": net.configuration.weight_layers,
        "widths": ""
        if full
        else f", small: pool5 has {net.num_features} channels, the FC layers {net.head_hidden_size}",
        "parameters": f"{sum(parameter.numel() for parameter in net.parameters()):,}",
        "side": smallest_side(net),
        "hidden": net.head_hidden_size,
        "preprocessing": f"minus the mean ({mean}) of 0–255{divided}",
    }


def _classes(config: dict[str, Any]) -> str:
    names = config.get("label_names") or ()
    shown = _plain(", ".join(map(str, names[:10]))) + (", …" if len(names) > 10 else "")
    return f"{config['num_classes']}" + (f" ({shown})" if shown else "")


def _recipe(folder: Path) -> dict[str, Any] | None:
    if not (folder / RECIPE).is_file():
        return None
    recipe = read_json(folder / RECIPE)
    return {**recipe, "command": " ".join(recipe["command"][1:])}


def _requirement(config: dict[str, Any], address: Address) -> dict[str, str]:
    """What must be installed to load the net, in words and as a line of the snippets."""
    if config["architecture"] in TIMM_NAMES.values():
        words = (
            f"Plain `timm` loads it (as `{config['architecture']}`), and so does transformers' `TimmWrapper`. With "
            f"`pip install vgg-zoo` it is `{address.net}`, and its dense evaluation is there."
        )
        return {"requirement": words, "import_line": ""}
    words = (
        "timm has no such net: `pip install vgg-zoo`, and `import vgg_zoo` before timm's `create_model`. The ONNX file "
        "needs neither."
    )
    return {"requirement": words, "import_line": "import vgg_zoo  # registers the net\n"}
