"""What a net scores: rows out of the `results.json` files of recipes, of exactly these weights, and nowhere else from.

The kept file is `eval_results.json`: a list of rows, each with protocol, errors from 0 to 1, counts, data set, the
sha256 of the weights that were measured, versions and command.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hub.files import read_json
from vgg_zoo.paper_tables import ILSVRC, PaperNet, PaperResult, paper_result

Row = dict[str, Any]
SINGLE_CROP = "single_crop"
PROTOCOLS = {
    SINGLE_CROP: "single crop",
    "dense": "dense",
    "multi_crop": "multi-crop",
    "multi_crop_and_dense": "multi-crop & dense",
}
SETTINGS = ("scales", "flip", "protocol", "softmax_first", "ceil_mode")
_PROVENANCE = ("command", "commit", "python", "versions")


def rows_of(run: Path, evaluations: Iterable[Path], sha256: str, configuration: str) -> list[Row]:
    """The rows of a net: of the tests at the end of its training, and of evaluations.

    Args:
        run: Folder of the training; its results.json may be missing.
        evaluations: The --output folders of recipes/evaluate.py.
        sha256: Of the net's weights.
        configuration: The paper's name of the net.

    Returns:
        At least one row, single crop first; an evaluation's row replaces the training's of the same protocol and Q.

    Raises:
        ValueError: Results of other weights, of several nets, without labels or damaged; or none at all.
    """
    found: dict[Any, Row] = {}
    own = run / "results.json"
    if own.is_file():
        content = read_json(own)
        found |= {_key(row): row for row in _guarded(own, content, _training_rows)}
    evaluated: dict[Any, Row] = {}
    for folder in evaluations:
        file = folder / "results.json"
        if not file.is_file():
            raise ValueError(f"{folder} has no results.json; name the --output of recipes/evaluate.py")
        for row in _guarded(file, read_json(file), _evaluation_rows):
            if _key(row) in evaluated:
                raise ValueError(f"two of the results are for {named(row)}; name one of them")
            evaluated[_key(row)] = row
    found |= evaluated
    for row in found.values():
        if row["weights_sha256"] != sha256:
            raise ValueError(
                f"the results for {named(row)} are of other weights (sha256 {row['weights_sha256']}) than {run} holds "
                f"({sha256}); run recipes/evaluate.py --model {run} again"
            )
        row["configuration"] = configuration
    if not found:
        raise ValueError(
            f"nothing tells what {run} scores; run recipes/evaluate.py --model {run} --output FOLDER, and name the "
            "folder with --results"
        )
    return sorted(found.values(), key=lambda row: (*_key(row)[:1], len(row["scales"]), row["scales"], str(_key(row))))


def _key(row: Row) -> tuple[Any, ...]:
    data = (row["data_set"], row["split"])
    return (list(PROTOCOLS).index(row["protocol"]), *(str(row[name]) for name in SETTINGS), *data)


def _guarded(file: Path, content: Any, read: Any) -> list[Row]:
    try:
        return list(read(content))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{file} is not what recipes/train.py or recipes/evaluate.py writes ({error!r})") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _training_rows(content: Mapping[str, Any]) -> Iterable[Row]:
    """The tests that end a training: one centre crop, and dense at one scale."""
    if "nets" in content:
        raise ValueError("these are an evaluation's results in the folder of a net")
    settings, data = content["settings"], content["data"]
    for result in content["results"].values():
        yield {
            "protocol": SINGLE_CROP if result["crop_size"] else "dense",
            "scales": [result["scale"]],
            "flip": result["flip"],
            "softmax_first": False,
            "ceil_mode": False,
            "train_scales": sorted(set(settings["train_scales"])),
            **_errors(result),
            "data_set": _without_folder(data["spec"]),
            "split": "validation",
            "classes": data["classes"],
            **_about_weights(content, content["weights_sha256"]),
        }


def _evaluation_rows(content: Mapping[str, Any]) -> Iterable[Row]:
    if len(content["nets"]) != 1:
        raise ValueError(f"a fusion of {len(content['nets'])} nets; name the evaluation of this one net")
    if content["results"] is None:
        raise ValueError("of images without labels: there are no errors to publish")
    (net,), data = content["nets"], content["data"]
    yield {
        **{name: net[name] for name in ("protocol", "scales", "flip", "softmax_first", "ceil_mode")},
        "train_scales": net["train_scales"],
        **_errors(content["results"]),
        "data_set": _without_folder(data["spec"]),
        "split": data["split"],
        "classes": data["classes"],
        "unreadable_images": data["unreadable_images"],
        **_about_weights(content, net["weights_sha256"]),
    }


def _errors(result: Mapping[str, Any]) -> Row:
    for name in ("top1", "top5"):
        if not 0 <= result[name] <= 1:
            raise ValueError(f"{name} must be an error from 0 to 1; got {result[name]!r}")
    return {"top1_error": result["top1"], "top5_error": result["top5"], "images": result["images"]}


def _about_weights(content: Mapping[str, Any], sha256: str) -> Row:
    kept = {name: content.get(name) for name in _PROVENANCE}
    return {"weights_sha256": sha256, **kept, "command": without_folders(content.get("command") or [])}


def without_folders(command: Sequence[str]) -> list[str]:
    """A command without where things are on somebody's machine."""
    return [_without_folder(str(word)) for word in command]


def _without_folder(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    path = Path(value)
    elsewhere = path.is_absolute() or value.startswith("~") or ".." in path.parts
    return f"{option}{equals}{path.name if elsewhere else value}"


def named(row: Row) -> str:
    """The protocol and its scales in the paper's words."""
    scales = ", ".join(map(str, row["scales"]))
    notes = [
        note
        for note, unusual in (
            ("no flips", row["flip"] is False and row["protocol"] != SINGLE_CROP),
            ("soft-max before the mean over places", row["softmax_first"]),
            ("Caffe's pooling", row["ceil_mode"]),
        )
        if unusual
    ]
    return f"{PROTOCOLS[row['protocol']]}, Q = {scales}" + (f" ({', '.join(notes)})" if notes else "")


def paper_of(row: Row) -> PaperResult | None:
    """The paper's figures, where it measured the same net, S, Q and protocol on the same images."""
    if (row["classes"], row["images"]) != ILSVRC:
        return None
    return paper_result([PaperNet.described(row)])


def wrapper_settings(rows: Sequence[Row]) -> Row:
    """The settings of the dense wrapper: those of the dense test with the most scales.

    Raises:
        ValueError: There is no dense test.
    """
    dense = [row for row in rows if row["protocol"] == "dense"]
    if not dense:
        raise ValueError(
            "none of the results is dense, and the dense wrapper takes its settings from one; add the --output of "
            "recipes/evaluate.py --protocol dense"
        )
    best = max(dense, key=lambda row: len(row["scales"]))
    return {name: best[name] for name in SETTINGS}
