"""A net by whatever names it, and where it goes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import small
from vgg_zoo.evaluation import DenseEvaluator, Fusion
from vgg_zoo.features import ImageDescriptor
from vgg_zoo.localisation import Localiser
from vgg_zoo.pretrained import net_of

USES: dict[str, Any] = {
    "DenseEvaluator": lambda net, **options: DenseEvaluator(net, 64, **options).model,
    "Fusion": lambda net, **options: Fusion([net], 64, **options).evaluators[0].model,
    "Localiser": lambda net, **options: Localiser(small("vgg_a_box"), net, 64, **options).evaluators[0].model,
    "ImageDescriptor": lambda net, **options: ImageDescriptor(net, scales=64, **options).fit([])._net(),
}
"""The net that each class makes of what it is given."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small net."""
    path = tmp_path_factory.mktemp("nets") / "a"
    DenseEvaluator(small("vgg_a"), 64).save_pretrained(path)
    return path


@pytest.mark.parametrize("kind", USES)
def test_every_class_takes_the_same_kinds_of_net(kind: str, folder: Path) -> None:
    """A folder as str or Path, timm's name for it, or a module, which is the one that is used."""
    weight = next(net_of(folder).parameters())
    for source in (folder, str(folder), f"local-dir:{folder}"):
        assert torch.equal(next(USES[kind](source).parameters()), weight)
    module = small("vgg_a")
    assert USES[kind](module) is module


@pytest.mark.parametrize("kind", USES)
@pytest.mark.parametrize(
    ("net", "message"),
    [
        (3, "a net is a module, a folder or a name with weights, such as 'vgg_d.tv_in1k'; got a int$"),
        ([3], "a net is a module.*got a (list; several nets are a vgg_zoo.Fusion|int)$"),
        ("vgg_x", "there is no net 'vgg_x' and no folder of this name; near it are vgg_"),
        (torch.nn.Linear(2, 2), "a Linear cannot be applied densely"),
    ],
)
def test_what_is_no_net_is_refused(kind: str, net: Any, message: str) -> None:
    """With what a net is."""
    with pytest.raises(ValueError, match=message):
        USES[kind](net)


@pytest.mark.parametrize("kind", USES)
def test_a_net_goes_where_it_is_told(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default to the GPU if it is loaded here, and nowhere if it is the user's."""
    moved: list[Any] = []
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, place: moved.append(place) or self)
    module = small("vgg_a")
    for net in (folder, module):
        USES[kind](net)
        USES[kind](net, device=None)
    assert moved == []
    USES[kind](module, device="cpu")
    assert set(map(str, moved)) == {"cpu"}
    moved.clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    USES[kind](module)
    assert moved == []
    USES[kind](folder)
    assert set(map(str, moved)) == {"cuda"}


@pytest.mark.parametrize("kind", USES)
@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:7", 3.5])
def test_a_device_that_is_not_here_is_refused(kind: str, device: Any, folder: Path) -> None:
    """The tests hide every GPU."""
    with pytest.raises(ValueError, match=f"there is no device {device!r} here; choose from auto, cpu$"):
        USES[kind](folder, device=device)


def test_a_repr_has_net_settings_arithmetic_and_device(folder: Path) -> None:
    """In one line for a net; scikit-learn's own of its transformer."""
    exact = DenseEvaluator(folder, exact=True)
    assert repr(exact) == (
        f"DenseEvaluator({str(folder)!r}, scales=[64], flip=True, protocol='dense', softmax_first=False, "
        "ceil_mode=False, arithmetic='exact', device='cpu'; settings from dense_eval.json)"
    )
    assert "(vgg_a with the weights of the given module, scales=[64]," in repr(DenseEvaluator(small("vgg_a"), 64))
    assert repr(Fusion([exact, exact])).splitlines() == ["Fusion(", f"    {exact!r},", f"    {exact!r},", ")"]
    box_net = small("vgg_a_box")
    first, *rest = repr(Localiser(box_net, exact, 64, exact=True)).splitlines()
    assert first == (
        "Localiser(vgg_a_box with the weights of the given module, scales=[[64]], top=5, close=0.5, "
        "ceil_mode=False, arithmetic='exact', device='cpu',"
    )
    assert repr(exact) in "\n".join(rest)
    descriptor = ImageDescriptor(str(folder), scales=64)
    assert repr(descriptor).startswith("ImageDescriptor(model=")
    assert "<div" in descriptor._repr_html_()
