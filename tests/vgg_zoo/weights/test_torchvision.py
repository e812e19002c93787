"""torchvision's layout, from torchvision itself."""

import pytest
import timm
import torch
import torchvision

import vgg_zoo  # noqa: F401 (registers the nets)
from tests.helpers import TIMM_NAMES, in_torchvisions_layout, small
from vgg_zoo.weights.state_dict import from_torchvision, is_torchvision


@pytest.mark.parametrize("name", ["vgg_a", "vgg_b", pytest.param("vgg_d", marks=pytest.mark.slow)])
def test_torchvisions_net_gives_our_outputs(name: str) -> None:
    """Its state dict, renamed, makes our net compute its logits on a 224-pixel crop."""
    theirs = torchvision.models.get_model(TIMM_NAMES[name]).eval()
    ours = timm.create_model(name).eval()
    ours.load_state_dict(from_torchvision(theirs.state_dict(), ours))
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_renaming_undoes_torchvisions_layout() -> None:
    """For small nets too, whose FC layers have other sizes."""
    model = small()
    own = model.state_dict()
    theirs = in_torchvisions_layout(own)
    assert is_torchvision(theirs)
    assert not is_torchvision(own)
    back = from_torchvision(theirs, model)
    assert back.keys() == own.keys()
    assert all(torch.equal(back[key], value) for key, value in own.items())
