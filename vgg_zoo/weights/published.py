"""The nets that this project has published on the Hub: their commits, and the hashes of their weights.

Only `python -m hub lock` writes `published.json` beside this file.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vgg_zoo.configurations import REGRESSIONS
from vgg_zoo.json_files import read_object
from vgg_zoo.weights.files import whole
from vgg_zoo.weights.folder import WEIGHTS
from vgg_zoo.weights.hub_file import SHA256, checked_file

LOCK = Path(__file__).with_name("published.json")
MODEL_ARGS = frozenset(
    {
        *("width_multiplier", "head_hidden_size", "head_kernel_size", "initialisation", "std", "drop_rate"),
        *("in_chans", "global_pool", "regression"),
    }
)
"""The arguments that a net on the Hub may have: no path, no URL, and nothing else that makes timm do something."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedNet:
    """A published net at a fixed commit.

    Attributes:
        repository: Id of the repository on the Hub.
        revision: The commit, 40 hexadecimal digits.
        sha256: Hash of its `model.safetensors`.
        size: Size of this file in bytes.
        model_args: Arguments of the net besides its name: the widths of a small net.
        pretrained_cfg: timm's preprocessing, classes and licence.
    """

    repository: str
    revision: str
    sha256: str
    size: int
    model_args: Mapping[str, Any]
    pretrained_cfg: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name, form in (("repository", _REPOSITORY), ("revision", _COMMIT), ("sha256", SHA256)):
            value = getattr(self, name)
            if not isinstance(value, str) or not form.fullmatch(value):
                raise ValueError(f"{name} must match {form.pattern}; got {value!r}")
        if unknown := sorted(set(self.model_args) - MODEL_ARGS):
            raise ValueError(f"model_args has {', '.join(unknown)}; it may have {', '.join(sorted(MODEL_ARGS))}")
        if (regression := self.model_args.get("regression", REGRESSIONS[0])) not in REGRESSIONS:
            raise ValueError(f"regression must be one of {', '.join(REGRESSIONS)}; got {regression!r}")
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f"size must be a number of bytes; got {self.size!r}")

    @property
    def cfg(self) -> dict[str, Any]:
        """The row for timm's table."""
        return {**self.pretrained_cfg, "hf_hub_id": f"{self.repository}@{self.revision}"}

    def weights(self, cache_dir: str | Path | None = None) -> Path:
        """The published weights in the Hub's cache; they are downloaded if they are missing or have other bytes.

        Raises:
            ValueError: The Hub has other bytes.
            OSError: They cannot be downloaded.
        """
        return checked_file(self.repository, WEIGHTS, self.revision, self.sha256, cache_dir)


def read_lock(file: Path = LOCK) -> dict[str, PublishedNet]:
    """The published nets by their names with tags, "vgg_d.s256_512_in1k".

    Raises:
        ValueError: The file is damaged.
    """
    entries = read_object(file, "restore it from the repository")
    try:
        return {name: PublishedNet(**entry) for name, entry in entries.items()}
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} is not what `python -m hub lock` writes: {error}") from error


def write_lock(nets: Mapping[str, PublishedNet], file: Path = LOCK) -> None:
    """Write the lock file, whole or not at all."""
    content = {name: asdict(nets[name]) for name in sorted(nets)}
    with whole(file) as writing:
        writing.write_text(json.dumps(content, indent=2) + "\n")


PUBLISHED = read_lock()
"""The content of the package's own lock file."""
