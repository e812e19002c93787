"""Loading a net for a test, by name or folder, with its settings, and its description in results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from huggingface_hub import try_to_load_from_cache

from vgg_zoo.dense import DenseNet
from vgg_zoo.devices import arithmetic_on
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.paper import JITTERED
from vgg_zoo.weights.files import file_digest
from vgg_zoo.weights.fit import fitting_configurations
from vgg_zoo.weights.folder import WEIGHTS
from vgg_zoo.weights.settings import usual_settings

OXFORD_TAG = "oxford_in1k"
"""S of the paper's own nets, which were trained with scale jittering."""

_FLOAT32 = ("fp32", "tf32")
_NUMBERS = dict.fromkeys(_FLOAT32, torch.float32) | {"fp64": torch.float64, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class NetUnderTest:
    """An evaluator, and the S of its net's training: [S], [S_min, S_max], or None if unknown."""

    model: str
    evaluator: DenseEvaluator
    train_scales: list[int] | None

    def description(self) -> dict[str, Any]:
        """The description of the net for results.json, as plain data."""
        return {**description_of(self.model, self.evaluator), "train_scales": self.train_scales}


def description_of(model: str, tested: Any) -> dict[str, Any]:
    """The description of a tested net, as plain data.

    Args:
        model: The name or folder of the net.
        tested: The net; or its evaluator or descriptor, whose settings are included.
    """
    net, settings = tested, {}
    if isinstance(tested, DenseNet):
        net, settings = tested.model, {**tested.settings, "settings_from": tested.settings_from}
    architecture = net.pretrained_cfg["architecture"].split(".")[0]
    ours = getattr(net, "configuration", None)
    fitting = [ours.name] if ours else fitting_configurations(net.state_dict())
    file = weights_file(model, net)
    return {
        "model": model,
        "architecture": architecture,
        "configuration": fitting[0] if fitting else None,  # timm's vgg16_bn is not a net of the paper
        "weights_sha256": file_digest(file) if file else None,
        **settings,
    }


def arithmetic_in(tested: DenseNet | None, accelerator: Accelerator, precision: str) -> dict[str, str]:
    """How a run computes its net, for results.json: `DenseNet.arithmetic` on the net's future device.

    Args:
        tested: The tested net, which may still be on the CPU; None means that the net itself is computed.
        accelerator: The accelerator with the future device.
        precision: One of `recipes.names.PRECISIONS`.
    """
    device = accelerator.device.type
    if tested is not None and device == "cpu" and precision in _FLOAT32:
        return {"arithmetic": tested.arithmetic}
    return {"arithmetic": arithmetic_on(device, _NUMBERS[precision], tf32=precision == "tf32")}


def load_net(
    model: str, train_scales: Sequence[int] | None, most_pixels: int | None, chosen: Mapping[str, Any]
) -> NetUnderTest:
    """Load a net for its test.

    Args:
        model: A name that timm loads with its weights, or a folder.
        train_scales: S, or S_min and S_max; None takes that of the folder's results.json.
        most_pixels: Pixels that go through the net at once; None takes the default of its device.
        chosen: Settings of the evaluator; None takes the net's own.
    """
    evaluator = DenseEvaluator(model, most_pixels=most_pixels, device=None, **chosen)
    trained = sorted(set(train_scales or ())) or usual_settings(model).train_scales
    if trained is None and evaluator.model.pretrained_cfg.get("tag") == OXFORD_TAG:
        trained = list(JITTERED)
    return NetUnderTest(model, evaluator, trained)


def weights_file(model: str, net: Any) -> Path | None:
    """The file of the net's weights, if it is known."""
    if Path(model).is_dir():
        return Path(model) / WEIGHTS
    cfg = net.pretrained_cfg
    names = [cfg["hf_hub_filename"]] if cfg.get("hf_hub_filename") else [WEIGHTS, "pytorch_model.bin"]
    repository, _, revision = (cfg.get("hf_hub_id") or "").partition("@")
    for name in names if repository else ():
        found = try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(found, str):
            return Path(found)
    return Path(cfg["file"]) if cfg.get("file") else None
