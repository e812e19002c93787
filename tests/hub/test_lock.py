"""`lock`: only what was published, verified and not touched since, under a name that is free."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from hub.lock import lock
from hub.repository.files import address_of
from hub.repository.record import Record, write_record
from tests.hub.nets import make_built
from vgg_zoo.weights.published import read_lock, write_lock

COMMIT = "0123456789" * 4


def published(folder: Path, address: str = "org/vgg_d.made", endpoint: str = constants.ENDPOINT) -> Path:
    """A folder that was published and verified, as its record says."""
    built = make_built(folder, address=address)
    write_record(built, replace(Record.of(built, address_of(built), COMMIT, endpoint), verified=True))
    return built


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An empty lock file."""
    write_lock({}, tmp_path / "lock.json")
    return tmp_path / "lock.json"


def test_a_publication_becomes_a_row(tmp_path: Path, file: Path) -> None:
    """A newer one of the same repository takes its place."""
    assert "works" in lock(published(tmp_path / "one"), file)
    assert read_lock(file)["vgg_d.made"].revision == COMMIT
    again = published(tmp_path / "two", "org/vgg_d.made@v2")
    assert "works" in lock(again, file) or "already" in lock(again, file)
    assert list(read_lock(file)) == ["vgg_d.made"]


def test_what_was_changed_since_is_refused(tmp_path: Path, file: Path) -> None:
    """Another mean in the config, with SHA256SUMS as it was published."""
    folder = published(tmp_path / "one")
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"]["mean"] = [0.0, 0.0, 0.0]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="was changed or built again"):
        lock(folder, file)
    assert read_lock(file) == {}


def test_a_name_that_is_taken_is_refused(tmp_path: Path, file: Path) -> None:
    """torchvision's weights, which everybody has by this name; and somebody else's repository."""
    with pytest.raises(ValueError, match=r"vgg_d\.tv_in1k is a net of the package already"):
        lock(published(tmp_path / "one", "me/vgg_d.tv_in1k"), file)
    with pytest.raises(ValueError, match=r"vgg_a_box\.untrained is a net of the package already"):
        lock(published(tmp_path / "boxes", "me/vgg_a_box.untrained"), file)
    lock(published(tmp_path / "two"), file)
    with pytest.raises(ValueError, match=r"vgg_d\.made is a net of org/vgg_d\.made already"):
        lock(published(tmp_path / "three", "you/vgg_d.made"), file)
    assert read_lock(file)["vgg_d.made"].repository == "org/vgg_d.made"


def test_another_hub_is_refused(tmp_path: Path, file: Path) -> None:
    """A rehearsal on another endpoint is not where timm looks."""
    with pytest.raises(ValueError, match=r"was published to http://127\.0\.0\.1:1, and nets are loaded from"):
        lock(published(tmp_path / "one", endpoint="http://127.0.0.1:1"), file)
