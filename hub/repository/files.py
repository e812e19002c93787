"""The files of a repository: `build` writes them, and all other commands read them."""

import json
from pathlib import Path
from typing import Any

from hub.repository.address import Address, parse_address
from hub.repository.names import SUMS
from vgg_zoo import json_files
from vgg_zoo.weights.files import file_digest
from vgg_zoo.weights.folder import CONFIG, WEIGHTS

CARD, EVALUATION, RECIPE = "README.md", "eval_results.json", "recipe.json"
ONNX = "onnx/dense.onnx"

REQUIRED = (WEIGHTS, CONFIG, CARD, EVALUATION, ONNX, SUMS)
"""Files of every net; `hub.results.kind.Kind.settings_file` is another one."""

OPTIONAL = (RECIPE,)
"""A net that was converted, not trained here, has no recipe."""


def files_of(folder: Path) -> list[str]:
    """Paths of all files under a folder, sorted, with slashes.

    Raises:
        ValueError: The folder does not exist, or has a symbolic link.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; `python -m hub build` writes one")
    found = sorted(folder.rglob("*"))
    for path in found:
        if path.is_symlink():
            raise ValueError(f"{path} is a symbolic link; a repository holds files only")
    return [path.relative_to(folder).as_posix() for path in found if not path.is_dir()]


def sums_of(folder: Path) -> str:
    """The expected content of SHA256SUMS, in the form for `sha256sum -c`."""
    return "".join(f"{file_digest(folder / name)}  {name}\n" for name in files_of(folder) if name != SUMS)


_BUILD = "`python -m hub build` writes it"


def read_json(file: Path, way_out: str = _BUILD) -> Any:
    """The content of a JSON file of a folder.

    Raises:
        ValueError: The file is missing or no JSON.
    """
    return json_files.read_json(file, way_out)


def read_object(file: Path, *fields: str, way_out: str = _BUILD) -> dict[str, Any]:
    """The content of a JSON object with some fields; raises `ValueError` if it is no object or lacks a field."""
    return json_files.read_object(file, way_out, fields)


def write_json(file: Path, content: Any) -> None:
    """JSON as text; the same content gives the same bytes."""
    file.write_text(json.dumps(content, indent=2) + "\n")


def address_of(folder: Path) -> Address:
    """The repository that a folder was built for, from its config.

    Raises:
        ValueError: The config names no repository.
    """
    cfg = read_object(folder / CONFIG).get("pretrained_cfg")
    named = cfg.get("hf_hub_id") if isinstance(cfg, dict) else None
    if not isinstance(named, str):
        raise ValueError(f"{folder / CONFIG} names no repository (pretrained_cfg.hf_hub_id); build the folder again")
    return parse_address(named)
