"""How timm makes a net of the zoo, and checks its weights.

No random number is drawn for a parameter that a file of weights overwrites.
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
    """A constructor of nets for timm to load weights into, in place of `kind`, for the time of the block.

    Such a net has memory and nothing in it. Loading copies the file into that memory, so that the net does not change
    with a file that is altered later; what was not loaded (the classifier of other classes) is then initialised as
    `kind` would have done it. The random generator is left alone but for that.
    """
    hooks = []

    def make(
        cfg: str | Configuration,
        device: torch.device | str | None = None,
        initialisation: str = "glorot",
        std: float = 0.01,
        **kwargs: Any,
    ) -> VGG:
        # On meta the constructor's draws, PyTorch's own and ours, cost no time and consume no random numbers.
        net = kind(cfg, device="meta", initialisation=initialisation, std=std, **kwargs)
        net.to_empty(device=torch.get_default_device() if device is None else device)
        begin = partial(_begin_missing, method=initialisation, std=std)
        hooks.append(net.register_load_state_dict_post_hook(begin))
        return net

    try:
        yield make
    finally:
        for hook in hooks:  # not sooner: PyTorch is going through its hooks while one runs
            hook.remove()


def _begin_missing(net: nn.Module, result: Any, method: str, std: float) -> None:
    """Initialise the layers of which something was not in what was loaded."""
    for layer in dict.fromkeys(key.rpartition(".")[0] for key in result.missing_keys):
        initialise(net.get_submodule(layer), method, std)


def _checked(state_dict: Mapping[str, Tensor], model: VGG) -> dict[str, Tensor]:
    """timm's hook between reading weights and loading them: one key layout, and nothing that does not fit."""
    tensors = from_torchvision(state_dict, model) if is_torchvision(state_dict) else dict(state_dict)
    source = model.pretrained_cfg
    same_classes = model.num_classes == source["num_classes"]
    same_channels = model.in_chans == source["input_size"][0]
    check_fit(
        model,
        tensors,
        # timm leaves a classifier of other classes out, and sums or repeats the first conv's input channels.
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
    """What every entrypoint does.

    Args:
        variant: The entrypoint's name.
        configuration: Of Table 1, by the paper's name, or another one.
        pretrained: With weights.
        cfgs: The table that the variant is a row of.
        kind: The net's class.
        **kwargs: timm's, and the net's own.

    Raises:
        ValueError: An unknown tag, or weights that are damaged or do not fit.
    """
    tag = kwargs.get("pretrained_cfg")
    tags = cfgs[variant].tags
    if isinstance(tag, str) and tag not in tags:
        raise ValueError(f"unknown pretrained tag {tag!r} for {variant}; it has {', '.join(tags)}")
    if tag is None:  # a published net of another width and other classes is not what an untrained one is made like
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
            "cut short or damaged. Delete the file and fetch it again."
        ) from error


def _checked_published(net: PublishedNet, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The overlay that has timm load the cached file whose bytes were checked; nothing where the caller has another."""
    overlay = dict(kwargs.get("pretrained_cfg_overlay") or {})
    if any(overlay.get(key) for key in ("file", "url", "hf_hub_id", "state_dict")):
        return {}
    return {"pretrained_cfg_overlay": {**overlay, "file": str(net.weights(kwargs.get("cache_dir")))}}


def _converted(variant: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """For Oxford's Caffe file, by its address or by a path: the overlay that has timm load its conversion instead."""
    overlay = dict(kwargs.get("pretrained_cfg_overlay") or {})
    cfg = resolve_pretrained_cfg(variant, kwargs.get("pretrained_cfg"), overlay)
    named, address = str(cfg.file or ""), str(cfg.url or "")
    from_oxford = address.endswith(SUFFIX) and not (cfg.file or cfg.state_dict or cfg.hf_hub_id)
    if not named.endswith(SUFFIX) and not from_oxford:
        return {}
    if variant not in OXFORD:
        raise ValueError(
            f"{named} is a Caffe file, and Oxford has none of {variant}, only of {', '.join(OXFORD)}; "
            "`vgg-zoo convert` makes a folder of any other that timm loads"
        )
    folder = Path(kwargs["cache_dir"]) if kwargs.get("cache_dir") else None
    file = oxford_weights(variant, Path(named) if named else None, folder)
    return {"pretrained_cfg_overlay": {**overlay, "file": str(file)}}
