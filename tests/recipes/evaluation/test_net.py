"""What results.json says of how a net was computed."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from recipes.evaluation.net import arithmetic_in
from tests.helpers import small
from vgg_zoo.evaluation import DenseEvaluator


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [
        ("cpu", "fp32", "winograd"),
        ("cpu", "tf32", "winograd"),
        ("cpu", "bf16", "bf16"),
        ("cpu", "fp64", "exact"),
        ("cuda", "fp32", "exact"),
        ("cuda", "tf32", "tf32"),
        ("cuda", "bf16", "bf16"),
        ("cuda", "fp64", "exact"),
        ("mps", "fp32", "exact"),
        ("mps", "tf32", "exact"),
    ],
)
def test_device_and_precision_decide(device: str, precision: str, expected: str) -> None:
    """While the net is still on the CPU in float32, where it was loaded."""
    accelerator: Any = SimpleNamespace(device=torch.device(device))
    evaluator = DenseEvaluator(small(), 64)
    assert arithmetic_in(evaluator, accelerator, precision) == {"arithmetic": expected}
    exact = arithmetic_in(DenseEvaluator(small(), 64, exact=True), accelerator, precision)
    assert exact == {"arithmetic": "exact" if expected == "winograd" else expected}
