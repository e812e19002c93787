"""results.json: what the commands in recipes/ measured. docs/results.md describes it field by field.

Everything that writes or reads one goes through this module: the commands, the library, which takes a trained net's
settings from it, and hub, which publishes its figures. The fields are filled where they are measured: by `finish` in
recipes/train.py, `recipes.evaluation.scores.write_results`, recipes/localise.py and so on.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = "results.json"

VERSION = 1
"""Of the format; raised when a field goes or changes its meaning."""


@dataclass(frozen=True, slots=True)
class Format:
    """What the results of a kind are like.

    Attributes:
        command: That writes them.
        fields: That they must have, besides version and kind.
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
        "train the net again, or bring the file into the form of docs/results.md by hand",
    ),
    "classes": _format("recipes/evaluate.py", "nets data outputs_of_classes results"),
    "boxes": _format("recipes/localise.py", "protocol nets classifiers close arithmetic data results"),
    "features": _format("recipes/extract_features.py", "net data precision features"),
    "svm": _format("recipes/linear_svm.py", "protocol measure nets descriptor data svm splits results"),
}
"""Errors of classes (Sect. 4), errors of boxes (Appendix A), descriptors and linear SVMs (Appendix B), by `kind`."""


def described(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a results.json, with its version and kind first.

    Args:
        kind: One of `KINDS`.
        content: At least the fields that the kind must have.
    """
    lacking = KINDS[kind].fields - content.keys()
    assert not lacking, f"results of the kind {kind} lack {sorted(lacking)}"
    return {"version": VERSION, "kind": kind, **content}


def read_results(folder: Path, *kinds: str) -> dict[str, Any]:
    """The results.json in a folder, checked.

    Args:
        folder: The --output of a command.
        *kinds: That are taken; none takes all of `KINDS`.

    Raises:
        ValueError: There is none, it is damaged, of another kind, or of another version; the message says the way out.
    """
    file, kinds = folder / RESULTS, kinds or tuple(KINDS)
    wanted = " or ".join(dict.fromkeys(KINDS[kind].command for kind in kinds))
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise ValueError(f"{folder} has no {RESULTS}; name the --output of {wanted}") from error
    except ValueError as error:
        raise ValueError(f"{file} is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} is not what {wanted} writes: it must be an object; docs/results.md describes it")
    kind = content.get("kind")
    if content.get("version") != VERSION or kind not in KINDS:
        again = KINDS["training" if "recipe" in content else kind if kind in KINDS else "classes"].again
        raise ValueError(
            f"{file} is of version {content.get('version')!r}, kind {kind!r}, and this vgg_zoo reads version {VERSION} "
            f"of the kinds {', '.join(KINDS)}: {again}"
        )
    if kind not in kinds:
        raise ValueError(f"{file} is what {KINDS[kind].command} writes; name the --output of {wanted}")
    if lacking := KINDS[kind].fields - content.keys():
        raise ValueError(f"{file} is not what {KINDS[kind].command} writes: it lacks {', '.join(sorted(lacking))}")
    return content


def training_of(folder: Path) -> dict[str, Any] | None:
    """The results of the training in a folder; None of a folder without any, as a converted or published net's.

    Raises:
        ValueError: As `read_results`, of a file that is there.
    """
    return read_results(folder, "training") if (folder / RESULTS).is_file() else None
