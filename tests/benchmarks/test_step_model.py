"""The model of a step on many GPUs, and what the docs print of it."""

from pathlib import Path

import pytest
import timm
import torch
import torch.distributed as dist

from benchmarks import overlap
from benchmarks.step_model import (
    BUCKET,
    FIRST_BUCKET,
    Machine,
    buckets,
    gradients,
    layers,
    overlapped,
    ring,
    step,
    table,
)
from benchmarks.timing import markdown
from vgg_zoo.configurations import NAMES, configuration

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs/scaling.md").read_text()


def test_the_docs_hold_the_models_table() -> None:
    """Digit by digit."""
    assert f"\n{markdown(table())}\n" in DOCS


def test_the_docs_hold_what_was_measured() -> None:
    """Of the sums of two processes, with the note below."""
    assert (ROOT / "benchmarks/results/overlap.md").read_text() in DOCS


def test_the_docs_hold_the_buckets() -> None:
    """Of net D."""
    of = layers("D")
    rows = [
        f"| {number} | {size / 1e6:.1f} | {of[place].name} |" for number, (size, place) in enumerate(buckets(of), 1)
    ]
    assert "\n".join(rows) in DOCS
    assert f"{gradients(of, 1):,} numbers, {gradients(of) / 1e6:.0f} MB" in DOCS
    assert f"`--bf16-gradients` sends {gradients(of, 2) / 1e6:.0f} MB" in DOCS


@pytest.mark.parametrize("name", NAMES)
def test_layers_are_the_nets(name: str) -> None:
    """Their weights and multiplications."""
    of = layers(NAMES[name])
    assert gradients(of, 1) == sum(each.numel() for each in timm.create_model(name, device="meta").parameters())
    assert sum(layer.multiply_adds for layer in of) == configuration(NAMES[name]).multiply_adds()


@pytest.mark.parametrize("most", [BUCKET, 2**20, 2**30])
def test_buckets_are_ddps(most: int) -> None:
    """PyTorch's own assignment, of gradients from the last to the first."""
    of = layers("D", width=0.25)
    sizes = [size for layer in reversed(of) for size in (layer.biases, layer.weights)]
    tensors = [torch.empty(size) for size in sizes]
    assigned, _ = dist._compute_bucket_assignment_by_size(tensors, [FIRST_BUCKET, most])
    expected = [sum(4 * sizes[place] for place in each) for each in assigned]
    assert [size for size, _ in buckets(of, most=most)] == expected


def test_what_is_sent_late_is_exposed() -> None:
    """Two layers of 1 s and 2 s; the second one's bucket is ready at 2 s, the first one's at 3 s."""
    backward = [1.0, 2.0]
    assert overlapped(1.0, backward, [(1.0, 1), (0.5, 0)], 0.25).exposed == 0.5
    assert overlapped(1.0, backward, [(4.0, 1), (0.5, 0)], 0.25).exposed == 3.5
    whole = overlapped(1.0, backward, [(4.5, 0)], 0.25)
    assert (whole.exposed, whole.compute, whole.total) == (4.5, 4.25, 8.75)


def test_a_ring_sends_less_than_twice_the_bytes() -> None:
    """Nothing where there is one process, and with two as many as there are."""
    assert ring(1e9, 1, 1e9, 1.0) == 0
    assert ring(1e9, 2, 1e9) == 1
    assert ring(1e9, 512, 1e9) == pytest.approx(2, rel=1e-2)


def test_bf16_gradients_halve_what_is_sent() -> None:
    """And never make a step longer; one GPU sends nothing."""
    of, machine = layers("D"), Machine(latency=0.0)
    full, half = (step(of, machine, 64, 64, 12.5e9, bf16) for bf16 in (False, True))
    assert half.communication == pytest.approx(full.communication / 2)
    assert half.total < full.total
    assert step(of, machine, 64, 1, 12.5e9, False).communication == 0
    slow = Machine(cores=1, images=10.0)
    assert step(of, slow, 64, 1, 1e9, False).total == 6.4


def test_the_share_of_overlapping_sums() -> None:
    """Sums that run at the same time count once."""
    assert overlap.before([(0.0, 2.0), (1.0, 4.0)], 2.0) == 0.5
    assert overlap.before([(3.0, 4.0)], 2.0) == 0
    assert overlap.before([(0.0, 1.0), (0.0, 1.0)], 2.0) == 1


def test_the_table_of_overlap() -> None:
    """With one bucket for everything, only the last layer's gradients, which come first, are hidden."""
    found = {"alone": 1.0, "sums": 0.4, "busy": 0.1, "hidden": 0.9, "bf16": 1.1} | {
        f"{cap} MB": 1.2 for cap in overlap.CAPS
    }
    rows = {row["two processes, one thread each"]: row for row in overlap.lines(found)}
    few = rows["step with DDP, bucket_cap_mb=25"]
    assert 1.0 < float(few["model (s)"]) < 1.05
    assert few["model, cores shared (s)"] == "1.100"
    assert 1.3 < float(rows["step with DDP, bucket_cap_mb=1000"]["model (s)"]) < 1.4
    assert rows[overlap.HALF]["model, cores shared (s)"] == "1.050"
