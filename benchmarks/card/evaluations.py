"""Sections of `benchmarks.gpu` about testing: dense evaluation and image descriptors, beside a loop over images.

Images are rescaled beforehand, as worker processes do for the commands, so that the device alone is measured.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

import vgg_zoo
from benchmarks.card.device import allow_tf32, gemm_rate, interleaved, seconds
from benchmarks.card.nets import flops, ours, timms
from benchmarks.card.report import Report, Setting
from vgg_zoo.descriptors import DenseDescriptor
from vgg_zoo.images.inputs import at_scales, net_input

OF_BOUND, OF_LOOP = 0.6, 4.0
"""Goals: share of the rate that the matrix product bounds, and times the rate of a loop over images."""

USUAL, LARGE = 2**20, 2**23
"""Pixels that go through the net at once: the default, and what a GPU's memory allows."""

Images = list[list[Tensor]]
"""Of each image a (3, H, W) tensor of uint8 for each scale."""


def photos(setting: Setting) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Noise of ImageNet's usual sizes."""
    sizes, each = (((375, 500), (500, 375), (333, 500)), 32) if setting.gpu else (((224, 280),), 2)
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes for _ in range(each)]


def scales_of(setting: Setting) -> tuple[int, ...]:
    """Q."""
    return (256, 384, 512) if setting.gpu else (224, 256)


def dense(report: Report) -> None:
    """Posteriors by `DenseEvaluator`, flips included, and by timm's vgg16 image by image."""
    setting = report.setting
    net = ours(setting.small).eval().to(setting.device, memory_format=torch.channels_last)
    evaluator, large = (
        vgg_zoo.DenseEvaluator(net, scales_of(setting), flip=True, protocol="dense", most_pixels=most)
        for most in (USUAL, LARGE)
    )

    def posteriors(timm_net: Any, images: Tensor) -> Tensor:
        return timm_net(images).softmax(1)

    _compare(report, evaluator.of_rescaled, large.of_rescaled, posteriors, None)
    given = photos(setting)[:16]
    evaluator(given[:2])
    rate = len(given) / seconds(setting, partial(evaluator, given))
    report.add("rescaled in this process too, fp32", f"{rate:.4g} images/s", value=rate)


def fc7(report: Report) -> None:
    """The 4096 numbers of fc7 by `DenseDescriptor`, flips included, and by timm's vgg16 image by image."""
    setting = report.setting
    net = ours(setting.small).eval().to(setting.device, memory_format=torch.channels_last)
    descriptor, large = (
        DenseDescriptor(net, "fc7", scales_of(setting), flip=True, most_pixels=most) for most in (USUAL, LARGE)
    )

    def timms_fc7(timm_net: Any, images: Tensor) -> Tensor:
        return timm_net.forward_head(timm_net.forward_features(images), pre_logits=True).flatten(1)

    def up_to_fc7(net: Any, images: Tensor) -> Any:
        return net.pre_logits(net.forward_features(images))

    _compare(report, descriptor.of_rescaled, large.of_rescaled, timms_fc7, up_to_fc7)


@torch.inference_mode()
def one_by_one(net: Any, apply: Callable[[Any, Tensor], Tensor], images: Images) -> Tensor:
    """The plain loop: each image at each scale, and its mirror image."""
    found = []
    for image in images:
        outputs = [
            apply(net, net_input(net, pixels[None].flip(-1) if mirrored else pixels[None]))
            for pixels in image
            for mirrored in (False, True)
        ]
        found.append(torch.stack(outputs).mean(0))
    return torch.cat(found).float().cpu()


def _compare(
    report: Report,
    usual: Callable[[Images], Tensor],
    large: Callable[[Images], Tensor],
    apply: Callable[[Any, Tensor], Tensor],
    counted: Callable[[Any, Tensor], Any] | None,
) -> None:
    """Rates in bf16 and in IEEE's fp32, with both goals.

    Args:
        report: For the lines.
        usual: Ours, as it is by default, which the goals are for.
        large: Ours with larger batches.
        apply: timm's net to a batch.
        counted: What of ours counts as work, as of `flops`.
    """
    setting, scales = report.setting, scales_of(report.setting)
    images = [at_scales(photo, scales) for photo in photos(setting)]
    peer = timms(setting.small).eval().to(setting.device, memory_format=torch.channels_last)
    shapes = [tuple(pixels.shape) for image in images for pixels in image]
    work = sum(shapes.count(shape) * 2 * flops(setting, 1, *shape, run=counted) for shape in set(shapes))
    allow_tf32(False)
    for arithmetic in ("bf16", "IEEE fp32"):
        autocast = torch.autocast(setting.device, torch.bfloat16) if arithmetic == "bf16" else nullcontext()
        with autocast:
            runs: dict[str, Callable[[], object]] = {
                "ours": partial(usual, images),
                f"ours, most_pixels={LARGE}": partial(large, images),
                "loop over images": partial(one_by_one, peer, apply, images),
            }
            interleaved(setting, runs, 1, 1)
            taken = interleaved(setting, runs, 3 if setting.gpu else 1, 1)
        rates = {name: len(images) / each for name, each in taken.items()}
        for name, rate in rates.items():
            report.add(f"{arithmetic}: {name}", f"{rate:.4g} images/s", value=rate)
        share = work / taken["ours"] / gemm_rate(setting, arithmetic)
        report.goal(f"{arithmetic}: share of the matrix product's rate", share, least=OF_BOUND)
        report.goal(
            f"{arithmetic}: rate ÷ that of the loop over images",
            rates["ours"] / rates["loop over images"],
            least=OF_LOOP,
        )
