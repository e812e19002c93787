"""Are the weights in the cache the bytes that were published? Found out, and mended where they are not."""

from pathlib import Path

from timm.models import get_pretrained_cfg

from .entrypoints import check_name
from .weights.folder import WEIGHTS
from .weights.hub_file import checked_file
from .weights.oxford import OXFORD, SUFFIX, converted_anew
from .weights.published import PUBLISHED


def verify_weights(name: str) -> Path:
    """Hash the cached weights of a net, and fetch them again if a byte of them is not right.

    The Hub's client loads a file whose length is right, whatever its bytes are. Nets that this project published are
    checked whenever they are loaded; this checks any net, and brings the weights where they are not in the cache yet.

    Args:
        name: A net of the zoo or timm's own, with its tag: "vgg_d.tv_in1k", "vgg16.tv_in1k"; without one, the default.

    Returns:
        The file, with the right bytes.

    Raises:
        ValueError: No such net or weights; or the source has other bytes than it published.
        OSError: The weights cannot be fetched.
    """
    check_name(name)
    cfg = get_pretrained_cfg(name)
    assert cfg is not None  # check_name found it
    full = f"{cfg.architecture}.{cfg.tag}"
    if full in PUBLISHED:
        return PUBLISHED[full].weights()
    if cfg.hf_hub_id:
        repository, _, revision = str(cfg.hf_hub_id).partition("@")
        return checked_file(repository, cfg.hf_hub_filename or WEIGHTS, revision or None)
    if cfg.architecture in OXFORD and str(cfg.url).endswith(SUFFIX):
        return converted_anew(cfg.architecture)
    raise ValueError(f"{name} comes from {cfg.url!r}, where no hash of it was published")
