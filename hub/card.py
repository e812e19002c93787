"""The card: README.md of a repository, written only from the other files of its folder."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hub.repository.address import Address
from hub.repository.files import CONFIG, EVALUATION, RECIPE, WEIGHTS, address_of, read_json
from hub.repository.net import TIMM_NAMES, net_of_config
from hub.results.classes import TOP
from hub.results.kind import Kind, Row
from hub.results.rows import kind_of
from vgg_zoo.layers import smallest_side
from vgg_zoo.model import VGG
from vgg_zoo.paper import ILSVRC
from vgg_zoo.weights.files import file_digest

TEMPLATE = Path(__file__).parent / "templates" / "card.md.jinja"
PROJECT = "https://pypi.org/project/vgg-zoo"
PACKAGE = "`pip install vgg-zoo`, or, where no index has it yet, `pip install -e .` in a checkout"


def card_of(folder: Path) -> str:
    """The card of a built folder; the same text for the same files.

    Raises:
        ValueError: A file that it needs is missing or damaged.
    """
    config, rows = read_json(folder / CONFIG), read_json(folder / EVALUATION)
    address = address_of(folder)
    net = net_of_config(config, device="meta")
    kind = kind_of(address.net)
    card = ModelCard.from_template(
        _metadata(kind, address, config, rows),
        template_path=str(TEMPLATE),
        address=address,
        kind=kind,
        project=PROJECT,
        summary=_sentence(config["pretrained_cfg"]["description"]),
        licence=config["pretrained_cfg"]["license"],
        recipe=_recipe(folder),
        table=figures(kind, rows, _is_full(net)),
        predicts=kind.last_layer(net),
        classes=_classes(config),
        usage=_usage(kind, folder, net, address, config, rows),
        sha256=file_digest(folder / WEIGHTS),
        size=f"{(folder / WEIGHTS).stat().st_size:,}",
        requirement=_requirement(config, address),
        import_line=_import_line(config),
        **_about(net),
    )
    return str(card).rstrip() + "\n"


def _usage(kind: Kind, folder: Path, net: VGG, address: Address, config: dict[str, Any], rows: Sequence[Row]) -> str:
    """The snippets that only nets of a kind have."""
    scales = read_json(folder / kind.settings_file)["scales"]
    template = jinja2.Template(TEMPLATE.with_name(kind.usage).read_text(), undefined=jinja2.StrictUndefined)
    return template.render(
        address=address,
        has_names=bool(config.get("label_names")),
        top=min(TOP, config["num_classes"]),
        scales=", ".join(map(str, scales)),
        scale=scales[len(scales) // 2],
        side=smallest_side(net),
        import_line=_import_line(config),
        **kind.for_usage(rows),
    )


def _sentence(text: str) -> str:
    text = _plain(text).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def _metadata(kind: Kind, address: Address, config: dict[str, Any], rows: Sequence[Row]) -> ModelCardData:
    return ModelCardData(
        model_name=address.name,
        license=config["pretrained_cfg"]["license"],
        library_name="timm",
        pipeline_tag=kind.task,
        tags=[kind.task, "timm", "vgg", "vgg_zoo", "arxiv:1409.1556"],
        eval_results=[
            EvalResult(
                task_type=kind.task,
                dataset_type=row["data_set"],
                dataset_name=row["data_set"],
                dataset_split=row["split"],
                metric_type=measure.kind,
                metric_name=measure.name,
                metric_value=round(measure.percent, 2),
            )
            for row in rows
            for measure in kind.measures(row)
        ],
    )


def figures(kind: Kind, rows: Sequence[Row], full: bool) -> str:
    """The table of errors; the paper's errors stand beside those of a net of full width on the paper's images."""
    lines: list[tuple[str, ...]] = [
        ("protocol", "data set, split", "images", *kind.columns),
        ("---", "---", "---:", *("---:" for _ in kind.columns[:-1]), "---"),
    ]
    for row in rows:
        data = f"{row['data_set']}, {row['split']}"
        comparable = full and (row["classes"], row["images"]) == ILSVRC
        cells = (kind.named(row), data, _images(row), *kind.cells(row, comparable))
        lines.append(tuple(map(_plain, cells)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _images(row: Row) -> str:
    lost = [f"{row[f'{how}_images']} {how}" for how in ("unreadable", "unusable") if row.get(f"{how}_images")]
    return ", ".join([f"{row['images']:,}", *lost])


def _plain(text: str) -> str:
    """A text without markup, in one line and one cell of a table."""
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


def _requirement(config: dict[str, Any], address: Address) -> str:
    """What must be installed to load the net."""
    if _import_line(config):
        return (
            f"timm has no such net: {PACKAGE}, and `import vgg_zoo` before timm's `create_model`. The ONNX file needs "
            "neither package."
        )
    return (
        f"Plain `timm` loads it (as `{config['architecture']}`), and so does transformers' `TimmWrapper`. With "
        f"vgg_zoo ({PACKAGE}) its name is `{address.net}`, and it can be evaluated densely."
    )


def _import_line(config: dict[str, Any]) -> str:
    """The import line of snippets that create the net by timm."""
    return "" if config["architecture"] in TIMM_NAMES.values() else "import vgg_zoo  # registers the net\n"
