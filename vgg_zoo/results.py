"""results.json: the results of the commands in recipes/. docs/results.md describes each field.

All code that writes or reads these files goes through this module: the commands, the library (settings of a trained
net), and hub (published figures). The fields are filled where they are measured: by `finish` in recipes/train.py,
`recipes.evaluation.scores.write_results`, recipes/localise.py and so on.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vgg_zoo.json_files import read_json

RESULTS = "results.json"

VERSION = 1
"""Version of the format; it is raised when a field is removed or changes its meaning."""


@dataclass(frozen=True, slots=True)
class Format:
    """The format of the results of one kind.

    Attributes:
        command: The command that writes them.
        fields: Fields that they must have, besides version and kind.
        again: What to do with a file of another version.
    """

    command: str
    fields: frozenset[str]
    again: str


def _format(command: str, fields: str, again: str = "give its command again with --overwrite") -> Format:
    return Format(command, frozenset(fields.split()), again)


KINDS = {
    "training": _format(
        "recipes/train.py",
        "recipe settings data finished steps epochs processes weights_sha256 results example",
        "train the net again, or convert the file to the form in docs/results.md by hand",
    ),
    "classes": _format("recipes/evaluate.py", "nets data outputs_of_classes results"),
    "boxes": _format("recipes/localise.py", "protocol nets classifiers close arithmetic data results"),
    "features": _format("recipes/extract_features.py", "net data precision features"),
    "svm": _format("recipes/linear_svm.py", "protocol measure nets descriptor data svm splits results"),
}
"""Errors of classes (Sect. 4), errors of boxes (Appendix A), descriptors and linear SVMs (Appendix B), by `kind`."""

_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("settings", "data", "results", "example", "net", "features", "svm", "descriptor"), (dict,)),
    **dict.fromkeys(("nets", "classifiers", "outputs_of_classes", "splits"), (list,)),
    **dict.fromkeys(("steps", "epochs", "processes"), (int,)),
    **dict.fromkeys(("recipe", "weights_sha256", "arithmetic", "precision", "measure"), (str,)),
    **{"finished": (bool,), "close": (int, float), "protocol": (int, str)},
}
"""Types of the fields that are not null."""


def described(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a results.json, with its version and kind first.

    Args:
        kind: One of `KINDS`.
        content: At least the required fields of the kind.
    """
    lacking = KINDS[kind].fields - content.keys()
    assert not lacking, f"results of the kind {kind} lack {sorted(lacking)}"
    return {"version": VERSION, "kind": kind, **content}


def read_results(folder: Path, *kinds: str) -> dict[str, Any]:
    """The results.json in a folder, checked.

    Args:
        folder: The --output of a command.
        *kinds: Accepted kinds; none accepts all of `KINDS`.

    Raises:
        ValueError: The file is missing, damaged, of another kind, or of another version; the message says what to do.
    """
    file, kinds = folder / RESULTS, kinds or tuple(KINDS)
    wanted = " or ".join(dict.fromkeys(KINDS[kind].command for kind in kinds))
    if not file.exists():
        raise ValueError(f"{folder} has no {RESULTS}; name the --output of {wanted}")
    content = read_json(file, KINDS[kinds[0]].again)
    if not isinstance(content, dict):
        raise ValueError(f"{file} is not what {wanted} writes: it must be an object; docs/results.md describes it")
    kind = content.get("kind")
    known = kind if isinstance(kind, str) and kind in KINDS else None
    if content.get("version") != VERSION or known is None:
        again = KINDS["training" if "recipe" in content else known or kinds[0]].again
        lacking = [name for name in ("version", "kind") if name not in content]
        raise ValueError(
            f"{file} is of version {content.get('version')!r}, kind {kind!r}, and this vgg_zoo reads version {VERSION} "
            f"of the kinds {', '.join(KINDS)}: " + (f"it lacks {', '.join(lacking)}: " if lacking else "") + again
        )
    if known not in kinds:
        raise ValueError(f"{file} is what {KINDS[known].command} writes; name the --output of {wanted}")
    _check_fields(file, known, content)
    return content


def _check_fields(file: Path, kind: str, content: Mapping[str, Any]) -> None:
    command, again = KINDS[kind].command, KINDS[kind].again
    if lacking := KINDS[kind].fields - content.keys():
        raise ValueError(f"{file} is not what {command} writes: it lacks {', '.join(sorted(lacking))}; {again}")
    for name in sorted(KINDS[kind].fields):
        value, types = content[name], _TYPES[name]
        if value is not None and not (isinstance(value, types) and (bool in types or not isinstance(value, bool))):
            words = " or ".join(each.__name__ for each in types)
            raise ValueError(f"{file} is not what {command} writes: {name} must be {words}; got {value!r}; {again}")


@contextmanager
def reading(folder: Path, kind: str) -> Iterator[None]:
    """Within the block, turn Python's errors for missing or wrong inner fields into one that names the results.json.

    Raises:
        ValueError: A field is missing or has another type.
    """
    try:
        yield
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        told = error if isinstance(error, ValueError) else repr(error)
        raise ValueError(
            f"{folder / RESULTS} is not what {KINDS[kind].command} writes ({told}); docs/results.md describes it: "
            + KINDS[kind].again
        ) from error


def images_of(content: Mapping[str, Any]) -> int:
    """Number of images of the results; call it within a block of `reading`.

    Raises:
        KeyError, TypeError, ValueError: The results do not have it.
    """
    images = content["data"]["images"]
    if type(images) is not int or images < 1:
        raise ValueError(f"data.images must be a number of images, at least 1; got {images!r}")
    return images


def training_of(folder: Path) -> dict[str, Any] | None:
    """The results of the training in a folder; None if there are none, as for a converted or published net.

    Raises:
        ValueError: As in `read_results`, if the file exists.
    """
    return read_results(folder, "training") if (folder / RESULTS).is_file() else None
