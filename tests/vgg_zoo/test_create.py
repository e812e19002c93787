"""What loading weights costs and leaves: no draw for what the file overwrites, and nothing that was never filled."""

import copy
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers import NETS, SMALL, small

ROOT = Path(__file__).resolve().parents[2]


class Draws(TorchDispatchMode):
    """Counts the random numbers that are drawn into memory."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags and not args[0].is_meta:
            self.count += args[0].numel()
        return func(*args, **(kwargs or {}))


@pytest.fixture
def empty_is_nan() -> Iterator[None]:
    """PyTorch fills uninitialised memory with NaN."""
    assert torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The weights of a small net D."""
    torch.manual_seed(1)
    save_file(small().state_dict(), tmp_path / "d.safetensors")
    return tmp_path / "d.safetensors"


def load(file: Path, input_size: tuple[int, int, int] = (3, 224, 224), **changes: Any) -> nn.Module:
    """A small net D with the weights of a file of five classes."""
    overlay = {"file": str(file), "num_classes": 5, "input_size": input_size}
    net: nn.Module = timm.create_model("vgg_d", pretrained=True, pretrained_cfg_overlay=overlay, **SMALL | changes)
    return net


def finite(net: nn.Module) -> bool:
    """Whether every number of a net is one."""
    return all(bool(value.isfinite().all()) for value in net.state_dict().values())


@pytest.mark.parametrize("changes", [{}, {"in_chans": 1}, {"num_classes": 0}, {"initialisation": "normal"}])
def test_loading_draws_nothing(file: Path, changes: dict[str, Any], empty_is_nan: None) -> None:
    """Not one number, into no parameter; the generator's state is what it was."""
    before = torch.get_rng_state()
    with Draws() as draws:
        net = load(file, **changes)
    assert draws.count == 0
    assert torch.equal(torch.get_rng_state(), before)
    assert finite(net)


def test_draws_are_counted() -> None:
    """An untrained net's are: twice for each weight, once by PyTorch's own layers."""
    with Draws() as draws:
        net = small()
    assert draws.count > 2 * sum(value.numel() for value in net.parameters() if value.ndim > 1)


@pytest.mark.parametrize(("method", "std"), [("glorot", 0.01), ("normal", 0.03)])
def test_a_new_classifier_is_initialised_and_nothing_else(file: Path, method: str, std: float) -> None:
    """As the net's own constructor would, from the first random numbers of the seed."""
    torch.manual_seed(3)
    with Draws() as draws:
        net = load(file, num_classes=7, initialisation=method, std=std)
    expected = torch.empty(7, 24)
    torch.manual_seed(3)
    if method == "glorot":
        nn.init.xavier_uniform_(expected)
    else:
        nn.init.normal_(expected, 0.0, std)
    assert torch.equal(net.head.fc.weight, expected)
    assert not net.head.fc.bias.any()
    assert draws.count == expected.numel()
    loaded = load(file).state_dict()
    same = [torch.equal(value, loaded[key]) for key, value in net.state_dict().items() if not key.startswith("head")]
    assert all(same)


@pytest.mark.parametrize("kind", ["list", "dict", "hook", "fx", "getter"])
def test_features_hold_nothing_that_was_never_filled(file: Path, kind: str, empty_is_nan: None) -> None:
    """Some of timm's extractors keep the head, whose classifier timm does not load."""
    assert finite(load(file, features_only=True, feature_cls=kind))


def test_a_first_conv_that_timm_cannot_adapt_is_initialised(file: Path, empty_is_nan: None) -> None:
    """A matrix, for images of other channels: timm says that it uses "random init", and so it is."""
    weights = small().state_dict()
    save_file({**weights, "features.0.weight": weights["features.0.weight"].flatten(1)}, file)
    with Draws() as draws:
        net = load(file, in_chans=4)
    assert draws.count == net.features[0].weight.numel()
    assert finite(net)
    assert net.features[0].weight.std() > 0
    assert not net.features[0].bias.any()


def test_the_net_outlives_its_file(file: Path) -> None:
    """A later change or deletion of the file does not affect the net."""
    net = load(file)
    before = copy.deepcopy(net.state_dict())
    size = file.stat().st_size
    with file.open("r+b") as opened:  # in place, as `cp` does it
        opened.write(b"\xff" * size)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    with file.open("r+b") as opened:
        opened.truncate(0)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    file.unlink()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_loaded_net_is_like_any_other(file: Path) -> None:
    """It can be copied, saved and trained, and a later load that is not strict leaves the rest alone."""
    net = load(file)
    copy.deepcopy(net)
    torch.save(net, io.BytesIO())
    assert all(value.requires_grad and value.is_leaf for value in net.parameters())
    before = net.features[0].weight.detach().clone()
    net.load_state_dict({}, strict=False)
    assert torch.equal(net.features[0].weight, before)


def test_device_and_dtype_are_those_asked_for(file: Path) -> None:
    """By an argument, or by PyTorch's default device."""
    assert {value.dtype for value in load(file, dtype=torch.float64).parameters()} == {torch.float64}
    with torch.device("meta"), pytest.warns(UserWarning, match="is a no-op"):
        assert {value.device.type for value in load(file).parameters()} == {"meta"}
    with torch.device("meta"):
        assert {value.device.type for value in load(file, device="cpu").parameters()} == {"cpu"}


@pytest.mark.parametrize("name", NETS)
def test_an_untrained_net_begins_as_it_always_did(name: str) -> None:
    """Runs depend on the order of the draws: PyTorch's own of every layer, then Glorot's in the same order."""
    torch.manual_seed(5)
    net = small(name)
    torch.manual_seed(5)
    layers = [_again(layer) for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    weights: list[Tensor] = [nn.init.xavier_uniform_(layer.weight) for layer in layers]
    found = [value for value in net.parameters() if value.ndim > 1]
    assert all(torch.equal(one, other) for one, other in zip(found, weights, strict=True))


def _again(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, layer.out_features)
    return nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size)


@pytest.mark.slow
def test_importing_costs_little_more_than_timm() -> None:
    """Beyond what timm imports: our own modules, the standard library, and the decoder of JPEG files if it is there."""
    code = """
import sys, timm
before = set(sys.modules)
import vgg_zoo
new = {name.partition(".")[0] for name in sys.modules.keys() - before}
print(*sorted(new - sys.stdlib_module_names - {"numpy", "huggingface_hub"}))
heavy = ("torch._dynamo", "torch._inductor", "torch.onnx", "huggingface_hub.inference", "vgg_zoo.features")
print(*sorted(name for name in sys.modules.keys() - before if name.startswith(heavy)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    packages, heavy = done.stdout.split("\n")[:2]
    assert {name for name in packages.split() if not name.startswith("_cython")} <= {"vgg_zoo", "simplejpeg"}
    assert heavy == ""
