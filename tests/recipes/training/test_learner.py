"""What a step does beyond its arithmetic: memory that is too small, precision, and waiting for a GPU."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from recipes.data.splits import load_splits
from recipes.recipe import load_recipe
from recipes.runtime.processes import make_accelerator
from recipes.training.batches import Batch, GlobalBatches, TrainingCrops
from recipes.training.beginning import random_net
from recipes.training.classes import Classification
from recipes.training.feed import Feed
from recipes.training.learner import Learner, Limits
from tests.recipes.commands import TINY
from vgg_zoo.images.preprocessing import IMAGENET_COLOURS

Make = Callable[..., tuple[Learner, Batch]]


@pytest.fixture
def make() -> Make:
    """A learner of the tiny recipe on 64 digits, and its first batch."""

    def made(
        precision: str = "fp32", compiled: bool = False, changes: dict[str, Any] | None = None, **limits: Any
    ) -> tuple[Learner, Batch]:
        recipe, accelerator = replace(load_recipe(TINY), **changes or {}), make_accelerator(precision=precision)
        batches = GlobalBatches(1437, recipe.batch_size, recipe.seed, 0, 1)
        net = random_net(recipe, 10).to(Limits(precision=precision).dtype)
        loss = Classification(recipe).loss
        learner = Learner(
            recipe,
            Limits(precision=precision, **limits),
            net,
            compiled=compiled,
            colours=IMAGENET_COLOURS,
            loss=loss,
            share=batches.share,
            accelerator=accelerator,
        )
        batch = next(iter(Feed(TrainingCrops(load_splits("digits")[0], recipe), batches, 0, accelerator.device)))
        learner.begin_epoch(0.01)
        return learner, batch

    return made


@pytest.mark.parametrize(("holds", "said"), [(5, "--device-batch 4 fits"), (1, "--device-batch 1 fits")])
def test_too_little_memory_names_the_batch_that_fits(
    holds: int, said: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As trials find it; a device of `holds` images stands for a GPU."""
    learner, batch = make()
    _hold(learner, holds, monkeypatch)
    with pytest.raises(ValueError, match=f"CUDA out of memory: 50 images at once are too many.*; {said}"):
        learner.step(0, batch)


def test_a_device_that_holds_no_image_is_told_from_a_batch_too_large(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No --device-batch helps there."""
    learner, batch = make(device_batch=8)
    _hold(learner, 0, monkeypatch)
    with pytest.raises(ValueError, match=r"8 images at once are too many.*not even one fits"):
        learner.step(0, batch)


def _hold(learner: Learner, images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the net run out of memory above so many images."""
    forward = learner.net.forward

    def limited(x: Tensor) -> Tensor:
        if len(x) > images:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(x)

    monkeypatch.setattr(learner.net, "forward", limited)


class Waits(TorchDispatchMode):
    """Refuses what makes a process wait for its GPU, or copies from memory that is not pinned."""

    WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique", "lift_fresh")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2]
        assert not name.startswith(self.WAITS), f"a step waits for its GPU: {func}"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp64"])
def test_a_step_waits_for_no_gpu(precision: str, make: Make) -> None:
    """Once it runs, no number is read from a tensor, and no tensor is made of Python's numbers."""
    learner, batch = make(precision, device_batch=12)
    learner.step(0, batch)
    with Waits():
        for step in (1, 2):
            learner.step(step, batch)


@pytest.mark.parametrize("trainable", ["all", "last"])
def test_a_new_last_layer_learns_at_its_own_rate(trainable: str, make: Make) -> None:
    """Its first step is ten times as long; that of the other layers is the same, or none where they are frozen."""
    steps = []
    for factor in (1.0, 10.0):
        new = {"last_layer": "new", "init_from": "x", "trainable": trainable, "new_layer_rate": factor}
        learner, batch = make("fp64", changes=new)
        before = {name: value.clone() for name, value in learner.net.named_parameters()}
        learner.step(0, batch)
        steps.append({name: value.detach() - before[name] for name, value in learner.net.named_parameters()})
    plain, fast = steps
    for name, step in plain.items():
        frozen = trainable == "last" and not name.startswith("head.")
        assert bool(step.any()) != frozen
        torch.testing.assert_close(fast[name], step * (10 if name.startswith("head.") else 1))


def test_what_is_tested_is_what_is_saved_in_the_precision_of_the_run(make: Make) -> None:
    """bf16 rounds the outputs of a test; the net that is saved stays a net without any wrapper around it."""
    learner, batch = make("bf16")
    learner.net.eval()
    images = learner.images(batch)
    rounded, own = learner.tested(images), learner.net(images)
    assert own.dtype == rounded.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(rounded, learner.net(images).float())
    assert not torch.equal(rounded, own)
    assert learner.tested.net is learner.saved is learner.net
    assert "forward" not in vars(learner.net)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # that dynamo looks at, of a map between two parts
def test_compiling_changes_only_rounding(make: Make) -> None:
    """Two steps with each; the net that is tested is not the compiled one."""
    found = []
    for compiled in (False, True):
        learner, batch = make("fp64", compiled)
        losses = [learner.step(step, batch).item() for step in range(2)]
        found.append((losses, torch.cat([weight.flatten() for weight in learner.net.parameters()])))
    (losses, weights), (compiled_losses, compiled_weights) = found
    assert losses[0] != losses[1]
    assert compiled_losses == pytest.approx(losses, rel=1e-10)
    assert (weights - compiled_weights).norm() <= 1e-10 * weights.norm()
    assert learner.tested.net is learner.net
