"""Oxford's own nets by name: fetched from a server on this machine, checked, converted once, and loaded by timm."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from timm.data import resolve_data_config

import vgg_zoo
from tests.forked import HEAVY, run_forked
from tests.helpers import SMALL, small
from tests.vgg_zoo.weights.formats import caffe, in_oxfords_layout
from tests.vgg_zoo.weights.server import Server, answer
from vgg_zoo.weights import oxford
from vgg_zoo.weights.download import RemoteFile

NET: dict[str, Any] = SMALL | {"num_classes": 1000}
NAME = "vgg_d.oxford_in1k"


@pytest.fixture
def original(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small net D whose Caffe file is Oxford's for this test, on a server, and an empty cache."""
    net = small("vgg_d", num_classes=1000)
    content = caffe(in_oxfords_layout(net.state_dict(), "vgg_d"))
    (tmp_path / "original.caffemodel").write_bytes(content)
    server.answers = [answer(200, content)]
    monkeypatch.setitem(oxford.OXFORD, "vgg_d", server.file(content))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)  # as it is outside the tests
    monkeypatch.setattr(oxford, "cache_folder", lambda: tmp_path / "cache")
    return net


def files(folder: Path) -> list[str]:
    """The files in the cache, except locks."""
    return sorted(file.name for file in folder.iterdir() if file.suffix != ".lock") if folder.exists() else []


def load(**changes: Any) -> Any:
    """The net by its name."""
    return timm.create_model(NAME, pretrained=True, **NET | changes).eval()


def same(one: Any, other: Any) -> bool:
    """All tensors equal."""
    own = one.state_dict()
    return all(torch.equal(own[key], value) for key, value in other.state_dict().items())


def test_it_is_fetched_and_converted_once(original: Any, server: Server, tmp_path: Path) -> None:
    """The second load reads the safetensors, asks no server, and needs Oxford's file no more."""
    assert same(load(), original)
    assert files(tmp_path / "cache") == ["weights.caffemodel", "weights.safetensors"]
    (tmp_path / "cache" / "weights.caffemodel").unlink()
    written = (tmp_path / "cache" / "weights.safetensors").stat().st_mtime_ns
    assert same(load(), original)
    assert len(server.ranges) == 1
    assert (tmp_path / "cache" / "weights.safetensors").stat().st_mtime_ns == written


def test_other_classes_and_channels_begin_with_its_weights(original: Any) -> None:
    """As timm's users expect: a new last layer, or grey images."""
    model = load(num_classes=7, in_chans=1)
    assert torch.equal(model.features[2].weight, original.features[2].weight)
    assert model.head.fc.weight.shape[0] == 7
    torch.testing.assert_close(model.features[0].weight, original.features[0].weight.sum(1, keepdim=True))


def test_offline_it_loads_from_the_cache_or_says_what_to_put_where(
    original: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request is made; Oxford's file in the named place is found and converted."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    place = tmp_path / "cache" / "weights.caffemodel"
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE") as told:
        load()
    assert str(place) in str(told.value)
    assert oxford.OXFORD["vgg_d"].url in str(told.value)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes((tmp_path / "original.caffemodel").read_bytes())
    assert same(load(), original)
    assert same(load(), original)
    assert server.ranges == []


def test_a_file_fetched_by_hand_is_taken_by_its_path(original: Any, server: Server, tmp_path: Path) -> None:
    """Checked like a download; it stays where it is."""
    overlay = {"file": str(tmp_path / "original.caffemodel")}
    assert same(load(pretrained_cfg_overlay=overlay), original)
    assert server.ranges == []
    assert files(tmp_path / "cache") == ["weights.safetensors"]


def test_another_file_by_its_path_is_refused(original: Any, tmp_path: Path) -> None:
    """Altered, cut short, missing, or of another net."""
    whole = (tmp_path / "original.caffemodel").read_bytes()
    other = tmp_path / "other.caffemodel"
    for content, message in ((whole[:-1] + b"x", "altered"), (whole[:-1], "truncated"), (None, "no file")):
        other.unlink(missing_ok=True)
        if content is not None:
            other.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            load(pretrained_cfg_overlay={"file": str(other)})
    assert files(tmp_path / "cache") == []
    load()
    with pytest.raises(ValueError, match="no file"):  # also when the right weights are in the cache
        load(pretrained_cfg_overlay={"file": str(other)})
    with pytest.raises(ValueError, match="Oxford has none of vgg_a"):
        timm.create_model("vgg_a", pretrained=True, pretrained_cfg_overlay={"file": str(other)})


@pytest.mark.parametrize("how", ["short", "altered", "oversized", "missing", "silent"])
def test_nothing_broken_is_kept_as_good(original: Any, server: Server, tmp_path: Path, how: str) -> None:
    """Neither Oxford's file nor a conversion; a good server then gives the net."""
    whole = (tmp_path / "original.caffemodel").read_bytes()
    good = list(server.answers)
    server.answers = {
        "short": [answer(200, whole, len(whole) // 2), answer(503)],
        "altered": [answer(200, whole[:-1] + b"x")],
        "oversized": [answer(200, whole * 2)],
        "missing": [answer(404)],
        "silent": [answer(200, whole, 0)],
    }[how]
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        load()
    assert not {"weights.caffemodel", "weights.safetensors"} & set(files(tmp_path / "cache"))
    server.ranges.clear()
    server.answers = good
    assert same(load(), original)


def test_what_is_damaged_in_the_cache_is_told_or_made_again(original: Any, tmp_path: Path) -> None:
    """Oxford's file is named with what to do; a conversion that is cut short is made again."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "weights.caffemodel").write_bytes(b"<html>proxy login</html>")
    with pytest.raises(ValueError, match=r"weights.caffemodel has 24 bytes.*Delete it"):
        load()
    (cache / "weights.caffemodel").unlink()
    load()
    whole = (cache / "weights.safetensors").read_bytes()
    (cache / "weights.safetensors").write_bytes(whole[:-10])
    assert same(load(), original)
    assert (cache / "weights.safetensors").read_bytes() == whole


def test_timms_cache_dir_is_used(original: Any, tmp_path: Path) -> None:
    """As for any other weights of timm's."""
    assert same(load(cache_dir=tmp_path / "mine"), original)
    assert files(tmp_path / "mine") == ["weights.caffemodel", "weights.safetensors"]


def test_preprocessing_in_timms_terms_is_the_papers() -> None:
    """RGB minus Oxford's mean in 0–255, and nothing else: timm's transforms give (x / 255 − mean) · 255."""
    for name in ("vgg_d", "vgg_e"):
        model = timm.create_model(f"{name}.oxford_in1k", device="meta")
        config = resolve_data_config(model=model)
        assert [value * 255 for value in config["mean"]] == pytest.approx([123.68, 116.779, 103.939])
        assert config["std"] == (1 / 255,) * 3
        assert config["input_size"] == (3, 224, 224)
        assert model.pretrained_cfg["license"] == "cc-by-4.0"


def test_the_cache_moves_with_the_hubs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """HF_ASSETS_CACHE says where."""
    code = "from vgg_zoo.weights.oxford import cache_folder; print(cache_folder())"
    done = run_forked(["-c", code], preload=HEAVY, environment={"HF_ASSETS_CACHE": str(tmp_path), "PATH": ""})
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)


MEASURED = """
import json, resource, sys
from pathlib import Path
import torch, vgg_zoo
from vgg_zoo.weights import oxford
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
torch.zeros(1) + 1
source, target = Path(sys.argv[1]), Path(sys.argv[2])
before = peak()
remote = oxford.RemoteFile("http://localhost/x.caffemodel", source.stat().st_size, "sha256:0")
oxford._convert(source, remote, target)
print(json.dumps((peak() - before) / source.stat().st_size))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_a_conversion_takes_little_memory(tmp_path: Path) -> None:
    """Of a net D of full size: at most 2.2 times the file."""
    torch.manual_seed(0)
    net: Any = timm.create_model("vgg_d")
    source = tmp_path / "d.caffemodel"
    source.write_bytes(caffe(in_oxfords_layout(net.state_dict(), "vgg_d")))
    assert source.stat().st_size > 550_000_000
    command = [sys.executable, "-c", MEASURED, str(source), str(tmp_path / "converted")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) < 2.2


def test_what_is_published_is_known_by_its_hash() -> None:
    """Sizes and hashes of Oxford's two files, typed again."""
    d, e = oxford.OXFORD["vgg_d"], oxford.OXFORD["vgg_e"]
    assert (d.name, d.size) == ("VGG_ILSVRC_16_layers.caffemodel", 553_432_081)
    assert d.digest == "sha256:a6196bc498e45ea4cb2637114ae8db9410cf1556fd60a55ae93272371beba197"
    assert (e.name, e.size) == ("VGG_ILSVRC_19_layers.caffemodel", 574_671_192)
    assert e.digest == "sha1:239785e7862442717d831f682bb824055e51e9ba"
    assert isinstance(d, RemoteFile)


def test_verification_mends_both_files(original: Any, server: Server, tmp_path: Path) -> None:
    """A wrong bit in the conversion, and one in Oxford's file, which is fetched again."""
    load()
    cache = tmp_path / "cache"
    good = (cache / "weights.safetensors").read_bytes()
    for name in ("weights.safetensors", "weights.caffemodel"):
        content = bytearray((cache / name).read_bytes())
        content[-3] ^= 1
        (cache / name).write_bytes(content)
        assert vgg_zoo.verify_weights(NAME) == cache / "weights.safetensors"
        assert (cache / "weights.safetensors").read_bytes() == good
    assert (cache / "weights.caffemodel").read_bytes() == (tmp_path / "original.caffemodel").read_bytes()
    assert len(server.ranges) == 2
    assert same(load(), original)
