"""What the work of every command begins with."""

import pytest
import torch

from recipes.runtime import work
from recipes.runtime.work import copy_precision


def test_bf16_is_a_copys_on_a_cpu_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU and with --exact autocast does it, on any machine; a CPU without it is refused, with a way out."""
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    for found in ("amx", "avx512", None):
        monkeypatch.setattr(work, "bf16_of_cpu", lambda found=found: found)
        assert copy_precision("bf16", gpu, exact=False) is None
        assert copy_precision("bf16", cpu, exact=True) is None
        assert copy_precision("fp32", cpu, exact=False) is None
        if found:
            assert copy_precision("bf16", cpu, exact=False) == "bf16"
    with pytest.raises(ValueError, match=r"this one has neither; take --precision fp32, or --exact"):
        copy_precision("bf16", cpu, exact=False)
