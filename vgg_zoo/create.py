"""How timm creates a net of the zoo and checks its weights.

A parameter that a file of weights overwrites is not randomly initialised first.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from timm.models import DefaultCfg, build_model_with_cfg, resolve_pretrained_cfg
from torch import Tensor, nn

from vgg_zoo.configurations import Configuration
from vgg_zoo.initialisation import initialise
from vgg_zoo.model import VGG
from vgg_zoo.weights.fit import check_fit
from vgg_zoo.weights.oxford import OXFORD, SUFFIX, oxford_weights
from vgg_zoo.weights.published import PUBLISHED, PublishedNet
from vgg_zoo.weights.state_dict import from_torchvision, is_torchvision


@contextmanager
def without_draws(kind: type[VGG]) -> Iterator[Callable[..., VGG]]:
    """Give timm a constructor that replaces `kind` within the block and makes nets to load weights into.

    Such a net has uninitialised memory. Loading copies the file into this memory, so the net does not change when the
    file changes later. Parameters that were not loaded (a classifier with other classes) are then initialised as by
    `kind`. Only this uses the random generator.
    """
    hooks = []

    def make(
        cfg: str | Configuration,
        device: torch.device | str | None = None,
        initialisation: str = "glorot",
        std: float = 0.01,
        **kwargs: Any,
    ) -> VGG:
        # On the meta device, the random draws of the constructor (PyTorch's and ours) cost no time and no random
        # numbers.
        net = kind(cfg, device="meta", initialisation=initialisation, std=std, **kwargs)
        net.to_empty(device=torch.get_default_device() if device is None else device)
        begin = partial(_begin_missing, method=initialisation, std=std)
        hooks.append(net.register_load_state_dict_post_hook(begin))
        return net

    try:
        yield make
    finally:
        for hook in hooks:  # not earlier: PyTorch iterates over its hooks while one of them runs
            hook.remove()


def _begin_missing(net: nn.Module, result: Any, method: str, std: float) -> None:
    """Initialise the layers that were not loaded completely."""
    for layer in dict.fromkeys(key.rpartition(".")[0] for key in result.missing_keys):
        initialise(net.get_submodule(layer), method, std)


def _checked(state_dict: Mapping[str, Tensor], model: VGG) -> dict[str, Tensor]:
    """timm's hook before it loads weights: convert them to one key layout, and refuse those that do not fit."""
    tensors = from_torchvision(state_dict, model) if is_torchvision(state_dict) else dict(state_dict)
    source = model.pretrained_cfg
    same_classes = model.num_classes == source["num_classes"]
    same_channels = model.in_chans == source["input_size"][0]
    check_fit(
        model,
        tensors,
        # timm skips a classifier with other classes, and sums or repeats the first conv's input channels.
        optional=() if same_classes else (f"{source['classifier']}.weight", f"{source['classifier']}.bias"),
        any_shape=() if same_channels else (f"{source['first_conv']}.weight",),
    )
    return tensors


def create(
    variant: str,
    configuration: str | Configuration,
    pretrained: bool,
    *,
    cfgs: Mapping[str, DefaultCfg],
    kind: type[VGG] = VGG,
    **kwargs: Any,
) -> Any:
    """Create a net of the zoo; every entrypoint calls this.

    Args:
        variant: The entrypoint's name.
        configuration: The paper's name of a configuration of Table 1, or a new configuration.
        pretrained: Load weights.
        cfgs: The `default_cfgs` that have the variant's rows.
        kind: The net's class.
        **kwargs: Arguments of timm and of the net.

    Raises:
        ValueError: The tag is unknown, or the weights are damaged or do not fit.
    """
    tag = kwargs.get("pretrained_cfg")
    tags = cfgs[variant].tags
    if isinstance(tag, str) and tag not in tags:
        raise ValueError(f"unknown pretrained tag {tag!r} for {variant}; it has {', '.join(tags)}")
    if tag is None:  # an untrained net must not take the width and the classes of a published one
        own = [each for each in tags if f"{variant}.{each}" not in PUBLISHED]
        tag = kwargs["pretrained_cfg"] = tags[0] if pretrained else own[0]
    if published := PUBLISHED.get(f"{variant}.{tag}"):
        kwargs = {**published.model_args, **kwargs}
    if pretrained:
        kwargs |= _checked_published(published, kwargs) if published else _converted(variant, kwargs)
    try:
        with without_draws(kind) if pretrained else nullcontext(kind) as make:
            return build_model_with_cfg(
                make,
                variant,
                pretrained,
                model_cfg=configuration,
                feature_cfg={"flatten_sequential": True, "out_indices": kwargs.pop("out_indices", (0, 1, 2, 3, 4, 5))},
                pretrained_filter_fn=_checked,
                **kwargs,
            )
    except SafetensorError as error:
        cfg = resolve_pretrained_cfg(variant, kwargs["pretrained_cfg"], kwargs.get("pretrained_cfg_overlay"))
        raise ValueError(
            f"the weights of {variant} at {cfg.file or cfg.hf_hub_id} are not a whole safetensors file ({error}): "
            "it is truncated or damaged. Delete the file and download it again."
        ) from error


def _checked_published(net: PublishedNet, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The overlay that makes timm load the cached file, with its bytes checked; empty if the caller has another."""
    overlay = dict(kwargs.get("pretrained_cfg_overlay") or {})
    if any(overlay.get(key) for key in ("file", "url", "hf_hub_id", "state_dict")):
        return {}
    return {"pretrained_cfg_overlay": {**overlay, "file": str(net.weights(kwargs.get("cache_dir")))}}


def _converted(variant: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The overlay that makes timm load the conversion of Oxford's Caffe file, which is given by its URL or a path."""
    overlay = dict(kwargs.get("pretrained_cfg_overlay") or {})
    cfg = resolve_pretrained_cfg(variant, kwargs.get("pretrained_cfg"), overlay)
    named, address = str(cfg.file or ""), str(cfg.url or "")
    from_oxford = address.endswith(SUFFIX) and not (cfg.file or cfg.state_dict or cfg.hf_hub_id)
    if not named.endswith(SUFFIX) and not from_oxford:
        return {}
    if variant not in OXFORD:
        raise ValueError(
            f"{named} is a Caffe file, but Oxford has none of {variant}, only of {', '.join(OXFORD)}; "
            "`vgg-zoo convert` turns any other Caffe file into a folder that timm loads"
        )
    folder = Path(kwargs["cache_dir"]) if kwargs.get("cache_dir") else None
    file = oxford_weights(variant, Path(named) if named else None, folder)
    return {"pretrained_cfg_overlay": {**overlay, "file": str(file)}}
