"""The names that options know without importing anything are those that decide."""

import timm
from accelerate.utils import LoggerType

from recipes import names
from recipes.features import protocols
from vgg_zoo import descriptors, evaluation
from vgg_zoo.boxes import merging
from vgg_zoo.entrypoints import NETS
from vgg_zoo.layers import layers_of


def test_names_are_those_of_the_library() -> None:
    """In its order."""
    assert tuple(evaluation.PROTOCOLS) == names.PROTOCOLS
    assert (descriptors.COMBINE, descriptors.L2) == (names.COMBINE, names.L2)
    assert merging.CLOSE == names.CLOSE


def test_names_are_those_of_appendix_b() -> None:
    """And the protocols with boxes those that have them."""
    assert tuple(protocols.PROTOCOLS) == names.SVM_PROTOCOLS
    assert tuple(name for name, each in protocols.PROTOCOLS.items() if each.has_boxes) == names.WITH_BOXES


def test_names_are_those_of_accelerate_and_of_the_nets() -> None:
    """Trackers; and the layers of all nets of the zoo together."""
    assert set(names.TRACKERS) == set(LoggerType.list())
    assert {layer for net in NETS for layer in layers_of(timm.create_model(net, device="meta"))} == set(names.LAYERS)
