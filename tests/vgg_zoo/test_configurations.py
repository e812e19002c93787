"""Table 1 and what is counted from it, against the paper's tables and the nets themselves."""

import pytest
import timm

from tests.helpers import BOX_NETS, NETS
from vgg_zoo import TABLE_1, Configuration
from vgg_zoo.configurations import configuration

# name: parameters, parameters of the trunk, multiply-adds at 224 in units of 1e9, weight layers
COUNTS = {
    "A": (132_863_336, 9_220_480, 7.609, 11),
    "A-LRN": (132_863_336, 9_220_480, 7.609, 11),
    "B": (133_047_848, 9_404_992, 11.308, 13),
    "shallow B": (134_503_528, None, None, 8),
    "C": (133_638_952, 9_996_096, 11.771, 16),
    "D": (138_357_544, 14_714_688, 15.470, 16),
    "E": (143_667_240, 20_024_384, 19.632, 19),
}


def test_every_net_of_the_registry_is_checked_here() -> None:
    """The list of models is what the paper has, and nothing less."""
    assert tuple(timm.list_models("vgg_*", exclude_filters="*_box")) == NETS
    assert set(timm.list_models("vgg_*_box")) == set(BOX_NETS)
    assert list(COUNTS) == list(TABLE_1)


@pytest.mark.parametrize("name", NETS)
def test_parameters_and_multiply_adds_are_the_papers(name: str) -> None:
    """Exact counts (Table 2), on the meta device: nothing is allocated."""
    model = timm.create_model(name, device="meta")
    parameters, trunk, gmacs, layers = COUNTS[model.configuration.name]
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model.configuration.weight_layers == layers
    if trunk is not None:
        assert sum(p.numel() for p in model.features.parameters()) == trunk
        assert model.configuration.multiply_adds() / 1e9 == pytest.approx(gmacs, abs=5e-4)


def test_layers_have_the_papers_names() -> None:
    """Counted by stage: net C's third conv of stage 3 is the 1×1 one."""
    layers = {layer.name: layer for layer in TABLE_1["C"].layers()}
    assert (layers["conv3_3"].kernel, layers["conv3_3"].channels) == (1, 256)
    assert list(TABLE_1["A-LRN"].layers())[1].name == "lrn1"
    assert list(layers)[-1] == "pool5"


@pytest.mark.parametrize("name", TABLE_1)
def test_keys_of_layers_are_those_of_the_net(name: str) -> None:
    """Every weight of the net belongs to exactly one named layer."""
    entrypoint = {net.configuration.name: net for net in (timm.create_model(n, device="meta") for n in NETS)}[name]
    prefixes = {key.rpartition(".")[0] for key in entrypoint.state_dict()}
    assert set(TABLE_1[name].layer_keys().values()) == prefixes


def test_an_unknown_configuration_lists_the_known_ones() -> None:
    """The message names the value and the options."""
    with pytest.raises(ValueError, match=r"unknown configuration 'F'; Table 1 has A, A-LRN, B, shallow B, C, D, E"):
        configuration("F")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (("conv3-64", "maxpool") * 4, "'X' has 4 max-pools and ends with 'maxpool'; a trunk of Table 1 has 5"),
        ((*("conv3-64", "maxpool") * 5, "conv3-64"), "'X' has 5 max-pools and ends with 'conv3-64'"),
        (("conv3x64",), "'X': unknown layer 'conv3x64'; write \"conv<receptive field>-<channels>\""),
        (("conv0-64",), "unknown layer 'conv0-64'"),
        (("avgpool",), "unknown layer 'avgpool'"),
    ],
)
def test_a_column_that_table_1_could_not_have_is_refused(column: tuple[str, ...], message: str) -> None:
    """The message names the layer and how to write one."""
    with pytest.raises(ValueError, match=message):
        Configuration("X", column)


def test_a_new_row_is_a_new_net() -> None:
    """A configuration of one's own needs no other code."""
    from vgg_zoo import VGG

    own = Configuration("F", ("conv3-8", "maxpool", "conv5-8", "maxpool", "conv1-8", "maxpool") + ("maxpool",) * 2)
    model = VGG(own, num_classes=3, head_hidden_size=4, head_kernel_size=1)
    assert [tuple(model.state_dict()[f"features.{i}.weight"].shape) for i in (0, 3, 6)] == [
        (8, 3, 3, 3),
        (8, 8, 5, 5),
        (8, 8, 1, 1),
    ]
