"""Why a net does not learn, told by name."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

from recipes.training import guard as guards
from recipes.training.guard import STUCK_STEPS, DivergedError, Guard, diagnosis
from tests.helpers import small

IMAGES = torch.randint(0, 256, (4, 3, 64, 64), generator=torch.Generator().manual_seed(0)).float() - 120


def test_a_loss_that_stays_at_chance_is_told_once() -> None:
    """After `STUCK_STEPS` steps, and again only after it had moved."""
    chance = math.log(1000)
    guard = Guard(chance)
    told = [step for step in range(1, 3 * STUCK_STEPS) if guard.sits_at_chance(step, chance + 0.01 * (-1) ** step)]
    assert told == [1 + STUCK_STEPS]
    assert not guard.sits_at_chance(3 * STUCK_STEPS, 5.0)
    again = range(3 * STUCK_STEPS + 1, 5 * STUCK_STEPS)
    assert sum(guard.sits_at_chance(step, chance) for step in again) == 1


def test_a_loss_that_falls_is_not_told() -> None:
    """Nor one that begins above."""
    guard = Guard(math.log(1000))
    assert not any(guard.sits_at_chance(step, 10 - step / STUCK_STEPS) for step in range(1, 4 * STUCK_STEPS))


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(loss: float) -> None:
    """With the step."""
    with pytest.raises(DivergedError, match=f"the loss is {loss} at step 7"):
        Guard(math.log(10)).sits_at_chance(7, loss)


def test_images_that_the_weights_want_divided_are_no_wrong_scale() -> None:
    """The scale is that of the pixels, whatever they were divided by."""
    assert diagnosis(small(), IMAGES / 58, 0.01).startswith("the input scale: the images' deviation is 1.2")
    assert "input scale" not in diagnosis(small(), IMAGES / 58, 0.01, divided=58.0)


@pytest.mark.parametrize(
    ("images", "arguments", "cause"),
    [
        (IMAGES / 255, {}, "the input scale: the images' deviation is 0.28"),
        (IMAGES * 255, {}, "the input scale: the images' deviation is 1.8"),
        (IMAGES, {"initialisation": "normal", "std": 0.001}, "the initialisation: the outputs' deviation is"),
        (IMAGES, {"initialisation": "normal", "std": 1.0}, "the initialisation or the learning rate: the outputs'"),
        (IMAGES, {}, "the learning rate: 0.01 is too high to begin with, or too low"),
    ],
    ids=["scale", "scale squared", "vanishing", "exploding", "rate"],
)
def test_the_cause_is_named(images: Tensor, arguments: dict[str, object], cause: str) -> None:
    """Input scale, initialisation, or rate; the net is left in the mode it was in."""
    net = small(**arguments).train()
    assert diagnosis(net, images, 0.01).startswith(cause)
    assert net.training


@pytest.mark.parametrize("batch", [1, 4, 32, 256])
@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_the_noise_of_small_batches_does_not_silence_it(batch: int, classes: int, seed: int) -> None:
    """Means of batches of losses whose deviation is a tenth of ln(classes), at chance or above; told within 600 steps.

    A loss that falls by a tenth of ln(classes) over these steps is not told.
    """
    generator, chance = np.random.default_rng(seed), math.log(classes)
    noise = 0.1 * chance / math.sqrt(batch) * generator.standard_normal(STUCK_STEPS + 100)
    for level in (1, 1.1):
        guard = Guard(chance)
        told = [step for step, stray in enumerate(noise) if guard.sits_at_chance(step, level * chance + stray)]
        assert len(told) == 1
    falling, guard = np.linspace(1.02 * chance, 0.82 * chance, len(noise)), Guard(chance)
    assert not any(guard.sits_at_chance(step, loss) for step, loss in enumerate(falling + noise))


def test_a_loss_that_is_looked_at_every_ten_steps_is_told_too() -> None:
    """As on a GPU."""
    guard = Guard(math.log(10))
    told = [step for step in range(10, 1500, 10) if guard.sits_at_chance(step, 2.31 + 0.05 * math.sin(step))]
    assert told == [10 + STUCK_STEPS]


DIGITS = load_digits()
PIXELS = F.interpolate(torch.tensor(DIGITS.images).float()[:, None].expand(-1, 3, -1, -1) * (255 / 16), size=(32, 32))
LABELS = torch.tensor(DIGITS.target)
NARROW: dict[str, Any] = {"width_multiplier": 0.12, "head_hidden_size": 48, "head_kernel_size": 1, "num_classes": 10}


@dataclass(frozen=True)
class Failure:
    """A training that fails, and what must be said of it.

    Attributes:
        causes: One of them begins the diagnosis.
        net: Its name.
        arguments: Of the net.
        rate: Of SGD.
        images: From pixels minus their mean to the net's input.
        labels: From the right ones, with a generator, to those that are learned.
    """

    causes: Sequence[str]
    net: str = "vgg_a"
    arguments: dict[str, Any] = field(default_factory=dict)
    rate: float = 1e-2
    images: Callable[[Tensor], Tensor] = lambda images: images
    labels: Callable[[Tensor, torch.Generator], Tensor] = lambda labels, generator: labels

    def trained(self, seed: int, batch: int, steps: int) -> tuple[Any, list[float], Tensor, Tensor]:
        """The net, its losses up to one that is no number, and the last batch."""
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        net = timm.create_model(self.net, **NARROW | self.arguments).train()
        labels = self.labels(LABELS, generator)
        optimizer = torch.optim.SGD(net.parameters(), lr=self.rate, momentum=0.9, weight_decay=5e-4)
        losses: list[float] = []
        while True:
            chosen = torch.randint(len(PIXELS), (batch,), generator=generator)
            images = self.images(PIXELS[chosen] - PIXELS.mean())
            if len(losses) >= steps or not all(map(math.isfinite, losses)):
                return net, losses, images, labels[chosen]
            loss = F.cross_entropy(net(images), labels[chosen])
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def shuffled(labels: Tensor, generator: torch.Generator) -> Tensor:
    """The labels of other images."""
    return labels[torch.randperm(len(labels), generator=generator)]


SMALL_NORMAL = {"initialisation": "normal", "std": 0.01}
FAILURES = {
    "net E from N(0, 0.01²)": Failure(["the initialisation:"], "vgg_e", SMALL_NORMAL),
    "narrow net A from N(0, 0.01²)": Failure(["the initialisation:"], arguments=SMALL_NORMAL),
    "rate far too high": Failure(["the initialisation or the learning rate"], rate=0.3),
    "rate too low": Failure(["the learning rate: 1e-07 is too low"], rate=1e-7),
    "divided by 255": Failure(["the input scale"], images=lambda images: images / 255),
    "divided by the deviation": Failure(["the input scale"], images=lambda images: images / 100),
    "labels shuffled": Failure(
        ["the learning rate, or labels that have nothing to do", "the labels or the learning rate"], labels=shuffled
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("batch", [4, 32])
@pytest.mark.parametrize("failure", FAILURES)
def test_the_known_failures_are_told(failure: str, batch: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By real trainings of 160 steps: each is reported, and its cause named; seeds 0 to 2 were looked at."""
    monkeypatch.setattr(guards, "STUCK_STEPS", 120)
    expected = FAILURES[failure]
    net, losses, images, labels = expected.trained(seed, batch, 160)
    guard, told = Guard(math.log(10)), False
    try:
        told = any(guard.sits_at_chance(step, loss) for step, loss in enumerate(losses))
    except DivergedError:
        told = True
    assert told
    assert diagnosis(net, images, expected.rate, labels).startswith(tuple(expected.causes))


@pytest.mark.parametrize("batch", [1, 4, 32])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("net", ["vgg_a", "vgg_e", "vgg_c"])
def test_what_ruins_a_net_is_told_from_its_beginning(net: str, seed: int, batch: int) -> None:
    """Last biases that have learned how frequent the classes are hide nothing; nor does a batch of one image.

    Deviations that weights carry to the outputs, in these nets and ten seeds: 0.07 to 1.3 by Glorot's rule, 7e-18 to
    2e-10 from N(0, 0.01²), against a bound of 1e-3; of Glorot's 0.05 to 0.47 arrive, against 0.01.
    """
    torch.manual_seed(seed)
    chosen = torch.randperm(len(PIXELS))[:batch]
    images, labels = PIXELS[chosen] - PIXELS.mean(), LABELS[chosen]

    def told(rate: float = 1e-2, labels: Tensor | None = labels, ruin: str = "", **arguments: Any) -> str:
        made = timm.create_model(net, **NARROW | arguments)
        assert made.head.fc.bias is not None
        made.head.fc.bias.data = torch.randn(len(made.head.fc.bias))
        if ruin:
            made.get_submodule(ruin).bias.data.fill_(-1e6)
        before = [value.clone() for value in made.state_dict().values()]
        found = diagnosis(made, images, rate, labels)
        assert all(map(torch.equal, before, made.state_dict().values()))
        return found

    assert told(**SMALL_NORMAL).startswith("the initialisation:")
    assert "all ReLUs of fc7 are dead" in told(ruin="pre_logits.fc2")
    assert "all ReLUs of conv1_1 are dead" in told(ruin="features.0")
    assert told(labels=None).startswith("the learning rate: 0.01 is too high to begin with, or too low")
    if batch == 1:
        return
    assert told().startswith("the labels or the learning rate, and one batch cannot tell which")
    assert told(rate=1e-9).startswith("the learning rate: 1e-09 is too low")
    if batch > 4:
        same = torch.full_like(labels, 3)
        assert told(labels=same).startswith("the labels: all 32 images that were checked are of class 3")
    assert told(labels=torch.zeros_like(labels), num_classes=1).startswith("the data: there is one class only")
