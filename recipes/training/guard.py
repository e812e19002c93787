"""Early diagnosis of a net that does not learn, the most frequent failure of training VGG."""

import math
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

STUCK_STEPS = 500
"""A loss that does not fall below ln(classes) for this many steps is reported; net A leaves it after tens of steps."""

_CLOSE = 0.01  # of ln(classes)
_NOISE = 3  # standard errors of a mean of losses
_FAR = 6  # deviations of a single loss

_WEAK = 1e-3
"""Deviation that weights can carry to the outputs: Glorot's rule gives 1e-2 (E) to 0.5 (A, narrow), N(0, 0.01²) 5e-5 in
A and 1e-8 in E at full width, and less in narrow nets."""

_LOST = 0.01
"""Fraction of it that arrives: 0.05 (E) to 0.5 (A) in an initial net, below 0.002 in a net that a step has ruined."""

_SLOW = 1e-6
"""Relative change of the last layer in a step; nets that learn have 1e-4 to 1e-2."""


class DivergedError(ValueError):
    """The loss is no longer a number."""


@torch.no_grad()
def diagnosis(
    net: nn.Module, images: Tensor, learning_rate: float, labels: Tensor | None = None, divided: float = 1.0
) -> str:
    """The likeliest cause, from the net's present behaviour; if one batch cannot distinguish two causes, both.

    A net that learns nothing gives the same outputs for all images, or outputs that are unrelated to the labels. (The
    outputs may still differ between classes, because the last biases learn how frequent each class is.)

    Args:
        net: The net in its present state, which does not change.
        images: (b, 3, crop, crop), the net's input.
        learning_rate: Learning rate of SGD.
        labels: (b,), their classes; None for a net that learns something else.
        divided: The divisor of the pixels, which depends on the weights that the run began with.
    """
    scale = images.std(correction=0).item()
    if not 5 < scale * divided < 500:
        return (
            f"the input scale: the images' deviation is {scale * divided:.3g}, and these nets begin with RGB in 0–255 "
            "minus the mean (30 to 80). Do not divide by 255 or by a standard deviation"
        )
    if len(images) == 1:  # a second image to compare with
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
    """The cause if images and outputs are as expected: the rate, or the labels."""
    if labels is None:
        return f"the learning rate: {rate:g} is too high to begin with, or too low to leave the start; try ÷10, ×3"
    if last.outputs.shape[1] == 1:
        return "the data: there is one class only, and nothing to tell apart. Is it the right column of labels?"
    if len(labels) > 4 and bool((labels == labels[0]).all()):
        return (
            f"the labels: all {len(labels)} images that were checked are of class {int(labels[0])}. Is it the right "
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
    """The signal through a layer with weights, which is the net's last layer or has a ReLU after it.

    Attributes:
        name: The paper's name of the layer.
        deviation: Deviation over the images of its outputs (after the ReLU): root mean square over units and positions.
        dead: Whether no unit is above 0 for any image.
        gain: Factor of its weights on a signal's deviation, up to the ReLUs: σ √(inputs of a unit / 2) (He et al.,
            2015).
        weight: Weight of the layer.
        inputs: (b, n) for the last layer; empty for the others.
        outputs: (b, m) for the last layer; empty for the others.
    """

    name: str
    deviation: float
    dead: bool
    gain: float
    weight: Tensor
    inputs: Tensor
    outputs: Tensor


def _signals(net: nn.Module, images: Tensor) -> list[_Signal]:
    """The signals of all layers with weights, from the images to the outputs."""
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
    """The deviations at a few layers in between."""
    chosen = sorted({0, len(signals) // 3, 2 * len(signals) // 3, len(signals) - 1})
    return ", ".join(f"{signals[place].deviation:.1g} after {signals[place].name}" for place in chosen)


@dataclass(slots=True)
class Guard:
    """Watches the loss of single steps; its noise depends on the size of the batches.

    Attributes:
        chance: The loss of a net that has learned nothing; None if there is no such number.
        since: First step of the losses that are considered.
        told: Whether it was reported that the net learns nothing.
    """

    chance: float | None
    since: int | None = None
    told: bool = False
    _losses: deque[tuple[int, float]] = field(default_factory=deque)

    def sits_at_chance(self, step: int, loss: float) -> bool:
        """True once, when the loss has neither fallen nor been below chance, ln(classes), for `STUCK_STEPS` steps.

        Both are measured by means and take the noise of single losses into account, which is large for small batches.

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
            if self.told:  # report a wavering loss only once
                self._losses.clear()
            self.told = False
            return False
        told, self.told = self.told, True
        return not told

    def sentence(self, step: int) -> str:
        """The finding of `sits_at_chance` at this step, in words."""
        mean = _mean([loss for _, loss in self._losses])
        return (
            f"the loss has stayed at {mean:.3g} for {step - (self.since or 0)} steps, and guessing has "
            f"{self.chance:.3g}, the logarithm of the number of classes: the net learns nothing."
        )

    def _has_left(self, loss: float) -> bool:
        """Whether one loss is much lower than the losses before it, beyond noise."""
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
