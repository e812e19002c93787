"""Sect. 3.3: "the result is exactly the same as when training on a single GPU", in real gloo processes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.recipes.commands import run_elsewhere, succeed, train_command
from vgg_zoo.weights.files import file_digest

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
@pytest.mark.parametrize("there", ["nothing", "another net", "something else"])
def test_only_process_0_opens_the_folder(there: str, tmp_path: Path) -> None:
    """Whatever another process sees under its name is neither read nor written: the run resumes bit-identical."""
    whole, output, elsewhere = (tmp_path / name for name in ("whole", "output", "elsewhere"))
    succeed(train_command(whole, "--max-steps", 6, processes=2))
    if there == "another net":  # a whole checkpoint, and a newer one
        succeed(train_command(elsewhere, "--max-steps", 5, "--bf16-gradients", processes=2))
    elif there == "something else":
        elsewhere.write_text("a file")
    before = {path: path.stat().st_mtime_ns for path in [elsewhere, *elsewhere.rglob("*")] if path.exists()}
    for steps in (3, 6):
        done = run_elsewhere(train_command(output, "--max-steps", steps), elsewhere)
        assert done.returncode == 0, done.stderr
    assert "resumes from step 3" in done.stdout
    assert file_digest(output / "model.safetensors") == file_digest(whole / "model.safetensors")
    after = {path: path.stat().st_mtime_ns for path in [elsewhere, *elsewhere.rglob("*")] if path.exists()}
    assert after == before


@pytest.mark.slow
def test_only_process_0_needs_the_net_that_a_run_begins_with(tmp_path: Path) -> None:
    """The others get its weights: those of one process, up to rounding."""
    recipe = tmp_path / "later.py"
    recipe.write_text(
        "from dataclasses import replace\nfrom tests.recipes import tiny\n\n\n"
        "def recipe():\n    return replace(tiny.recipe(), init_from='first')\n"
    )
    first, alone, two = (tmp_path / name for name in ("first", "alone", "two"))
    succeed(train_command(first, "--precision", "fp64", "--max-steps", 5))
    options = ["--precision", "fp64", "--max-steps", 2, "--init-from", first]
    succeed(train_command(alone, *options, recipe=str(recipe)))
    more = "sys.argv[sys.argv.index('--init-from') + 1] = 'nowhere'"
    done = run_elsewhere(train_command(two, *options, recipe=str(recipe)), tmp_path / "elsewhere", more)
    assert done.returncode == 0, done.stderr
    begun, expected, found = (load_file(folder / "model.safetensors") for folder in (first, alone, two))
    assert max((found[key] - expected[key]).abs().max().item() for key in expected) <= 1e-12
    assert max((found[key] - begun[key]).abs().max().item() for key in expected) < 1e-2


@pytest.mark.slow
def test_a_refusal_of_process_0_ends_all_with_one_sentence(tmp_path: Path) -> None:
    """What another process sees changes nothing of it, and it does not say it again."""
    (tmp_path / "output").write_text("a file")
    done = run_elsewhere(train_command(tmp_path / "output"), tmp_path / "elsewhere")
    assert done.returncode != 0
    assert done.stderr.splitlines() == [f"error: --output {tmp_path / 'output'} is a file; name a folder"]


@pytest.mark.slow
def test_processes_with_other_images_say_so(tmp_path: Path) -> None:
    """Another machine's cache may hold another version of the data set."""
    more = "import sklearn.datasets as s; d = s.load_digits(); d.target = d.target[::-1]; s.load_digits = lambda: d"
    done = run_elsewhere(train_command(tmp_path / "output", "--max-steps", 1), tmp_path / "elsewhere", more)
    assert done.returncode != 0
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert line.startswith("error: the training images of process 1 (1437 of 10 classes) are not those of process 0")
    assert not (tmp_path / "output").exists()
