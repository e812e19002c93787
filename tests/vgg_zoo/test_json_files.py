"""JSON that is read back: the file, what is wrong with it, and the way out, in one line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import small
from vgg_zoo import DenseEvaluator
from vgg_zoo.json_files import read_json, read_object
from vgg_zoo.pretrained import check_source
from vgg_zoo.results import KINDS, RESULTS, VERSION
from vgg_zoo.weights.published import read_lock
from vgg_zoo.weights.settings import read_settings, usual_settings

WAY_OUT = "delete it"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"mean": [12', r"is not JSON \(Expecting .*: truncated or damaged\); delete it$"),
        (b"", r"is not JSON \(it is empty\); delete it$"),
        (b"\xff\xfe{", r"is not JSON \('utf-8' codec can't decode .*\); delete it$"),
        (b"[" * 100_000, r"is not JSON \(.*\); delete it$"),
        (b"[1]", "must be an object, but is a list; delete it$"),
        (b"null", "must be an object, but is a NoneType; delete it$"),
        (b"{}", "lacks eigenvalues, mean; delete it$"),
        (b'{"mean": 1}', "lacks eigenvalues; delete it$"),
        (None, "has no a.json; delete it$"),
    ],
)
def test_a_damaged_file_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    """Cut, empty, no text, too deep, no object, without fields, or not there."""
    file = tmp_path / "a.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_object(file, WAY_OUT, ("mean", "eigenvalues"))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """With further fields; and other types than an object, where an object is required."""
    content = {"mean": [0.1, 1e300], "more": {"ü": None}}
    (tmp_path / "a.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    assert read_object(tmp_path / "a.json", WAY_OUT, ("mean",)) == content
    (tmp_path / "a.json").write_text("[1, 2]")
    assert read_json(tmp_path / "a.json", WAY_OUT) == [1, 2]


FILES = {
    "dense_eval.json": lambda folder: read_settings(folder / "dense_eval.json"),
    "config.json": check_source,
    RESULTS: usual_settings,
    "lock.json": lambda folder: read_lock(folder / "lock.json"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("length", [0, 1, 20])
def test_every_file_of_a_nets_folder_that_is_cut_is_named(name: str, length: int, tmp_path: Path) -> None:
    """timm's config.json, the settings beside the weights, results.json, the lock file."""
    torch.manual_seed(0)
    DenseEvaluator(small(), (64,)).save_pretrained(tmp_path)
    results = {"version": VERSION, "kind": "training", **dict.fromkeys(KINDS["training"].fields)}
    (tmp_path / RESULTS).write_text(json.dumps(results))
    (tmp_path / "lock.json").write_text('{"vgg_d.made": {"repository": "org/vgg_d.made"}}')
    file = tmp_path / name
    file.write_text(file.read_text()[:length])
    with pytest.raises(ValueError, match=re.escape(f"{file} is not JSON (")) as caught:
        FILES[name](tmp_path)
    assert re.search("; .*(again|restore|delete)", str(caught.value))


@pytest.mark.parametrize("config", [{}, {"architecture": None}, {"architecture": "vgg_z"}, {"architecture": ["vgg_a"]}])
def test_a_config_names_a_net(config: dict[str, Any], tmp_path: Path) -> None:
    """timm would end in a KeyError or name no file."""
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config.json(: there is no net .*| lacks architecture); train"):
        check_source(tmp_path)
