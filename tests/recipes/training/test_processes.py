"""Sect. 3.3: "the result is exactly the same as when training on a single GPU", in real gloo processes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.recipes.commands import TINY, Command, run, succeed, train_command

WAYS: dict[str, tuple[int, list[Any]]] = {
    "alone": (1, []),
    "accumulating": (1, ["--device-batch", 7]),
    "two": (2, ["--workers", 1]),
    "three": (3, []),
}
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def weights_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Weights]:
    """Weights after 20 steps, by precision and way; every run is made once."""
    runs: dict[tuple[str, str], Weights] = {}

    def weights(precision: str, way: str) -> Weights:
        if (precision, way) not in runs:
            output = tmp_path_factory.mktemp("runs") / "run"
            processes, options = WAYS[way]
            succeed(train_command(output, "--precision", precision, "--max-steps", 20, *options, processes=processes))
            results = json.loads((output / "results.json").read_text())
            assert (results["processes"], results["steps"]) == (processes, 20)
            runs[precision, way] = load_file(output / "model.safetensors")
        return runs[precision, way]

    return weights


@pytest.mark.slow
@pytest.mark.parametrize("way", ["accumulating", "two", "three"])
def test_weights_do_not_depend_on_the_processes(way: str, weights_of: Callable[[str, str], Weights]) -> None:
    """After 20 steps in fp64, 1, 2 and 3 processes and accumulation differ by rounding alone: at most 1e-12."""
    alone, other = weights_of("fp64", "alone"), weights_of("fp64", way)
    assert alone["head.fc.weight"].dtype == torch.float64
    assert max((alone[key] - other[key]).abs().max().item() for key in alone) <= 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("way", ["accumulating", "two"])
def test_nor_in_single_precision(way: str, weights_of: Callable[[str, str], Weights]) -> None:
    """In fp32 the weights as a whole differ by at most 1e-5 of their length."""
    alone, other = (
        torch.cat([weight.double().flatten() for weight in weights_of("fp32", which).values()])
        for which in ("alone", way)
    )
    assert alone.norm() > 1
    assert (alone - other).norm() / alone.norm() <= 1e-5


@pytest.mark.slow
def test_the_net_did_learn_something(weights_of: Callable[[str, str], Weights], tmp_path: Path) -> None:
    """The runs that are compared move every weight: two that stood still would be equal, too."""
    succeed(train_command(tmp_path / "run", "--precision", "fp64", "--max-steps", 1))
    first, last = load_file(tmp_path / "run" / "model.safetensors"), weights_of("fp64", "alone")
    assert all((first[key] - last[key]).abs().max() > 1e-6 for key in first)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3, 4])
def test_a_run_that_resumes_is_bit_identical_on_several_processes(processes: int, tmp_path: Path) -> None:
    """DDP sums gradients in the same order in the first step after a checkpoint as in every other."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    succeed(train_command(whole, "--max-steps", 8, processes=processes))
    for steps in (3, 8):
        succeed(train_command(parts, "--max-steps", steps, processes=processes))
    expected, found = (load_file(folder / "model.safetensors") for folder in (whole, parts))
    assert all(torch.equal(expected[key], found[key]) for key in expected)


@pytest.mark.slow
def test_processes_that_see_other_checkpoints_say_so(tmp_path: Path) -> None:
    """Rank 0 chooses; another that cannot read the same bytes ends the run rather than going on from elsewhere."""
    output = tmp_path / "run"
    succeed(train_command(output, "--max-steps", 3))
    spy = tmp_path / "spy.py"
    spy.write_text(
        "import os, sys\n"
        "sys.path.insert(0, os.getcwd())\n"
        "from recipes.training import setup\n"
        "if os.environ['RANK'] == '1':\n"
        "    def fail(folder):\n"
        "        raise ValueError(f'{folder} is incomplete')\n"
        "    setup.load_checkpoint = fail\n"
        "import recipes.train\n"
        "sys.exit(recipes.train.main(sys.argv[1:]))\n"
    )
    options = ["--recipe", TINY, "--data", "digits", "--output", output, "--max-steps", 5]
    done = run(Command((str(spy), *map(str, options)), 2))
    assert done.returncode != 0
    assert "process 1 cannot read what process 0 resumes from" in done.stderr
    assert "The folder must be one that all machines share" in done.stderr
