"""Oxford's own nets D and E, which the paper measured: downloaded as Caffe files, converted once to safetensors.

The cache (`cache_folder`) holds Oxford's file and its conversion; after the conversion, Oxford's file may be deleted.
Without a network, put Oxford's file there, or give its path: `pretrained_cfg_overlay={"file": "….caffemodel"}`.
"""

from pathlib import Path
from typing import Any

from huggingface_hub import cached_assets_path, constants
from huggingface_hub.utils import WeakFileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vgg_zoo.weights.download import RemoteFile, download
from vgg_zoo.weights.files import whole

_FOLDER = "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe"

OXFORD = {
    "vgg_d": RemoteFile(
        url=f"{_FOLDER}/VGG_ILSVRC_16_layers.caffemodel",
        size=553_432_081,
        digest="sha256:a6196bc498e45ea4cb2637114ae8db9410cf1556fd60a55ae93272371beba197",
    ),
    "vgg_e": RemoteFile(
        url=f"{_FOLDER}/VGG_ILSVRC_19_layers.caffemodel",
        size=574_671_192,
        digest="sha1:239785e7862442717d831f682bb824055e51e9ba",  # the only published hash
    ),
}
"""The files by net."""

SUFFIX = ".caffemodel"
_SOURCE = "source"


def cache_folder() -> Path:
    """The folder of Oxford's files, among the Hub's assets; `HF_HOME` and `HF_ASSETS_CACHE` move it."""
    return cached_assets_path("vgg_zoo", namespace="oxford", subfolder="caffe")


def cached_conversion(net: str) -> Path | None:
    """The safetensors file of Oxford's weights of "vgg_d" or "vgg_e" in the cache; None if it is not there yet."""
    converted = (cache_folder() / OXFORD[net].name).with_suffix(".safetensors")
    return converted if _is_conversion_of(OXFORD[net], converted) else None


def oxford_weights(net: str, given: Path | None = None, folder: Path | None = None) -> Path:
    """The safetensors file of Oxford's weights, made if it is not in the cache.

    Args:
        net: "vgg_d" or "vgg_e".
        given: Oxford's file, downloaded by other means; it is checked like a download. None takes the file in the
            cache, or downloads it.
        folder: The cache; None takes `cache_folder()`.

    Raises:
        ValueError: The file is not available or is another file; the message says what to do.
    """
    remote, folder = OXFORD[net], folder or cache_folder()
    if given is not None:
        remote.check(given)  # even if there is a conversion: a given file must be the one that is used
    source = folder / remote.name
    converted = source.with_suffix(".safetensors")
    if _is_conversion_of(remote, converted):
        return converted
    with _locked(converted):
        if not _is_conversion_of(remote, converted):
            _convert(given or _checked_source(remote, source), remote, converted)
    return converted


def converted_again(net: str, folder: Path | None = None) -> Path:
    """Convert Oxford's file again after checking it; it is downloaded if it is deleted or altered.

    No hash of a conversion was ever published, so this is the only way to verify every byte of it.

    Raises:
        ValueError: Oxford's file is not available. An existing conversion is kept.
    """
    remote, folder = OXFORD[net], folder or cache_folder()
    source = folder / remote.name
    converted = source.with_suffix(".safetensors")
    with _locked(converted):
        _convert(_checked_source(remote, source, fetch_again=True), remote, converted)
    return converted


def _locked(file: Path) -> Any:
    """A lock: processes that need the same file wait for each other."""
    file.parent.mkdir(parents=True, exist_ok=True)
    return WeakFileLock(file.with_name(f".{file.name}.lock"))


def _checked_source(remote: RemoteFile, source: Path, fetch_again: bool = False) -> Path:
    """Oxford's file in the cache, with its hash checked; an altered file may be downloaded again."""
    if source.exists():
        try:
            remote.check(source)
            return source
        except ValueError as error:
            if not fetch_again or constants.HF_HUB_OFFLINE:
                raise ValueError(f"{error}. Delete it, or put {remote.url} there") from error
            source.unlink()
    if constants.HF_HUB_OFFLINE:
        raise ValueError(
            f"HF_HUB_OFFLINE is set and {remote.name} is not in the cache. Get {remote.url} ({remote.size:,} bytes) "
            f"where there is a network, and put it at {source}, or name it with "
            'timm.create_model(..., pretrained_cfg_overlay={"file": "PATH.caffemodel"})'
        )
    download(remote, source)
    return source


def _convert(source: Path, remote: RemoteFile, target: Path) -> None:
    """Read the Caffe file and write our tensors; the bytes are the same on every machine."""
    from vgg_zoo.weights.read import read_weights  # imports readers of all formats, which only a first conversion needs

    tensors, _ = read_weights(source)
    with whole(target) as writing:
        save_file(tensors, writing, {_SOURCE: remote.digest})  # one entry: safetensors would write two in random order


def _is_conversion_of(remote: RemoteFile, path: Path) -> bool:
    """Whether a file is a whole safetensors file that was converted from this remote file."""
    try:
        with safe_open(path, "pt") as file:
            return bool((file.metadata() or {}).get(_SOURCE) == remote.digest)
    except (OSError, SafetensorError):
        return False
