"""The package's lock file."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm

import vgg_zoo
from tests.forked import HEAVY, run_forked
from vgg_zoo.weights.published import LOCK, PublishedNet, read_lock, write_lock

NET: dict[str, Any] = {
    "repository": "org/vgg_d.made",
    "revision": "0" * 40,
    "sha256": "1" * 64,
    "size": 12,
    "model_args": {"width_multiplier": 0.5},
    "pretrained_cfg": {"num_classes": 5, "mean": [0.5, 0.5, 0.5]},
}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Sorted by name, so that a diff shows one net."""
    nets = {name: PublishedNet(**NET) for name in ("vgg_d.b", "vgg_d.a")}
    write_lock(nets, tmp_path / "lock.json")
    assert read_lock(tmp_path / "lock.json") == nets
    assert list(json.loads((tmp_path / "lock.json").read_text())) == ["vgg_d.a", "vgg_d.b"]


@pytest.mark.parametrize(
    "change",
    [
        {"revision": "main"},
        {"revision": "0" * 39},
        {"sha256": "g" * 64},
        {"repository": "../x"},
        {"repository": "a/b/c"},
        {"size": "12"},
        {"size": 0},
        {"more": 1},
        {"model_args": {"checkpoint_path": "/etc/passwd"}},
        {"model_args": {"regression": "xyz"}},
        {"model_args": {"regression": ["pcr"]}},
    ],
)
def test_a_damaged_lock_file_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """A branch for a commit, half a hash, a path: nothing of it is trusted."""
    (tmp_path / "lock.json").write_text(json.dumps({"vgg_d.made": NET | change}))
    with pytest.raises(ValueError, match=r"is not what `python -m hub lock` writes"):
        read_lock(tmp_path / "lock.json")


def test_every_published_net_is_in_timms_table() -> None:
    """At its commit; the file is part of the package."""
    for name, net in read_lock(LOCK).items():
        assert name in timm.list_pretrained()
        cfg = timm.get_pretrained_cfg(name)
        assert cfg is not None
        assert cfg.hf_hub_id == f"{net.repository}@{net.revision}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgg_f", "there is no net 'vgg_f'"),
        ("resnet18.a1_in1k", "is not a VGG"),
        ("vgg_c.untrained", "there are no weights 'vgg_c.untrained'"),
        ("vgg_d.oxford", "it has oxford_in1k, tv_in1k"),
    ],
)
def test_what_cannot_be_verified_is_told(name: str, message: str) -> None:
    """Before anything is fetched."""
    with pytest.raises(ValueError, match=message):
        vgg_zoo.verify_weights(name)


def test_a_published_net_leaves_the_untrained_one_as_it_is(tmp_path: Path) -> None:
    """The first weights of net C are its default with `pretrained=True`, and without it nothing of them is there."""
    shutil.copytree(LOCK.parents[1], tmp_path / "vgg_zoo")
    net = NET | {"model_args": {"width_multiplier": 0.5, "head_hidden_size": 8}, "repository": "org/vgg_c.made"}
    (tmp_path / "vgg_zoo/weights/published.json").write_text(json.dumps({"vgg_c.made": net}))
    code = (
        "import timm, vgg_zoo\n"
        "nets = [timm.create_model(name, device='meta') for name in ('vgg_c', 'vgg_c.made')]\n"
        "print([(net.num_classes, net.num_features, net.head_hidden_size) for net in nets])\n"
        "print(timm.list_pretrained('vgg_c*'))"
    )
    done = run_forked(["-c", code], preload=HEAVY, cwd=tmp_path)
    assert done.stdout.strip() == "[(1000, 512, 4096), (5, 256, 8)]\n['vgg_c.made']"
