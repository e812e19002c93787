"""The timm adapter: one row of `default_cfgs` for each set of weights, and one registered function for each net."""

import difflib
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import DefaultCfg, build_model_with_cfg, generate_default_cfgs, register_model, resolve_pretrained_cfg
from torch import Tensor

from .configurations import FC_KEYS, IMAGENET_MEAN
from .loading import without_draws
from .model import VGG
from .weights.fit import check_fit
from .weights.folder import CONFIG, WEIGHTS
from .weights.oxford import OXFORD, SUFFIX, oxford_weights
from .weights.published import PUBLISHED, PublishedNet
from .weights.torchvision import from_torchvision, is_torchvision

__all__: list[str] = []  # timm's decorator adds each entrypoint's name

PAPER = {
    "paper_name": "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    "paper_ids": "arXiv:1409.1556v6",
}


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return {
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "crop_pct": 0.875,
        "interpolation": "bilinear",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "features.0",
        "classifier": FC_KEYS["fc8"],
        **PAPER,
        **kwargs,
    }


def _torchvision_cfg(hub_name: str, top1: float, top5: float) -> dict[str, Any]:
    """torchvision's own training, as timm publishes it; `top1` and `top5` are accuracies of timm's results file."""
    return _cfg(
        hf_hub_id=f"timm/{hub_name}.tv_in1k",
        license="bsd-3-clause",
        origin_url="https://github.com/pytorch/vision",
        description=f"torchvision's training, not the paper's: {top1}% top-1, {top5}% top-5 on one 224-pixel crop",
    )


def _oxford_cfg(net: str) -> dict[str, Any]:
    """The paper's own weights, as Oxford publishes them."""
    return _cfg(
        url=OXFORD[net].url,
        mean=tuple(value / 255 for value in IMAGENET_MEAN),
        std=(1 / 255, 1 / 255, 1 / 255),
        license="cc-by-4.0",
        origin_url="https://www.robots.ox.ac.uk/~vgg/research/very_deep/",
        description="the net that the paper measured, trained with S in [256; 512]: 24.8% top-1 and 7.5% top-5 error, "
        "dense at Q = 256, 384, 512 (Table 4)",
    )


def untrained_cfg() -> dict[str, Any]:
    """Preprocessing for a net that nobody has published weights for: RGB minus the training mean (Sect. 2.1)."""
    return _cfg(
        mean=tuple(value / 255 for value in IMAGENET_MEAN),
        std=(1 / 255, 1 / 255, 1 / 255),
        license="apache-2.0",
        origin_url="https://arxiv.org/abs/1409.1556",
        description="no weights: nobody published any for this net; the preprocessing is the paper's",
    )


_OWN: dict[str, dict[str, Any]] = {
    "vgg_a.tv_in1k": _torchvision_cfg("vgg11", 69.05, 88.63),
    "vgg_a_lrn.untrained": untrained_cfg(),
    "vgg_b.tv_in1k": _torchvision_cfg("vgg13", 69.95, 89.26),
    "vgg_b_shallow.untrained": untrained_cfg(),
    "vgg_c.untrained": untrained_cfg(),
    "vgg_d.tv_in1k": _torchvision_cfg("vgg16", 71.59, 90.40),
    "vgg_d.oxford_in1k": _oxford_cfg("vgg_d"),
    "vgg_e.tv_in1k": _torchvision_cfg("vgg19", 72.40, 90.88),
    "vgg_e.oxford_in1k": _oxford_cfg("vgg_e"),
}

OWN_NAMES = tuple(_OWN)
"""Rows that no publication may replace."""


def published_cfgs(boxes: bool) -> dict[str, dict[str, Any]]:
    """The rows of what this project has published: nets that predict boxes, or those that classify."""
    return {name: _cfg(**net.cfg) for name, net in PUBLISHED.items() if predicts_boxes(name) == boxes}


def predicts_boxes(name: str) -> bool:
    """Whether a name, with or without a tag, is that of a net of `vgg_zoo.box_entrypoints`."""
    return name.partition(".")[0].endswith("_box")


default_cfgs = generate_default_cfgs({**_OWN, **published_cfgs(boxes=False)})


def name_for_timm(source: str | Path) -> str:
    """A folder's path as timm takes it, "local-dir:FOLDER"; any other name, such as "vgg_d.tv_in1k", as it is."""
    return f"local-dir:{source}" if Path(source).is_dir() else str(source)


def pretrained_net(source: str | Path) -> Any:
    """A net with its weights, in eval mode.

    Args:
        source: A folder that training or `DenseEvaluator.save_pretrained` wrote, or a name that timm loads with its
            weights: "vgg_d.tv_in1k", "vgg16", "hf-hub:org/name".

    Raises:
        ValueError: No such net, no VGG, no weights, or weights that do not fit; the message names what there is.
        OSError: The weights cannot be fetched.
    """
    name = name_for_timm(source)
    if name.startswith("local-dir:"):
        _check_folder(Path(name.removeprefix("local-dir:")))
    elif ":" not in name:
        check_name(name)
    return timm.create_model(name, pretrained=True).eval()


def _check_folder(folder: Path) -> None:
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} is no folder of a trained net: it has no {CONFIG}")
    if not any(file.suffix in (".safetensors", ".bin", ".pth", ".pt") for file in folder.iterdir()):
        raise ValueError(f"{folder} has no weights, only {CONFIG}; {WEIGHTS} is missing")


def check_name(name: str) -> None:
    """Refuse, before anything is fetched, what timm would refuse with less to go on or load for nothing."""
    architecture, _, tag = name.partition(".")
    vggs = [*default_cfgs, *timm.list_models(module="vgg")]
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, vggs)
        hint = f"near it are {', '.join(near)}" if near else f"the nets are {', '.join(vggs)}"
        raise ValueError(
            f"there is no net {name!r} and no folder of this name; {hint}. "
            "`python -m vgg_zoo` lists the zoo's nets and their weights"
        )
    module = timm.model_entrypoint(architecture).__module__
    if module.startswith("timm.") and module != "timm.models.vgg":
        raise ValueError(f"{name} is no VGG; choose one of the zoo's or timm's own: {', '.join(vggs)}")
    tags = {full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")}
    if tag not in tags | {""} or not tags:
        published = f"it has {', '.join(sorted(tags))}" if tags else "nobody has published any for this net"
        raise ValueError(f"there are no weights {name!r}: {published}. `python -m vgg_zoo` lists what there is")


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
    configuration: str,
    pretrained: bool,
    *,
    kind: type[VGG] = VGG,
    cfgs: Mapping[str, DefaultCfg] = default_cfgs,
    **kwargs: Any,
) -> Any:
    """What every entrypoint does.

    Args:
        variant: The entrypoint's name.
        configuration: Of Table 1.
        pretrained: With weights.
        kind: The net's class.
        cfgs: The table that the variant is a row of.
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
        raise ValueError(
            f"the weights of {variant} at {_place(cfgs[variant], kwargs)} are not a whole safetensors file ({error}): "
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
            "`python -m vgg_zoo.convert` makes a folder of any other that timm loads"
        )
    folder = Path(kwargs["cache_dir"]) if kwargs.get("cache_dir") else None
    file = oxford_weights(variant, Path(named) if named else None, folder)
    return {"pretrained_cfg_overlay": {**overlay, "file": str(file)}}


def _place(row: DefaultCfg, kwargs: dict[str, Any]) -> str:
    given = kwargs.get("pretrained_cfg")
    registered = row.cfgs[given] if isinstance(given, str) else row.default
    fields = {**vars(registered), **(given if isinstance(given, dict) else {})}
    fields |= kwargs.get("pretrained_cfg_overlay") or {}
    return str(fields.get("file") or fields.get("hf_hub_id"))


@register_model
def vgg_a(pretrained: bool = False, **kwargs: Any) -> VGG:
    """Configuration A: 11 weight layers (Table 1)."""
    return create("vgg_a", "A", pretrained, **kwargs)


@register_model
def vgg_a_lrn(pretrained: bool = False, **kwargs: Any) -> VGG:
    """Configuration A-LRN: A with local response normalisation after its first conv (Table 1)."""
    return create("vgg_a_lrn", "A-LRN", pretrained, **kwargs)


@register_model
def vgg_b(pretrained: bool = False, **kwargs: Any) -> VGG:
    """Configuration B: 13 weight layers (Table 1)."""
    return create("vgg_b", "B", pretrained, **kwargs)


@register_model
def vgg_b_shallow(pretrained: bool = False, **kwargs: Any) -> VGG:
    """The shallow net of Sect. 4.1: B with each pair of 3×3 convs replaced by one 5×5 conv."""
    return create("vgg_b_shallow", "shallow B", pretrained, **kwargs)


@register_model
def vgg_c(pretrained: bool = False, **kwargs: Any) -> VGG:
    """Configuration C: 16 weight layers, three of them 1×1 convs (Table 1)."""
    return create("vgg_c", "C", pretrained, **kwargs)


@register_model
def vgg_d(pretrained: bool = False, **kwargs: Any) -> VGG:
    """Configuration D: 16 weight layers (Table 1)."""
    return create("vgg_d", "D", pretrained, **kwargs)


@register_model
def vgg_e(pretrained: bool = False, **kwargs: Any) -> VGG:
    """Configuration E: 19 weight layers (Table 1)."""
    return create("vgg_e", "E", pretrained, **kwargs)
