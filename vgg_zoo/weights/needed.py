"""The file that a net's weights need: its source, and its path in the cache. Nothing is downloaded."""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.file_download import repo_folder_name
from timm.models import get_pretrained_cfg

from vgg_zoo.weights.folder import WEIGHTS
from vgg_zoo.weights.oxford import OXFORD, cache_folder, cached_conversion
from vgg_zoo.weights.published import PUBLISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededFile:
    """The file of a name's weights.

    Attributes:
        file: Name of the file.
        origin: The repository on the Hub, or the URL.
        size: Bytes of the download; None if only the source knows.
        cached: Path of the file or its conversion in the cache; None if it is not there.
        place: Path where the cache keeps the file, or would keep it.
    """

    file: str
    origin: str
    size: int | None
    cached: Path | None
    place: Path

    @property
    def in_words(self) -> str:
        """The size, to print after the name."""
        return "" if self.size is None else f" ({self.size / 1e6:,.0f} MB)"


def needed_file(source: str) -> NeededFile | None:
    """The file of a name's weights; None for a folder, or for weights from elsewhere.

    Args:
        source: A net with or without a tag, such as "vgg_d.tv_in1k", or "hf-hub:org/name@revision".
    """
    if source.startswith("hf-hub:"):
        return _on_hub(source.removeprefix("hf-hub:"), WEIGHTS, None)
    cfg = get_pretrained_cfg(source)
    if cfg is None:
        return None
    if cfg.hf_hub_id:
        published = PUBLISHED.get(f"{cfg.architecture}.{cfg.tag}")
        return _on_hub(str(cfg.hf_hub_id), cfg.hf_hub_filename or WEIGHTS, published.size if published else None)
    if cfg.architecture in OXFORD and cfg.url == OXFORD[cfg.architecture].url:
        remote = OXFORD[cfg.architecture]
        return NeededFile(
            file=remote.name,
            origin=remote.url.rpartition("/")[0],
            size=remote.size,
            cached=cached_conversion(cfg.architecture),
            place=cache_folder() / remote.name,
        )
    return None


def _on_hub(address: str, file: str, size: int | None) -> NeededFile:
    repository, _, revision = address.partition("@")
    found = try_to_load_from_cache(repository, file, revision=revision or None)
    return NeededFile(
        file=file,
        origin=repository,
        size=size,
        cached=Path(found) if isinstance(found, str) else None,
        place=Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model"),
    )
