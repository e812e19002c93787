"""What a descriptor costs beside the bare forward passes that it needs, and what stacked scales share.

    python -m benchmarks.features [--rounds 5] [--batch 4] [--output benchmarks/results/features]

Bare passes are those of net D's fast copy, trunk and first FC layers, on images that were rescaled, normalised and
batched beforehand, and on their mirror images. The descriptor begins with JPEG files: it decodes, rescales and
normalises them, averages over positions and flips, and stacks the scales. Both run in one process, in turn.
"""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

import vgg_zoo
from benchmarks.timing import benchmark_parser, machine, medians, save
from vgg_zoo.images.decoding import read_pixels
from vgg_zoo.images.inputs import at_scales, net_input

CASES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("fc7", (256,)),
    ("fc7", (256, 384, 512)),
    ("fc6", (256,)),
    ("pool5", (256,)),
    ("conv3_3", (256,)),
)


def photos(count: int) -> list[bytes]:
    """JPEG files of 500 × 375 pixels, ImageNet's usual size, of pieces of scikit-learn's photos."""
    files = []
    for place in range(count):
        photo = load_sample_image(("china.jpg", "flower.jpg")[place % 2])
        buffer = io.BytesIO()
        Image.fromarray(np.roll(photo, 37 * place, axis=1)).resize((500, 375)).save(buffer, "JPEG", quality=92)
        files.append(buffer.getvalue())
    return files


def bare(net: Any, layer: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The net up to the layer, and nothing around it."""
    conv3_3 = net.features[:16]
    return {
        "fc7": lambda images: net.pre_logits(net.forward_features(images)),
        "fc6": lambda images: net.pre_logits.act1(net.pre_logits.fc1(net.forward_features(images))),
        "pool5": net.forward_features,
        "conv3_3": lambda images: conv3_3(images.contiguous(memory_format=torch.channels_last)),
    }[layer]


@torch.inference_mode()
def passes(run: Callable[[torch.Tensor], torch.Tensor], inputs: list[torch.Tensor]) -> None:
    """One pass for each batch: scales and mirror images."""
    for images in inputs:
        run(images)


def speeds(rounds: int, batch: int) -> list[dict[str, str]]:
    """A line for each layer and each set of scales."""
    torch.manual_seed(0)
    net: Any = timm.create_model("vgg_d").eval()
    fast = vgg_zoo.fast_inference(net)
    files, lines = photos(batch), []
    for layer, scales in CASES:
        rescaled = [at_scales(read_pixels(file), scales) for file in files]
        inputs = [net_input(net, torch.stack([image[place] for image in rescaled])) for place in range(len(scales))]
        inputs = [view for images in inputs for view in (images, images.flip(-1).contiguous())]
        descriptor = vgg_zoo.ImageDescriptor(net, layer, scales, combine="stack")
        runs: dict[str, Callable[[], object]] = {
            "bare": partial(passes, bare(fast, layer), inputs),
            "descriptor": partial(descriptor.transform, files),
        }
        seconds = {name: value / batch for name, value in medians(runs, rounds).items()}
        lines.append(
            {
                "net": "D",
                "layer": layer,
                "Q": ", ".join(map(str, scales)),
                "bare passes (s)": f"{seconds['bare']:.3f}",
                "descriptor (s)": f"{seconds['descriptor']:.3f}",
                "descriptor ÷ bare": f"{seconds['descriptor'] / seconds['bare']:.3f}",
            }
        )
        print(*lines[-1].values(), flush=True)
    return lines


def main() -> None:
    """The table."""
    parser = benchmark_parser(__doc__, "features", 5)
    parser.add_argument("--batch", type=int, default=4)
    args = parser.parse_args()
    note = f"Seconds an image, medians of {args.rounds} on batches of {args.batch} JPEG files on: {machine()}."
    save(args.output, speeds(args.rounds, args.batch), note)


if __name__ == "__main__":
    main()
