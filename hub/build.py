"""`build`: a trained net and what it scores → the folder of a repository, the same bytes for the same inputs."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from command_line.parser import MistypedError
from hub.card import card_of
from hub.repository.address import Address
from hub.repository.dense_onnx import write_dense_onnx
from hub.repository.files import CARD, EVALUATION, ONNX, RECIPE, SUMS, read_object, sums_of, write_json
from hub.repository.names import LICENCES, check_output
from hub.repository.net import TIMM_NAMES, load_net, loads_in_timm, net_of_config, zoo_name
from hub.results.provenance import without_folders
from hub.results.rows import kind_of, rows_of
from vgg_zoo.model import VGG
from vgg_zoo.results import read_results, reading
from vgg_zoo.weights.files import file_digest, naming_full_disk
from vgg_zoo.weights.folder import CONFIG, WEIGHTS

_OF_A_NET = "train, convert or save the net again"
"""Way out where a file of the run is damaged."""

_ONLY_OURS = ("initialisation", "std", "width_multiplier", "head_hidden_size", "head_kernel_size")


def build(
    run: Path,
    address: Address,
    output: Path,
    evaluations: Sequence[Path] = (),
    licence: str | None = None,
    description: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write the folder, whole or not at all.

    Args:
        run: A folder that `recipes/train.py`, `DenseEvaluator.save_pretrained` or `vgg-zoo convert` wrote.
        address: Where it is to be published.
        output: The folder to write.
        evaluations: Output folders of `recipes/evaluate.py`, or of `recipes/localise.py` for a net that predicts boxes.
        licence: Of the weights; None takes what `run` says.
        description: A sentence on where they come from; None takes what `run` says.
        overwrite: Replace an older build; without it, `output` must not be there.

    Raises:
        ValueError: Something that cannot be published so; what, and the way out.
    """
    check_output(output, overwrite)
    for name in (CONFIG, WEIGHTS):
        if not (run / name).is_file():
            raise ValueError(f"{run} has no {name}; name the folder of a trained net")
    config = read_object(run / CONFIG, "architecture", "pretrained_cfg", way_out=_OF_A_NET)
    if zoo_name(config["architecture"]) != address.net:
        raise ValueError(
            f"{run} holds a {zoo_name(config['architecture'])}, and {address.repository} is named after "
            f"{address.net}; a repository is ORG/NET.TAG"
        )
    shapes = net_of_config(config, device="meta")
    kind = kind_of(address.net)
    rows = rows_of(kind, run, evaluations, file_digest(run / WEIGHTS), shapes)
    settings = kind.settings(rows)
    config, recipe = _config(config, shapes, address, licence, description), _recipe(run)
    net = load_net(run)
    writing = output.with_name(f".{output.name}.building")
    shutil.rmtree(writing, ignore_errors=True)
    try:
        with naming_full_disk(output):
            (writing / ONNX).parent.mkdir(parents=True)
            shutil.copyfile(run / WEIGHTS, writing / WEIGHTS)
            write_json(writing / CONFIG, config)
            write_json(writing / kind.settings_file, settings)
            write_json(writing / EVALUATION, rows)
            if recipe:
                write_json(writing / RECIPE, recipe)
            write_dense_onnx(net, writing / ONNX, settings["ceil_mode"])
            (writing / CARD).write_text(card_of(writing))
            (writing / SUMS).write_text(sums_of(writing))
            if output.exists():
                shutil.rmtree(output)
            writing.rename(output)
    finally:
        shutil.rmtree(writing, ignore_errors=True)


def _config(
    config: dict[str, Any], net: VGG, address: Address, licence: str | None, description: str | None
) -> dict[str, Any]:
    """timm's config.json; under timm's own name where timm's own net takes the weights."""
    cfg = {**config["pretrained_cfg"], "tag": address.tag, "hf_hub_id": str(address)}
    cfg["license"] = licence or cfg.get("license")
    # A run's description names its data set, which may be a folder; what is typed for the Hub stands as it is.
    of_run = " ".join(without_folders((cfg.get("description") or "").split()))
    cfg["description"] = description or of_run or "A net of the VGG paper"
    if cfg["license"] not in LICENCES:
        raise MistypedError(f"--license must be one of {', '.join(LICENCES)}; got {cfg['license']!r}")
    arguments = dict(config.get("model_args", {}))
    architecture = address.net
    if loads_in_timm(net, address.net):
        architecture = TIMM_NAMES[address.net]
        arguments = {key: value for key, value in arguments.items() if key not in _ONLY_OURS}
    return {**config, "architecture": architecture, "model_args": arguments, "pretrained_cfg": cfg}


def _recipe(run: Path) -> dict[str, Any] | None:
    """What was learned, and how; nothing for a net that was not trained by `recipes/train.py`."""
    if not (run / "run.json").is_file():
        return None
    results = read_results(run, "training")
    begun = read_object(run / "run.json", "recipe", "settings", way_out=_OF_A_NET)
    if not results["finished"]:
        raise ValueError(f"the training in {run} has not come to its end; finish it with recipes/train.py")
    with reading(run, "training"):
        kept = {name: results[name] for name in ("steps", "epochs", "processes", "commit", "python", "versions")}
        return {**begun, **kept, "command": without_folders(results["command"])}
