"""Dense posteriors against their parts computed by hand."""

import pytest
import timm
import torch

import vgg_zoo  # noqa: F401 (registers the nets)
from vgg_zoo.evaluation import posteriors


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    """A small net D."""
    torch.manual_seed(0)
    small = {"width_multiplier": 0.1, "head_hidden_size": 24, "head_kernel_size": 2, "num_classes": 7}
    return timm.create_model("vgg_d", **small).eval()


@pytest.mark.parametrize("shape", [(64, 64), (96, 131), (200, 64)])
def test_posteriors_are_the_flip_average_of_soft_maxes(model: torch.nn.Module, shape: tuple[int, int]) -> None:
    """Spatial mean of the class score map, then soft-max, then the mean over flips (Sect. 3.2)."""
    images = torch.randn(3, 3, *shape) * 50
    with torch.no_grad():
        expected = sum(model.class_score_map(x).mean((2, 3)).softmax(1) for x in (images, images.flip(-1))) / 2
    scores = posteriors(model, images)
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(scores.sum(1), torch.ones(3))


def test_posteriors_without_flip_are_one_soft_max(model: torch.nn.Module) -> None:
    """And differ from those with flips."""
    images = torch.randn(2, 3, 96, 96) * 50
    torch.testing.assert_close(posteriors(model, images, flip=False), model(images).detach().softmax(1))
    assert not torch.allclose(posteriors(model, images), posteriors(model, images, flip=False), atol=1e-6)
