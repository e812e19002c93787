"""The VGG paper (Simonyan & Zisserman, arXiv 1409.1556) as an extension of timm.

Importing this package registers `vgg_a`, `vgg_a_lrn`, `vgg_b`, `vgg_b_shallow`, `vgg_c`, `vgg_d` and `vgg_e` with timm.
"""

from . import entrypoints as entrypoints
from .configurations import TABLE_1, Configuration
from .evaluation import DenseEvaluator, Fusion, fuse
from .initialisation import initialise, initialise_from
from .model import VGG
from .verification import verify_weights

__all__ = [
    "TABLE_1",
    "VGG",
    "Configuration",
    "DenseEvaluator",
    "Fusion",
    "__version__",
    "fuse",
    "initialise",
    "initialise_from",
    "verify_weights",
]
__version__ = "0.1.0"
