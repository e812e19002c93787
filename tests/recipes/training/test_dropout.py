"""Dropout masks of the global batch."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from recipes.training.dropout import GlobalDropout, GlobalMasks
from tests.helpers import small

CPU = torch.device("cpu")


def masks_of(share: slice, step: int = 0, seed: int = 0, rate: float = 0.5, batch: int = 12) -> list[torch.Tensor]:
    """The two masks of a process's share."""
    masks = GlobalMasks(small(drop_rate=rate), seed, batch, share)
    masks.draw(step, CPU)
    return masks.masks


def test_shares_make_up_the_masks_of_one_process() -> None:
    """Whatever the number of processes."""
    whole = masks_of(slice(0, 12))
    for cut in ([0, 6, 12], [0, 4, 8, 12], [0, 5, 12]):
        shares = [masks_of(slice(*pair)) for pair in pairwise(cut)]
        for layer in (0, 1):
            assert torch.equal(torch.cat([share[layer] for share in shares]), whole[layer])


def test_masks_differ_by_layer_step_seed_and_row() -> None:
    """Nothing is dropped twice alike."""
    first, second = masks_of(slice(0, 12))
    others = [second, masks_of(slice(0, 12), step=1)[0], masks_of(slice(0, 12), seed=1)[0], first.roll(1, 0)]
    assert all(not torch.equal(first, other) for other in others)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_is_that_of_the_net(rate: float) -> None:
    """Over many draws; 0.5 is the paper's."""
    kept = masks_of(slice(0, 4000), rate=rate, batch=4000)[0].float().mean().item()
    assert kept == pytest.approx(1 - rate, abs=0.01)


def test_the_mean_is_kept_in_training_and_nothing_changes_in_testing() -> None:
    """As PyTorch's dropout, of which it takes the place."""
    layer, x = GlobalDropout(0.25), torch.ones(400, 50, 1, 1)
    layer.mask = torch.rand(400, 50) >= 0.25
    assert layer(x).mean().item() == pytest.approx(1, abs=0.02)
    assert layer(x).unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(layer.eval()(x), x)


def test_a_mask_of_other_images_is_refused() -> None:
    """The message names both shapes."""
    layer = GlobalDropout(0.5)
    with pytest.raises(ValueError, match=r"\(2, 3\).* mask of None"):
        layer(torch.ones(2, 3))
    layer.mask = torch.ones(4, 3)
    with pytest.raises(ValueError, match=r"\(2, 3\).* mask of \(4, 3\)"):
        layer(torch.ones(2, 3))


def test_a_crop_of_more_than_one_position_is_refused() -> None:
    """As --set crop_size=256 for a net that sees 224 pixels; in testing any map goes through."""
    layer, x = GlobalDropout(0.5), torch.ones(3, 5, 2, 2)
    layer.mask = torch.ones(3, 5, dtype=torch.bool)
    with pytest.raises(
        ValueError, match=r"has 2 × 2 positions and must have one; take a smaller crop: --set crop_size"
    ):
        layer(x)
    assert layer.eval()(x) is x


def test_a_net_is_trained_through_the_masks() -> None:
    """Both layers of the net are replaced, and dropped units get no gradient."""
    net = small(drop_rate=0.5).train()
    masks = GlobalMasks(net, 0, 2, slice(0, 2))
    assert not any(isinstance(module, nn.Dropout) and module.p > 0 for module in net.modules())
    masks.draw(3, CPU)
    masks.select(slice(0, 1))
    net(torch.randn(1, 3, 64, 64)).sum().backward()
    assert torch.equal(net.head.fc.weight.grad[0] != 0, masks.masks[1][0] & (net.head.fc.weight.grad[0] != 0))
    assert (net.head.fc.weight.grad[:, ~masks.masks[1][0]] == 0).all()
    assert (net.head.fc.weight.grad[:, masks.masks[1][0]] != 0).any()
