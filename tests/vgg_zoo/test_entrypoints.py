"""Registration with timm, weights by name, and what happens when they are wrong."""

import os
import pickle
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import cached_assets_path
from safetensors.torch import save_file

from tests.forked import HEAVY, run_forked
from tests.helpers import BOX_NETS, NETS, SMALL, TIMM_NAMES, in_torchvisions_layout, small
from vgg_zoo.evaluation import DenseEvaluator
from vgg_zoo.pretrained import name_for_timm, pretrained_net
from vgg_zoo.weights.oxford import OXFORD

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which every warning is an error."""
    strict = "import warnings; warnings.simplefilter('error')"
    return run_forked(["-c", code], preload=HEAVY, environment={**os.environ, **environment}, before=strict)


def test_importing_adds_the_nets_and_changes_nothing_else() -> None:
    """No warning, no other name, no other weights, no download, no matter how often."""
    code = """
import timm, importlib, socket
def no(*args, **kwargs): raise AssertionError("importing opened a connection")
def registry():
    names = timm.list_models(include_tags=True)
    cfgs = {name: timm.get_pretrained_cfg(name) for name in names}
    return cfgs, {module: timm.list_models(module=module) for module in timm.list_modules()}, timm.list_pretrained()
cfgs, modules, pretrained = registry()
socket.socket.connect = no
import vgg_zoo
importlib.import_module("vgg_zoo")
importlib.reload(vgg_zoo)
new_cfgs, new_modules, new_pretrained = registry()
assert {name: cfg for name, cfg in new_cfgs.items() if name in cfgs} == cfgs
assert {name.split(".")[0] for name in new_cfgs.keys() - cfgs.keys()} == {*NETS, *BOX_NETS}
assert {name: models for name, models in new_modules.items() if name in modules} == modules
assert new_modules.keys() - modules.keys() == {"entrypoints"}
oxford = {"vgg_d.oxford_in1k", "vgg_e.oxford_in1k"}
assert set(new_pretrained) - set(pretrained) == {f"vgg_{net}.tv_in1k" for net in "abde"} | oxford
assert set(pretrained) <= set(new_pretrained)
"""
    done = python(f"NETS, BOX_NETS = {NETS!r}, {BOX_NETS!r}\n{code}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [f"{net}.{tag}" for net in NETS for tag in ("tv_in1k", "untrained")])
def test_every_tag_says_what_it_is(name: str) -> None:
    """Licence, origin, paper and preprocessing; nets with weights have one tag, the others the other."""
    net, _, tag = name.partition(".")
    if (net in TIMM_NAMES) != (tag == "tv_in1k"):
        with pytest.raises(RuntimeError, match="Invalid pretrained tag"):
            timm.get_pretrained_cfg(name)
        return
    cfg = timm.get_pretrained_cfg(name)
    assert cfg.license
    assert cfg.origin_url.startswith("https://")
    assert cfg.description
    assert cfg.paper_name == "Very Deep Convolutional Networks for Large-Scale Image Recognition"
    assert cfg.paper_ids == "arXiv:1409.1556v6"
    assert (cfg.input_size, cfg.pool_size, cfg.crop_pct, cfg.interpolation) == (
        (3, 224, 224),
        (7, 7),
        0.875,
        "bilinear",
    )
    if tag == "tv_in1k":
        assert cfg.hf_hub_id == f"timm/{TIMM_NAMES[net]}.tv_in1k"
        assert timm.get_pretrained_cfg(net) == cfg
        theirs = timm.get_pretrained_cfg(f"{TIMM_NAMES[net]}.tv_in1k")
        assert (cfg.mean, cfg.std, cfg.license) == (theirs.mean, theirs.std, theirs.license)
    else:
        assert not cfg.has_weights
        assert cfg.std == (1 / 255,) * 3
        assert [round(255 * value, 3) for value in cfg.mean] == [123.68, 116.779, 103.939]


@pytest.mark.parametrize("name", [net for net in NETS if net not in TIMM_NAMES])
def test_weights_that_nobody_published_are_timms_own_error(name: str) -> None:
    """And the net is in no list of pretrained ones."""
    with pytest.raises(RuntimeError, match=f"No pretrained weights exist for {name}"):
        timm.create_model(name, pretrained=True, **SMALL)
    assert not timm.is_model_pretrained(name)


@pytest.mark.parametrize("layout", ["timm", "torchvision"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["vgg_a", "vgg_d"])
def test_a_local_file_loads_in_either_layout(name: str, suffix: str, layout: str, tmp_path: Path) -> None:
    """`pretrained_cfg_overlay=dict(file=...)`: equal weights from safetensors and from a `weights_only` pickle."""
    source = small(name)
    weights = source.state_dict() if layout == "timm" else in_torchvisions_layout(source.state_dict())
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(weights, file)
    else:
        save_file(weights, file)
    loaded = load(name, file)
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in source.state_dict().items())


def load(name: str, file: Path, **arguments: Any) -> Any:
    """Create a small net from a file of a net with five classes."""
    overlay = {"file": str(file), "num_classes": 5}
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **SMALL | arguments).eval()


@pytest.fixture
def weights_of_d(tmp_path: Path) -> Path:
    """A small net D's weights."""
    save_file(small("vgg_d").state_dict(), tmp_path / "d.safetensors")
    return tmp_path / "d.safetensors"


def test_weights_adapt_to_channels_and_classes(weights_of_d: Path) -> None:
    """As in timm: one channel sums the three, a classifier of other classes is initialised, features need no head."""
    source, adapted = load("vgg_d", weights_of_d), load("vgg_d", weights_of_d, in_chans=1, num_classes=3)
    summed = source.features[0].weight.sum(1, keepdim=True)
    torch.testing.assert_close(adapted.features[0].weight, summed)
    assert torch.equal(adapted.features[2].weight, source.features[2].weight)
    assert adapted.head.fc.out_features == 3
    assert load("vgg_d", weights_of_d, num_classes=0).head.fc(torch.ones(1)) == 1
    features = load("vgg_d", weights_of_d, features_only=True)
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(features(image)[-1], source.forward_features(image))


@pytest.mark.parametrize("classes", [5, 9])
def test_weights_with_a_missing_layer_are_refused(weights_of_d: Path, classes: int) -> None:
    """Also for other classes, where timm itself would load what there is and say nothing."""
    weights = {key: value for key, value in small("vgg_d").state_dict().items() if key != "features.7.weight"}
    save_file(weights, weights_of_d)
    with pytest.raises(ValueError, match=r"do not fit configuration D: missing: features\.7\.weight"):
        load("vgg_d", weights_of_d, num_classes=classes)


def test_weights_of_another_net_are_refused_by_name(weights_of_d: Path) -> None:
    """The message says whose they are."""
    with pytest.raises(ValueError, match=r"do not fit configuration E: .* fit configuration D\."):
        load("vgg_e", weights_of_d)


def test_weights_of_another_width_are_refused(weights_of_d: Path) -> None:
    """With both shapes of the first layers."""
    with pytest.raises(ValueError, match=r"features\.0\.weight is 6×3×3×3 in the file and 13×3×3×3 in the net"):
        load("vgg_d", weights_of_d, width_multiplier=0.2)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_a_damaged_file_is_named(weights_of_d: Path, damage: str) -> None:
    """Cut short, overwritten or empty: the message names the net, the file and the way out."""
    whole = weights_of_d.read_bytes()
    weights_of_d.write_bytes({"cut": whole[: len(whole) // 2], "garbage": b"\xff" * 1000, "empty": b""}[damage])
    with pytest.raises(ValueError, match=r"weights of vgg_d at .*d\.safetensors are not a whole safetensors file"):
        load("vgg_d", weights_of_d)


def test_a_damaged_folder_is_named(weights_of_d: Path) -> None:
    """The same for `local-dir:`."""
    from vgg_zoo.weights.folder import save_folder

    folder = weights_of_d.parent / "net"
    save_folder(small(), folder, tag="x", licence=None, mean=(0, 0, 0), input_size=(3, 64, 64), crop_pct=1)
    (folder / "model.safetensors").write_bytes(b"\xff" * 1000)
    with pytest.raises(ValueError, match=r"weights of vgg_d at .*net are not a whole safetensors file"):
        timm.create_model(f"local-dir:{folder}", pretrained=True)


class Dangerous:
    """A pickle that would run a command when it is loaded."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("echo executed >&2",)


def test_a_pickle_with_code_in_it_is_not_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """timm loads pickles with `weights_only=True`, and our hook changes nothing about that."""
    (tmp_path / "weights.pth").write_bytes(pickle.dumps({"features.0.weight": Dangerous()}, protocol=2))
    with pytest.raises(RuntimeError, match="weights_only=True"):
        load("vgg_d", tmp_path / "weights.pth")
    assert "executed" not in capfd.readouterr().err


def test_an_unknown_net_is_timms_own_error() -> None:
    """Which names it."""
    with pytest.raises(RuntimeError, match=r"Unknown model \(vgg_f\)"):
        timm.create_model("vgg_f")


@pytest.mark.parametrize(("net", "tags"), [("vgg_d", "tv_in1k"), ("vgg_c", "untrained")])
def test_an_unknown_tag_lists_the_known_ones(net: str, tags: str) -> None:
    """The message names the tag, the net and its tags."""
    with pytest.raises(ValueError, match=f"unknown pretrained tag 'oxford' for {net}; it has {tags}"):
        timm.create_model(f"{net}.oxford", pretrained=True)


@pytest.fixture(scope="module")
def hub_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the Hub's client that holds full-size weights of timm's vgg11, vgg16 and vgg19 repositories."""
    cache = tmp_path_factory.mktemp("hub")
    for name in ("vgg11", "vgg16", "vgg19"):
        repository = cache / f"models--timm--{name}.tv_in1k"
        snapshot = repository / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("0" * 40)
        save_file(timm.create_model(name).state_dict(), snapshot / "model.safetensors")
    # And Oxford's net D, as it is kept when it is converted.
    converted = cached_assets_path("vgg_zoo", namespace="oxford", subfolder="caffe", assets_dir=cache)
    file = converted / Path(OXFORD["vgg_d"].name).with_suffix(".safetensors")
    save_file(timm.create_model("vgg_d").state_dict(), file, {"source": OXFORD["vgg_d"].digest})
    yield cache
    shutil.rmtree(cache)


@pytest.mark.slow
@pytest.mark.parametrize("tag", ["", ".tv_in1k"])
def test_pretrained_weights_come_from_the_hubs_cache(tag: str, hub_cache: Path) -> None:
    """By the net's name alone and by its tag, without a network."""
    ours = timm.create_model(f"vgg_a{tag}", pretrained=True, cache_dir=hub_cache)
    theirs = timm.create_model("vgg11.tv_in1k", pretrained=True, cache_dir=hub_cache)
    assert all(torch.equal(ours.state_dict()[key], value) for key, value in theirs.state_dict().items())
    assert ours.pretrained_cfg["tag"] == "tv_in1k"


@pytest.mark.slow
@pytest.mark.parametrize(("page", "least"), [("README.md", 2), ("docs/python.md", 4), ("docs/weights.md", 2)])
def test_the_pages_python_runs(page: str, least: int, hub_cache: Path, tmp_path: Path) -> None:
    """Every Python block, as it stands, in one fresh interpreter each."""
    from PIL import Image

    Image.new("RGB", (400, 300), (90, 120, 30)).save(tmp_path / "photo.jpg")
    Image.new("L", (300, 500), 60).save(tmp_path / "other.png")
    blocks = (ROOT / page).read_text().split("```python\n")[1:]
    assert len(blocks) >= least
    for block in blocks:
        code = f"import os\nos.chdir({str(tmp_path)!r})\n" + block.split("```")[0]
        done = python(code, HF_HUB_CACHE=str(hub_cache), HF_ASSETS_CACHE=str(hub_cache))
        assert done.returncode == 0, done.stderr


def test_a_folder_is_a_name_for_timm(tmp_path: Path) -> None:
    """Anything else is left to timm; both give the net in eval mode."""
    for name in ("vgg_d.tv_in1k", "hf-hub:org/name", f"local-dir:{tmp_path}"):
        assert name_for_timm(name) == name
    assert name_for_timm(tmp_path) == f"local-dir:{tmp_path}"
    DenseEvaluator(small(), (64,)).save_pretrained(tmp_path)
    for source in (tmp_path, str(tmp_path), f"local-dir:{tmp_path}"):
        assert not pretrained_net(source).training


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgg_f", r"there is no net 'vgg_f' and no folder of this name; near it are vgg_"),
        ("vgg_b_shallow", "no weights 'vgg_b_shallow': nobody has published any"),
        ("vgg16.oxford", r"no weights 'vgg16.oxford': it has tv_in1k"),
        ("resnet18.a1_in1k", "resnet18.a1_in1k is not a VGG"),
        ("local-dir:nowhere", "nowhere is not a folder of a trained net: it has no config.json"),
    ],
)
def test_a_net_that_cannot_be_had_is_refused_before_anything_is_fetched(name: str, message: str) -> None:
    """With what there is."""
    with pytest.raises(ValueError, match=message):
        pretrained_net(name)
