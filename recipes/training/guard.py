"""Tells early, and by name, why a net does not learn: the most frequent failure of training VGG."""

import math
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

STUCK_STEPS = 500
"""A loss that does not fall below ln(classes) for so many steps is reported: A leaves it within some tens of steps."""

_CLOSE = 0.01  # of ln(classes)
_NOISE = 3  # standard errors of a mean of losses
_FAR = 6  # deviations of a single loss

_WEAK = 1e-3
"""Deviation that weights can carry to the outputs: Glorot's rule gives 1e-2 (E) to 0.5 (A, narrow), N(0, 0.01²) 5e-5 in
A and 1e-8 in E at full width, and less in narrow nets."""

_LOST = 0.01
"""Part of it that arrives: 0.05 (E) to 0.5 (A) in a net that begins, below 0.002 in one that a step has ruined."""

_SLOW = 1e-6
"""Relative change of the last layer in a step; nets that learn have 1e-4 to 1e-2."""


class DivergedError(ValueError):
    """The loss is no longer a number."""


@torch.no_grad()
def diagnosis(
    net: nn.Module, images: Tensor, learning_rate: float, labels: Tensor | None = None, divided: float = 1.0
) -> str:
    """The likeliest cause, from what the net does now; where one batch cannot tell two of them apart, both.

    A net that learns nothing gives the same outputs for all images (they may still differ between classes, as the last
    biases learn how frequent each is), or outputs that have nothing to do with the labels.

    Args:
        net: In its present state; left as it is.
        images: (b, 3, crop, crop), the input as the net gets it.
        learning_rate: Of SGD.
        labels: (b,), their classes; None of a net that learns something else.
        divided: What the pixels were divided by, as the weights that the run began with are used to.
    """
    scale = images.std(correction=0).item()
    if not 5 < scale * divided < 500:
        return (
            f"the input scale: the images' deviation is {scale * divided:.3g}, and these nets begin with RGB in 0–255 "
            "minus the mean (30 to 80). Do not divide by 255 or by a standard deviation"
        )
    if len(images) == 1:  # something to compare it with
        images, labels = torch.cat([images, -images, images.flip(2)]), None
    signals = _signals(net, images)
    signal, carried = signals[-1].deviation, scale * math.prod(layer.gain for layer in signals)
    if signal > 1e3 or not math.isfinite(signal):
        return (
            f"the initialisation or the learning rate: the outputs' deviation is {signal:.2g}. N(0, σ²) needs "
            f"σ = 0.01, and the rate, {learning_rate:g} now, may have to be ten times smaller"
        )
    if carried < _WEAK:
        return (
            f"the initialisation: the outputs' deviation is {signal:.2g} from image to image, the signals die on their "
            f'way ({_course(signals)}), as the weights are too small. Begin with initialisation="glorot", or '
            "pre-initialise from net A (init_from)"
        )
    dead = [layer.name for layer in signals[:-1] if layer.dead]
    if dead or signal < _LOST * carried:
        lost = (
            f"all ReLUs of {dead[0]} are dead, 0 for every image"
            if dead
            else f"the outputs' deviation is {signal:.2g} from image to image, where such weights carry {carried:.2g}"
        )
        return (
            f"the learning rate, or labels that have nothing to do with the images: {lost} ({_course(signals)}). A "
            "step was too large, or there was nothing to learn but how frequent the classes are, and the net does not "
            f"recover. Look at some images with their labels, and begin again with a rate below {learning_rate:g} (÷10)"
        )
    return _of_a_net_that_sees(signals[-1], learning_rate, labels)


def _of_a_net_that_sees(last: "_Signal", rate: float, labels: Tensor | None) -> str:
    """The cause where images and outputs are as they must be: the rate, or the labels."""
    if labels is None:
        return f"the learning rate: {rate:g} is too high to begin with, or too low to leave the start; try ÷10, ×3"
    if last.outputs.shape[1] == 1:
        return "the data: there is one class only, and nothing to tell apart. Is it the right column of labels?"
    if len(labels) > 4 and bool((labels == labels[0]).all()):
        return (
            f"the labels: all {len(labels)} images that were looked at are of class {int(labels[0])}. Is it the right "
            "column of labels, and does the data set hold all classes?"
        )
    wrong = last.outputs.softmax(1)
    wrong[torch.arange(len(labels)), labels] -= 1
    change = rate * (wrong.T @ last.inputs / len(labels)).norm().item() / last.weight.norm().item()
    if change < _SLOW:
        return (
            f"the learning rate: {rate:g} is too low, a step changes the last layer by {change:.1g} of its weights; "
            "try ×10 until the loss moves"
        )
    return (
        "the labels or the learning rate, and one batch cannot tell which: images reach the outputs (they differ by "
        f"{last.deviation:.2g}) and a step changes the last layer by {change:.1g} of its weights. Look at some images "
        f"with their labels (shuffled, or another column?); if they are right, try the rate ({rate:g} now) ÷10, ×3"
    )


@dataclass(slots=True)
class _Signal:
    """What goes through a layer with weights, the last one of the net or one with a ReLU behind it.

    Attributes:
        name: The paper's.
        deviation: Over the images, of its outputs (behind the ReLU): root of the mean square over units and positions.
        dead: No unit is above 0 for any image.
        gain: What its weights do to a signal's deviation, up to the ReLUs: σ √(inputs of a unit / 2) (He et al., 2015).
        weight: Of the layer.
        inputs: (b, n) of the last layer; empty of the others.
        outputs: (b, m) of the last layer; empty of the others.
    """

    name: str
    deviation: float
    dead: bool
    gain: float
    weight: Tensor
    inputs: Tensor
    outputs: Tensor


def _signals(net: nn.Module, images: Tensor) -> list[_Signal]:
    """Of every layer with weights, from the images to the outputs."""
    names = {key: name for name, key in net.configuration.layer_keys().items()}  # type: ignore[operator, union-attr]
    found: list[_Signal] = []

    def look(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        weight: Tensor = layer.weight  # type: ignore[assignment]
        last = isinstance(layer, nn.Linear)
        behind = outputs if last else outputs.relu()
        found.append(
            _Signal(
                name=name,
                deviation=behind.float().std(0, correction=0).square().mean().sqrt().item(),
                dead=not bool((outputs > 0).any()),
                gain=weight.float().square().mean().sqrt().item() * math.sqrt(weight[0].numel() / 2),
                weight=weight.float(),
                inputs=inputs[0].float() if last else weight.new_empty(0),
                outputs=outputs.float() if last else weight.new_empty(0),
            )
        )

    training = net.training
    with ExitStack() as hooks:
        for key, name in names.items():
            layer = net.get_submodule(key)
            hook = layer.register_forward_hook(lambda *seen, name=name: look(name, *seen))
            hooks.callback(hook.remove)
        net.eval()(images)
    net.train(training)
    return found


def _course(signals: Sequence[_Signal]) -> str:
    """The deviations at a few layers on the way."""
    chosen = sorted({0, len(signals) // 3, 2 * len(signals) // 3, len(signals) - 1})
    return ", ".join(f"{signals[place].deviation:.1g} after {signals[place].name}" for place in chosen)


@dataclass(slots=True)
class Guard:
    """Watches the loss of single steps, which batches of any size make more or less noisy.

    Attributes:
        chance: The loss of a net that has learned nothing; None where there is no such number.
        since: First step of the losses that are looked at.
        told: That it learns nothing was reported.
    """

    chance: float | None
    since: int | None = None
    told: bool = False
    _losses: deque[tuple[int, float]] = field(default_factory=deque)

    def sits_at_chance(self, step: int, loss: float) -> bool:
        """True once, when the loss has neither fallen nor been below chance, ln(classes), for `STUCK_STEPS` steps.

        Below and fallen are measured by means, with the noise of the single losses: those of small batches stray far.

        Raises:
            DivergedError: The loss is not finite.
        """
        if not math.isfinite(loss):
            raise DivergedError(f"the loss is {loss} at step {step}")
        if self.chance is None:
            return False
        if self._has_left(loss):
            self._losses.clear()
            self.told = False
        self._losses.append((step, loss))
        while step - self._losses[0][0] > STUCK_STEPS:
            self._losses.popleft()
        self.since = self._losses[0][0]
        if step - self.since < STUCK_STEPS:
            return False
        if self._learns():
            if self.told:  # one that wavers is not reported at every turn
                self._losses.clear()
            self.told = False
            return False
        told, self.told = self.told, True
        return not told

    def sentence(self, step: int) -> str:
        """What `sits_at_chance` found at this step, in words."""
        mean = _mean([loss for _, loss in self._losses])
        return (
            f"the loss has stayed at {mean:.3g} for {step - (self.since or 0)} steps, and guessing has "
            f"{self.chance:.3g}, the logarithm of the number of classes: the net learns nothing."
        )

    def _has_left(self, loss: float) -> bool:
        """Whether one loss is so much lower than those before it that no noise explains it."""
        before = [each for _, each in self._losses]
        return len(before) > 1 and _mean(before) - loss > max(_CLOSE * (self.chance or 0), _FAR * _deviation(before))

    def _learns(self) -> bool:
        """Whether the later losses are below the earlier ones, or below chance."""
        losses, chance = [loss for _, loss in self._losses], self.chance or 0
        first, second = losses[: len(losses) // 2], losses[len(losses) // 2 :]
        error = _NOISE * _deviation(losses) / math.sqrt(len(second))
        return _mean(second) < max(_mean(first), chance) - max(_CLOSE * chance, error)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
