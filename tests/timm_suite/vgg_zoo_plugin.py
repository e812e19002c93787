"""A pytest plugin that turns timm's own `tests/test_models.py` on our nets, and fails when it does not reach them.

timm's tests take their models from `timm.list_models()` while they are imported. This plugin imports vgg_zoo first and
narrows that list to our nets, also where a test asks for the models of timm's module `vgg`. Tests of other models, and
those that need a network, are deselected; what is left must be what `EXPECTED` says.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
import timm
import timm.models

import vgg_zoo
from vgg_zoo.entrypoints import predicts

BOX_NETS = ("vgg_a_box", "vgg_d_box")  # of seven that differ from the nets above by their last layer alone
NETS = frozenset([*vgg_zoo.entrypoints.NETS, *BOX_NETS])
OUR_MODULES = [vgg_zoo.entrypoints.__name__.rpartition(".")[2]]

# Needs the Hub: the weights themselves are loaded from a local cache in tests/vgg_zoo/test_entrypoints.py.
NEEDS_NETWORK = ("test_model_load_pretrained", "test_model_features_pretrained", "test_model_inference")

# Ask for as many outputs as classes, which is not what a net that predicts boxes has.
NEEDS_CLASSES = ("test_model_backward", "test_model_backward_fx")

# How many times each of timm's tests must run: once for each net, or for each tag of each net.
EXPECTED = {
    "test_model_forward": 9,
    "test_model_backward": 7,
    "test_model_default_cfgs": 9,
    "test_model_forward_torchscript": 9,
    "test_model_forward_features": 9,
    "test_model_forward_intermediates_features": 9,
    "test_model_forward_intermediates": 9,
    "test_prune_intermediate_layers_contract": 9,
    "test_model_forward_fx": 9,
    "test_model_backward_fx": 7,
    "test_model_forward_fx_torchscript": 9,
}

_passed: Counter[str] = Counter()


def _ours(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.partition(".")[0] in NETS]


def _narrow() -> None:
    """Make timm's lists hold our nets only, wherever the tests take them from."""
    list_models, list_pretrained = timm.list_models, timm.list_pretrained

    def ours(filters: Any = "", module: Any = "", *args: Any, **kwargs: Any) -> list[str]:
        modules = [module] if isinstance(module, str) else list(module)
        if "vgg" in modules:
            modules += OUR_MODULES
        return _ours(list_models(kwargs.pop("filter", filters), modules if any(modules) else "", *args, **kwargs))

    def ours_pretrained(*args: Any, **kwargs: Any) -> list[str]:
        return _ours(list_pretrained(*args, **kwargs))

    for module in (timm, timm.models):
        module.list_models = ours
        module.list_pretrained = ours_pretrained


_narrow()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the items that have one of our nets as a parameter and need no network."""
    kept, left_out = [], []
    for item in items:
        parameters = getattr(item, "callspec", None)
        name = str(parameters.params.get("model_name", "")) if parameters else ""
        test = getattr(item, "originalname", "")
        boxes = predicts(name) == "boxes" and test in NEEDS_CLASSES
        on_our_net = bool(_ours([name])) and test not in NEEDS_NETWORK and not boxes
        (kept if on_our_net else left_out).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what passed; a skipped test is none."""
    if report.when == "call" and report.passed:
        _passed[report.nodeid.rpartition("::")[2].partition("[")[0]] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail unless every test reached every net."""
    lacking = {name: (_passed[name], count) for name, count in EXPECTED.items() if _passed[name] < count}
    if lacking and session.exitstatus == 0:
        session.exitstatus = 1
    for name, (passed, count) in lacking.items():
        print(f"\n{name} passed for {passed} of {count} nets", end="")
    print(f"\ntimm's tests that passed on our nets: {dict(_passed)}")
