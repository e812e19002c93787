"""The VGG paper (Simonyan & Zisserman, arXiv 1409.1556) as an extension of timm.

Importing this package registers `vgg_a`, `vgg_a_lrn`, `vgg_b`, `vgg_b_shallow`, `vgg_c`, `vgg_d` and `vgg_e` with timm,
and the same names with `_box`, which predict boxes (Appendix A). Everything else is imported on first use.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from vgg_zoo import entrypoints as entrypoints
from vgg_zoo.boxes.net import BoxVGG
from vgg_zoo.configurations import TABLE_1, Configuration
from vgg_zoo.initialisation import initialise, initialise_from
from vgg_zoo.model import VGG

if TYPE_CHECKING:
    from vgg_zoo.evaluation import DenseEvaluator, Fusion, fuse
    from vgg_zoo.explanation import Explanation, explain
    from vgg_zoo.fast.net import fast_inference
    from vgg_zoo.features import ImageDescriptor as ImageDescriptor
    from vgg_zoo.localisation import Localiser
    from vgg_zoo.pretrained import verify_weights

__all__ = [
    "TABLE_1",
    "VGG",
    "BoxVGG",
    "Configuration",
    "DenseEvaluator",
    "Explanation",
    "Fusion",
    "Localiser",
    "__version__",
    "explain",
    "fast_inference",
    "fuse",
    "initialise",
    "initialise_from",
    "verify_weights",
]
__version__ = "0.2.0"

_LATER = {
    **{"DenseEvaluator": "evaluation", "Fusion": "evaluation", "fuse": "evaluation"},
    **{"Explanation": "explanation", "explain": "explanation"},
    **{"fast_inference": "fast.net", "Localiser": "localisation", "verify_weights": "pretrained"},
    "ImageDescriptor": "features",  # needs scikit-learn, an extra, and so is not in __all__
}
"""Public names and the modules that define them."""


if not TYPE_CHECKING:  # otherwise a type checker would accept every misspelt name

    def __getattr__(name: str) -> Any:
        """Import a public name on first use; from then on it is a plain attribute."""
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
        return found


def __dir__() -> list[str]:
    """The public names and the modules, and nothing that this file itself uses."""
    modules = {module.name for module in iter_modules(__path__) if not module.name.startswith("_")}
    return sorted({*__all__, *_LATER, *modules, "__doc__", "__file__", "__name__", "__path__"})
