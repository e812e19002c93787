"""The names that are known without importing vgg_zoo are those of the registry."""

import timm

from vgg_zoo import entrypoints
from vgg_zoo_cli.names import NETS, TIMMS_NETS, weights


def test_the_nets_are_the_registrys() -> None:
    """The zoo's and timm's own."""
    assert NETS == entrypoints.NETS
    assert tuple(f"{net}_box" for net in NETS) == entrypoints.BOX_NETS
    own = {*entrypoints.NETS, *entrypoints.BOX_NETS}
    assert sorted(TIMMS_NETS) == sorted(name for name in timm.list_models("vgg*") if name not in own)


def test_the_weights_are_the_registrys() -> None:
    """With their tags, each once."""
    nets = [*entrypoints.NETS, *entrypoints.BOX_NETS, *TIMMS_NETS]
    expected = [name for net in nets for name in timm.list_pretrained(f"{net}.*")]
    assert sorted(weights()) == sorted(expected)
