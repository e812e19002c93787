"""The output of a net for each class of a data set: two lists of 1000 classes may have different orders."""

import json
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from timm.data import ImageNetInfo
from torch import Tensor

_WORDNET_ID = re.compile(r"n\d{8}")


def outputs_of_classes(classes: Sequence[str], net: Any, class_index: Path | None = None) -> list[int]:
    """The net's output for each class of a data set.

    A file has priority. Otherwise, classes are matched by name: the net's own names (from a run's folder), ImageNet's
    words or WordNet ids for a net of 1000 classes, or numbers. Otherwise, if there are as many classes as outputs, they
    are assumed to be in the same order, with a warning if the net knows the names of its outputs.

    Args:
        classes: Names in the order of the data set's labels; empty for a data set without labels.
        net: A net with timm's `pretrained_cfg` and `num_classes`.
        class_index: A line for each class of the data set, in order: an output's number, name or WordNet id (a
            "synset_words.txt"); or JSON as in "imagenet_class_index.json".

    Raises:
        ValueError: A class has no output; the message says how to name the outputs.
    """
    count, outputs = int(net.num_classes), outputs_by_name(net)
    if class_index is not None:
        return _from_file(class_index, classes, count, outputs)
    if not classes:
        return list(range(count))
    if len(set(classes)) == len(classes) and all(name in outputs for name in classes):
        return [outputs[name] for name in classes]
    if all(name.isdecimal() for name in classes) and all(int(name) < count for name in classes):
        return [int(name) for name in classes]
    known = {place: outputs[name] for place, name in enumerate(classes) if name in outputs}
    same_order = all(place == output for place, output in known.items())
    if len(classes) != count or not same_order or all(name.isdecimal() for name in classes):
        shown = ", ".join(repr(name) for name in [*classes[:3], "..."][: len(classes)])
        raise ValueError(
            f"the data set has {len(classes)} classes ({shown}) and the net {count} outputs, and their names do not "
            "match; say with --class-index FILE which output each class is: a line for each class with the output's "
            "number, name or WordNet id"
        )
    if outputs and not known:
        warnings.warn(
            f"the data set's classes ({classes[0]!r}, ...) are not named like the net's outputs "
            f"({next(iter(outputs))!r}, ...), and are taken to be in the same order; --class-index FILE says for sure",
            stacklevel=2,
        )
    return list(range(count))


def outputs_by_name(net: Any) -> dict[str, int]:
    """All unambiguous names of outputs: the net's own, or ImageNet's words and WordNet ids for 1000 classes."""
    names = net.pretrained_cfg.get("label_names")
    if names:
        return {name: place for place, name in enumerate(names)}
    if int(net.num_classes) != 1000:
        return {}
    info = ImageNetInfo()
    found = [(info.index_to_description(place), place) for place in range(1000)]
    counts = Counter(words for words, _ in found)  # two classes are a "crane"
    words = {words: place for words, place in found if counts[words] == 1}
    return words | {info.index_to_label_name(place): place for place in range(1000)}


def _from_file(file: Path, classes: Sequence[str], count: int, outputs: Mapping[str, int]) -> list[int]:
    if not file.is_file():
        raise ValueError(f"no file {str(file)!r} for --class-index")
    found = []
    for place, entry in enumerate(_entries(file, classes)):
        output = _output(entry, count, outputs)
        if output is None:
            raise ValueError(
                f"{file}: class {place} is {entry!r}, which is neither a number from 0 to {count - 1} nor the name "
                "nor the WordNet id of one of the net's outputs"
            )
        found.append(output)
    if classes and len(found) != len(classes):
        raise ValueError(f"{file} names {len(found)} classes; the data set has {len(classes)}")
    return found


def _entries(file: Path, classes: Sequence[str]) -> list[Any]:
    """The entries of the file for each class, in the order of the labels."""
    text = file.read_text()
    if file.suffix != ".json":
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{file} is not JSON ({error})") from error
    if isinstance(content, list):
        return content
    if isinstance(content, dict) and classes and set(content) == set(classes):
        return [content[name] for name in classes]
    if isinstance(content, dict) and set(content) == set(map(str, range(len(content)))):
        return [content[str(place)] for place in range(len(content))]
    raise ValueError(f"{file} must be a list, or have the keys 0, 1, 2, ... or the names of the data set's classes")


def _output(entry: Any, count: int, outputs: Mapping[str, int]) -> int | None:
    if isinstance(entry, list):  # ["n01440764", "tench"]
        return next((output for part in entry if (output := _output(part, count, outputs)) is not None), None)
    text = str(entry)
    if text in outputs:
        return outputs[text]
    if text.isdecimal():
        return int(text) if int(text) < count else None
    first = text.split()[0] if text else ""  # "n01440764 tench, Tinca tinca"
    return outputs.get(first) if _WORDNET_ID.fullmatch(first) else None


def targets(labels: Tensor, outputs: Sequence[int]) -> Tensor:
    """Labels of a data set, (N,), as the net's outputs; `UNLABELLED` does not change."""
    return torch.where(labels < 0, labels, torch.tensor(outputs)[labels.clamp(min=0)])


def submission(posteriors: Tensor, outputs: Sequence[int]) -> str:
    """The lines of ILSVRC's test server: for each image its five likeliest classes, numbered from 1.

    An image that could not be decoded has a line too, with the first five classes.

    Args:
        posteriors: (N, num_classes).
        outputs: The net's output for each class, in the server's numbering; one to one.

    Raises:
        ValueError: An output has no class, or several.
    """
    if sorted(outputs) != list(range(posteriors.shape[1])):
        raise ValueError(
            f"a submission needs one class for each of the net's {posteriors.shape[1]} outputs, and the data set's "
            f"{len(outputs)} classes are {len(set(outputs))} of them; name them all with --class-index FILE"
        )
    in_order = posteriors[:, list(outputs)].nan_to_num(0).argsort(dim=1, descending=True, stable=True)
    return "".join(" ".join(map(str, row)) + "\n" for row in (in_order[:, :5] + 1).tolist())
