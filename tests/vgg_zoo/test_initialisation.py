"""How weights begin: bounds and moments of the draws, and what pre-initialisation copies."""

import math

import pytest
import timm
import torch
from torch import nn

from tests.helpers import small
from vgg_zoo import initialise, initialise_from

# Sect. 3.1 in timm's keys: net A's first four convs, and where they stand in B, C, D and E.
FROM_A = {
    "features.0": "features.0",
    "features.5": "features.3",
    "features.10": "features.6",
    "features.12": "features.8",
}
FROM_A |= {key: key for key in ("pre_logits.fc1", "pre_logits.fc2", "head.fc")}


def weight_layers(model: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """Every layer with weights."""
    return [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def test_glorot_is_the_default_and_keeps_its_bounds() -> None:
    """U(±√(6 / (fan_in + fan_out))), which has a standard deviation of the bound over √3; biases are zero."""
    for layer in weight_layers(timm.create_model("vgg_c", width_multiplier=0.5, head_hidden_size=64)):
        area = layer.weight[0, 0].numel() if layer.weight.ndim == 4 else 1
        bound = math.sqrt(6 / (area * (layer.weight.shape[0] + layer.weight.shape[1])))
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert not layer.bias.any()


@pytest.mark.parametrize("std", [0.01, 0.1])
def test_normal_has_the_deviation_asked_for(std: float) -> None:
    """0.01 by default; 0.1 is the paper's 10⁻² variance read literally."""
    arguments = {} if std == 0.01 else {"std": std}
    model = timm.create_model("vgg_a", width_multiplier=0.5, initialisation="normal", head_hidden_size=64, **arguments)
    for layer in weight_layers(model):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.1)
        assert abs(layer.weight.mean().item()) < std / 5
        assert not layer.bias.any()


def test_initialise_draws_again() -> None:
    """In place, and differently from before."""
    model = small()
    before = model.features[0].weight.clone()
    initialise(model, "normal")
    assert not torch.equal(model.features[0].weight, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initialisation": "kaiming"}, "unknown initialisation 'kaiming'; choose from glorot, normal"),
        ({"initialisation": "normal", "std": 0.0}, "must be above 0; got 0.0"),
        ({"std": float("nan")}, "must be above 0; got nan"),
    ],
)
def test_a_wrong_initialisation_is_named(arguments: dict[str, object], message: str) -> None:
    """The message names the value and the options."""
    with pytest.raises(ValueError, match=message):
        small(**arguments)


@pytest.mark.parametrize("name", ["vgg_b", "vgg_c", "vgg_d", "vgg_e"])
@pytest.mark.parametrize("as_state_dict", [False, True])
def test_deeper_nets_begin_with_the_layers_of_net_a(name: str, as_state_dict: bool) -> None:
    """The first four convs and the three FC layers are net A's, weights and biases; all else stays as it was."""
    net_a, model = small("vgg_a"), small(name)
    with torch.no_grad():
        for parameter in net_a.parameters():
            parameter.uniform_(1, 2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    copied = initialise_from(model, net_a.state_dict() if as_state_dict else net_a)
    assert copied == ["conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"]
    for key, value in model.state_dict().items():
        prefix, _, kind = key.rpartition(".")
        expected = net_a.state_dict()[f"{FROM_A[prefix]}.{kind}"] if prefix in FROM_A else before[key]
        assert torch.equal(value, expected), key


@pytest.mark.slow
def test_timms_own_net_a_will_do() -> None:
    """Its keys are ours."""
    net_a = timm.create_model("vgg11", num_classes=5)
    model = timm.create_model("vgg_b", num_classes=5)
    initialise_from(model, net_a)
    assert torch.equal(model.pre_logits.fc1.weight, net_a.pre_logits.fc1.weight)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (("vgg_b_shallow", {}), r"configuration shallow B .*conv1_1.weight is 6×3×3×3 in net A and 6×3×5×5 here"),
        (("vgg_b", {"num_classes": 7}), r"configuration B .*fc8.weight is 5×24 in net A and 7×24 here"),
        (("vgg_b", {"width_multiplier": 0.2}), r"conv2_1.weight is 13×6×3×3 in net A and 26×13×3×3 here"),
    ],
)
def test_a_net_that_does_not_fit_is_refused_whole(model: tuple[str, dict[str, float]], message: str) -> None:
    """The message names the layers with both shapes, and nothing was copied."""
    deeper = small(model[0], **model[1])
    before = {key: value.clone() for key, value in deeper.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        initialise_from(deeper, small("vgg_a"))
    assert all(torch.equal(value, before[key]) for key, value in deeper.state_dict().items())


def test_pre_initialising_something_else_is_refused() -> None:
    """Only the zoo's nets know their layers by the paper's names."""
    with pytest.raises(ValueError, match=r"takes a net of the zoo .* not a Linear"):
        initialise_from(nn.Linear(2, 2), small("vgg_a"))


def test_an_incomplete_net_a_is_refused() -> None:
    """A missing layer is named."""
    state_dict = small("vgg_a").state_dict()
    del state_dict["features.3.weight"]
    with pytest.raises(ValueError, match=r"conv2_1.weight is missing in net A"):
        initialise_from(small("vgg_b"), state_dict)
