"""Loading a net with its weights by name or folder, and checking that cached weights are the published ones."""

import difflib
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg
from torch import nn

from vgg_zoo.devices import device_for
from vgg_zoo.entrypoints import BOX_NETS, NETS
from vgg_zoo.json_files import read_object
from vgg_zoo.weights.folder import CONFIG, WEIGHTS
from vgg_zoo.weights.hub_file import checked_file, optional_file
from vgg_zoo.weights.oxford import OXFORD, SUFFIX, converted_again
from vgg_zoo.weights.published import PUBLISHED


def name_for_timm(source: str | Path) -> str:
    """A folder's path in timm's form, "local-dir:FOLDER"; any other name, such as "vgg_d.tv_in1k", is unchanged."""
    return f"local-dir:{source}" if Path(source).is_dir() else str(source)


def pretrained_net(source: str | Path) -> Any:
    """A net with its weights, in eval mode.

    Args:
        source: A folder that training or `DenseEvaluator.save_pretrained` wrote, or a name that timm loads with its
            weights: "vgg_d.tv_in1k", "vgg16", "hf-hub:org/name".

    Raises:
        ValueError: The net does not exist, is no VGG, or has no weights, or the weights do not fit; the message names
            the options.
        OSError: The weights cannot be downloaded.
    """
    check_source(source)
    return timm.create_model(name_for_timm(source), pretrained=True).eval()


def net_of(model: nn.Module | str | Path, device: torch.device | str | None = "auto") -> Any:
    """The net for an argument of any form; every class that takes a net calls this.

    Args:
        model: A net, which does not change; or a folder or name, as in `pretrained_net`.
        device: The device that the net moves to, such as "cuda:1". "auto": a net that is loaded here goes to the GPU if
            CUDA has one, and a module stays where it is. None: the net stays.

    Raises:
        ValueError: `model` is something else, the device does not exist, or `pretrained_net` refuses the net.
        OSError: The weights cannot be downloaded.
    """
    given: Any = model  # a caller without a type checker
    if not isinstance(given, nn.Module | str | Path):
        said = f"got a {type(given).__name__}" + "; several nets are a vgg_zoo.Fusion" * isinstance(given, list | tuple)
        raise ValueError(f"a net is a module, a folder or a name with weights, such as 'vgg_d.tv_in1k'; {said}")
    loaded = isinstance(model, str | Path)
    place = device_for(device, loaded)
    net: Any = pretrained_net(model) if isinstance(model, str | Path) else model
    return net if place is None else net.to(place)


def described(model: nn.Module | str | Path) -> str:
    """A net and its weights for `repr`: a name or folder gives both, a module only its architecture."""
    if isinstance(model, nn.Module):
        cfg: Any = getattr(model, "pretrained_cfg", None) or {}
        return f"{cfg.get('architecture') or type(model).__name__} with the weights of the given module"
    return repr(str(model))


def check_source(source: str | Path) -> None:
    """Refuse a folder or name that no net can be loaded from. At most a config is downloaded.

    Raises:
        ValueError: The net does not exist, is no VGG, or has no weights; the message names the options.
        OSError: The Hub does not answer.
    """
    name = name_for_timm(source)
    if name.startswith("local-dir:"):
        _check_folder(Path(name.removeprefix("local-dir:")))
    elif name.startswith("hf-hub:"):
        repository, _, revision = name.removeprefix("hf-hub:").partition("@")
        if optional_file(repository, CONFIG, revision or None) is None:
            raise ValueError(f"{repository} is not a repository of a net for timm: it has no {CONFIG}")
    elif ":" not in name:
        check_name(name)


def _check_folder(folder: Path) -> None:
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} is not a folder of a trained net: it has no {CONFIG}")
    if not any(file.suffix in (".safetensors", ".bin", ".pth", ".pt") for file in folder.iterdir()):
        raise ValueError(f"{folder} has no weights, only {CONFIG}; {WEIGHTS} is missing")
    way_out = "train, convert or save the net again, or restore the file"
    net = read_object(folder / CONFIG, way_out, ["architecture"])["architecture"]
    if not isinstance(net, str) or not timm.is_model(net):
        raise ValueError(f"{folder / CONFIG}: there is no net {net!r} (architecture); {way_out}")


def check_name(name: str) -> None:
    """Refuse, before any download, a name that timm would refuse with a worse message or load in vain."""
    architecture, _, tag = name.partition(".")
    vggs = [*NETS, *BOX_NETS, *timm.list_models(module="vgg")]
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, vggs)
        hint = f"near it are {', '.join(near)}" if near else f"the nets are {', '.join(vggs)}"
        raise ValueError(
            f"there is no net {name!r} and no folder of this name; {hint}. "
            "`vgg-zoo list` shows the zoo's nets and their weights"
        )
    module = timm.model_entrypoint(architecture).__module__
    if module.startswith("timm.") and module != "timm.models.vgg":
        raise ValueError(f"{name} is not a VGG; choose one of the zoo's or timm's own: {', '.join(vggs)}")
    tags = {full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")}
    if tag not in tags | {""} or not tags:
        published = f"it has {', '.join(sorted(tags))}" if tags else "nobody has published any for this net"
        raise ValueError(f"there are no weights {name!r}: {published}. `vgg-zoo list` shows what there is")


def verify_weights(name: str) -> Path:
    """Hash the cached weights of a net, and download them again if a byte is wrong.

    The Hub's client loads any file of the right length, whatever its bytes are. Nets that this project published are
    checked at every load. This function checks any net, and downloads weights that are not in the cache yet.

    Args:
        name: A net of the zoo or timm's own with its tag, such as "vgg_d.tv_in1k" or "vgg16.tv_in1k"; without a tag,
            the default.

    Returns:
        The verified file.

    Raises:
        ValueError: There is no such net or there are no weights; or the source has other bytes than it published.
        OSError: The weights cannot be downloaded.
    """
    check_name(name)
    cfg = get_pretrained_cfg(name)
    assert cfg is not None  # check_name has found it
    full = f"{cfg.architecture}.{cfg.tag}"
    if full in PUBLISHED:
        return PUBLISHED[full].weights()
    if cfg.hf_hub_id:
        repository, _, revision = str(cfg.hf_hub_id).partition("@")
        return checked_file(repository, cfg.hf_hub_filename or WEIGHTS, revision or None)
    if cfg.architecture in OXFORD and str(cfg.url).endswith(SUFFIX):
        return converted_again(cfg.architecture)
    raise ValueError(f"{name} comes from {cfg.url!r}, which publishes no hash of it")
