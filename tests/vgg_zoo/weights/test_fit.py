"""What fits a net and what does not, before anything is loaded."""

import pytest
import timm
import torch

import vgg_zoo  # noqa: F401 (registers the nets)
from tests.helpers import NETS, small
from vgg_zoo.weights.fit import check_fit, fitting_configurations


@pytest.mark.parametrize("name", NETS)
def test_a_nets_own_weights_fit(name: str) -> None:
    """And say which configurations they are of; A and A-LRN have the same weights."""
    model = small(name)
    check_fit(model, model.state_dict())
    expected = ["A", "A-LRN"] if name in ("vgg_a", "vgg_a_lrn") else [model.configuration.name]
    assert fitting_configurations(model.state_dict()) == expected


def test_every_fault_is_named_with_both_shapes() -> None:
    """Missing, unexpected and misshapen tensors in one message."""
    model = small()
    weights = model.state_dict()
    del weights["features.0.bias"]
    weights["extra.weight"] = torch.zeros(2)
    weights["head.fc.weight"] = torch.zeros(7, 24)
    with pytest.raises(ValueError, match="do not fit configuration D") as error:
        check_fit(model, weights)
    assert "missing: features.0.bias" in str(error.value)
    assert "unexpected: extra.weight" in str(error.value)
    assert "misshapen: head.fc.weight is 7×24 in the file and 5×24 in the net" in str(error.value)


def test_another_configurations_weights_are_recognised() -> None:
    """Loading D's weights into E says that they are D's, and shows only the first faults."""
    with pytest.raises(ValueError, match=r"and \d+ more.* Their convolutions fit configuration D\."):
        check_fit(small("vgg_e"), small("vgg_d").state_dict())


def test_a_batch_norm_net_is_recognised_as_none() -> None:
    """timm's vgg11_bn has other layers between."""
    weights = timm.create_model("vgg11_bn", device="meta").state_dict()
    with pytest.raises(ValueError, match="Their convolutions fit no configuration of Table 1"):
        check_fit(timm.create_model("vgg_a", device="meta"), weights)


def test_what_may_differ_may_differ() -> None:
    """A classifier of other classes, and a first conv of other channels, but nothing else."""
    model, other = small(num_classes=5), small(num_classes=9, in_chans=1)
    classifier = ("head.fc.weight", "head.fc.bias")
    check_fit(model, other.state_dict(), optional=classifier, any_shape=("features.0.weight",))
    with pytest.raises(ValueError, match=r"features.0.weight is 6×1×3×3 in the file"):
        check_fit(model, other.state_dict(), optional=classifier)
    weights = other.state_dict()
    del weights["features.0.weight"]
    with pytest.raises(ValueError, match=r"missing: features\.0\.weight"):
        check_fit(model, weights, optional=classifier, any_shape=("features.0.weight",))
