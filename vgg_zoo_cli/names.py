"""The names for options, without importing vgg_zoo: for error messages and shell completion.

A test compares them with the registry.
"""

import json
from importlib.util import find_spec
from pathlib import Path

NETS = ("vgg_a", "vgg_a_lrn", "vgg_b", "vgg_b_shallow", "vgg_c", "vgg_d", "vgg_e")
"""Classifiers of the zoo; for each, the name with `_box` is a net that predicts boxes."""

TIMMS_NETS = ("vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn")

_WEIGHTS = (
    *("vgg_a.tv_in1k", "vgg_b.tv_in1k", "vgg_d.tv_in1k", "vgg_d.oxford_in1k", "vgg_e.tv_in1k", "vgg_e.oxford_in1k"),
    *(f"{net}.tv_in1k" for net in TIMMS_NETS),
)


def weights() -> list[str]:
    """The names with weights, with their tags, including those of `vgg_zoo/weights/published.json`."""
    package = find_spec("vgg_zoo")  # find_spec does not import it
    assert package is not None
    assert package.origin is not None
    published = json.loads((Path(package.origin).parent / "weights" / "published.json").read_text("utf-8"))
    return [*_WEIGHTS, *(name for name in published if name not in _WEIGHTS)]
