"""The memory of a dense evaluation of many photos that a generator gives, one by one.

    python -m benchmarks.streaming [--photos 2000] [--output benchmarks/results/streaming]

The photos are cut out of scikit-learn's two, at random places. In one line all have another size, as photos from the
web; in the other they have two sizes, as those of one camera. Each line is measured in a process of its own: the
largest memory that it ever held, before the first photo (Python, PyTorch and the net) and at the end.
"""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import timm
from sklearn.datasets import load_sample_images

import vgg_zoo
from benchmarks.memory import peak_memory
from benchmarks.timing import benchmark_parser, in_own_process, machine, save

NET: dict[str, Any] = {"width_multiplier": 0.125, "head_hidden_size": 64, "head_kernel_size": 1}
SIZES = {"all different": None, "two": ((427, 640), (375, 500))}


def photos(count: int, sizes: Any) -> Iterator[Any]:
    """Parts of two real photos: of the sizes in turn, or of random ones from 200 pixels on."""
    whole, random = load_sample_images().images, np.random.default_rng(0)
    for place in range(count):
        photo = whole[place % len(whole)]
        low, high = photo.shape[:2]
        height, width = sizes[place % len(sizes)] if sizes else (random.integers(200, low), random.integers(200, high))
        y, x = random.integers(0, low - height + 1), random.integers(0, high - width + 1)
        yield photo[y : y + height, x : x + width].copy()


def measure(count: int, sizes: str) -> None:
    """Print the peaks in GB of one evaluation at the default settings."""
    evaluator = vgg_zoo.DenseEvaluator(timm.create_model("vgg_d", **NET))
    before = peak_memory()
    assert len(evaluator(photos(count, SIZES[sizes]))) == count
    print(json.dumps({"before": before, "peak": peak_memory()}))


def main() -> None:
    """The table."""
    parser = benchmark_parser(__doc__, "streaming", 1, argparse.SUPPRESS)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--sizes", choices=SIZES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.sizes:
        measure(args.photos, args.sizes)
        return
    lines = []
    for sizes in SIZES:
        found = in_own_process("benchmarks.streaming", "--photos", str(args.photos), "--sizes", sizes)
        lines.append(
            {
                "photos": str(args.photos),
                "sizes": sizes,
                "before the first (GB)": f"{found['before']:.2f}",
                "peak (GB)": f"{found['peak']:.2f}",
            }
        )
        print(*lines[-1].values(), flush=True)
    save(args.output, lines, f"Net D at an eighth of its width, at 256, 384 and 512, on: {machine()}.")


if __name__ == "__main__":
    main()
