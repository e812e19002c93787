"""Reading JSON files: a truncated file, or one that lacks fields, is refused with its name and the way out.

This project writes files whole (`vgg_zoo.weights.files.whole`), so a damaged file was damaged from outside.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any


def read_json(file: Path, way_out: str) -> Any:
    """The content of a JSON file.

    Args:
        file: The file.
        way_out: What to do if it cannot be used, as the end of a sentence.

    Raises:
        ValueError: The file is missing, or it is not JSON because it is truncated or damaged.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{file.parent} has no {file.name}; {way_out}") from error
    except (ValueError, RecursionError) as error:  # bytes that are not text give a ValueError too
        state = f"{error}: truncated or damaged" if file.stat().st_size else "it is empty"
        raise ValueError(f"{file} is not JSON ({state}); {way_out}") from error


def read_object(file: Path, way_out: str, fields: Collection[str] = ()) -> dict[str, Any]:
    """The content of a JSON file that must be an object with some fields.

    Args:
        file: The file.
        way_out: As in `read_json`.
        fields: Fields that it must have; it may have others.

    Raises:
        ValueError: As in `read_json`; or the file is not an object, or lacks fields, which the message names.
    """
    content = read_json(file, way_out)
    if not isinstance(content, dict):
        raise ValueError(f"{file} must be an object, but is a {type(content).__name__}; {way_out}")
    if lacking := sorted(set(fields) - content.keys()):
        raise ValueError(f"{file} lacks {', '.join(lacking)}; {way_out}")
    return content
