"""Small nets, state dicts, a recorder of operators and a server that several tests use."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import timm
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vgg_zoo import VGG
from vgg_zoo.results import KINDS, described

NETS = ("vgg_a", "vgg_a_lrn", "vgg_b", "vgg_b_shallow", "vgg_c", "vgg_d", "vgg_e")
BOX_NETS = tuple(f"{net}_box" for net in NETS)
TIMM_NAMES = {"vgg_a": "vgg11", "vgg_b": "vgg13", "vgg_d": "vgg16", "vgg_e": "vgg19"}
SMALL: dict[str, Any] = {"width_multiplier": 0.1, "head_hidden_size": 24, "head_kernel_size": 2, "num_classes": 5}


def small(name: str = "vgg_d", **changes: Any) -> VGG:
    """A narrow net whose cell is 64 pixels, in eval mode."""
    model = timm.create_model(name, **SMALL | changes)
    assert isinstance(model, VGG)
    return model.eval()


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server on this machine that answers as the handler says."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operators: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operators.append(func.overloadpacket.__name__)
        return func(*args, **kwargs or {})


@contextmanager
def recorded() -> Iterator[list[str]]:
    """The names of the operators that run inside, in order, those of backward passes included."""
    with _Recorder() as recorder:
        yield recorder.operators


def training_results(**content: Any) -> dict[str, Any]:
    """The results.json of a training; null where nothing is given."""
    return described("training", dict.fromkeys(KINDS["training"].fields) | content)


def in_torchvisions_layout(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under torchvision's names and shapes, written out here independently of the reader."""
    names = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}
    renamed = {}
    for key, value in state_dict.items():
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        renamed[key] = value.flatten(1) if key.startswith("classifier") and value.ndim > 1 else value
    return renamed
