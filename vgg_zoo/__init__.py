"""The VGG paper (Simonyan & Zisserman, arXiv 1409.1556) as an extension of timm.

Importing this package registers `vgg_a`, `vgg_a_lrn`, `vgg_b`, `vgg_b_shallow`, `vgg_c`, `vgg_d` and `vgg_e` with timm.
"""

from typing import TYPE_CHECKING, Any

from . import entrypoints as entrypoints
from .configurations import TABLE_1, Configuration
from .evaluation import DenseEvaluator, Fusion, fuse
from .fast import fast_inference
from .initialisation import initialise, initialise_from
from .model import VGG
from .verification import verify_weights

if TYPE_CHECKING:
    from .features import ImageDescriptor as ImageDescriptor

__all__ = [
    "TABLE_1",
    "VGG",
    "Configuration",
    "DenseEvaluator",
    "Fusion",
    "__version__",
    "fast_inference",
    "fuse",
    "initialise",
    "initialise_from",
    "verify_weights",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`ImageDescriptor`, imported when it is asked for: it needs scikit-learn, an extra, and so is not in `__all__`."""
    if name == "ImageDescriptor":
        from .features import ImageDescriptor

        return ImageDescriptor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
