"""JSON files that are read back: one that is cut short or lacks fields is refused by name, with the way out.

What this project writes is written whole (`vgg_zoo.weights.files.whole`): a damaged file was damaged from outside.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any


def read_json(file: Path, way_out: str) -> Any:
    """What a JSON file says.

    Args:
        file: To read.
        way_out: What to do where it cannot be used, as the end of a sentence.

    Raises:
        ValueError: There is none, or it is not JSON: cut short, or damaged.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{file.parent} has no {file.name}; {way_out}") from error
    except (ValueError, RecursionError) as error:  # bytes that are no text are a ValueError, too
        state = f"{error}: cut short or damaged" if file.stat().st_size else "it is empty"
        raise ValueError(f"{file} is not JSON ({state}); {way_out}") from error


def read_object(file: Path, way_out: str, fields: Collection[str] = ()) -> dict[str, Any]:
    """The same of a file that must be an object with some fields.

    Args:
        file: To read.
        way_out: As for `read_json`.
        fields: That it must have; it may have others.

    Raises:
        ValueError: As `read_json`; or it is no object, or lacks fields, which are named.
    """
    content = read_json(file, way_out)
    if not isinstance(content, dict):
        raise ValueError(f"{file} must be an object, and is a {type(content).__name__}; {way_out}")
    if lacking := sorted(set(fields) - content.keys()):
        raise ValueError(f"{file} lacks {', '.join(lacking)}; {way_out}")
    return content
