"""The stored origin of a result: the command, the versions, the sha256; never somebody's folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_KEPT = ("command", "commit", "python", "versions")


def origin(content: Mapping[str, Any], sha256: str, split: str, **lost: int | None) -> dict[str, Any]:
    """The origin from a results.json: the images, including the `lost` ones, the measured weights, and how."""
    data = content["data"]
    if type(data["classes"]) is not int or data["classes"] < 1:
        raise ValueError(f"data.classes must be a number of classes, at least 1; got {data['classes']!r}")
    return {
        "data_set": without_folder(data["spec"]),
        "split": split,
        "classes": data["classes"],
        **lost,
        "weights_sha256": sha256,
        **{name: content.get(name) for name in _KEPT},
        "command": without_folders(content.get("command") or []),
    }


def without_folders(command: Sequence[str]) -> list[str]:
    """A command without the paths of somebody's machine."""
    return [without_folder(str(word)) for word in command]


def without_folder(word: str) -> str:
    """A path, or an option with a path, without details of somebody's machine."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    path = Path(value)
    elsewhere = path.is_absolute() or value.startswith("~") or ".." in path.parts
    return f"{option}{equals}{path.name or value if elsewhere else value}"
