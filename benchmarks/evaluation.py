"""Dense evaluation beside 50 crops a scale, and the memory of photos that no device holds whole.

    python -m benchmarks.evaluation [--net vgg_d] [--rounds 5] [--output benchmarks/results/evaluation]

The first table times both of the paper's protocols on scikit-learn's two photos, 427 × 640 pixels, flips included. The
second applies net E to photos of growing size at their full size, in tiles and in one piece, each in a process of its
own: the largest memory that the process ever held (weights and libraries included), and what the two differ by.
"""

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

import vgg_zoo
from benchmarks.memory import peak_memory
from benchmarks.timing import benchmark_parser, in_own_process, machine, medians, save

SCALES = (256, 384, 512)
SIZES = ((1500, 1000), (3000, 2000), (6000, 4000))
PIECE = 8_000_000
"""Pixels of the largest photo that is also tried in one piece."""


def untrained(net: str) -> Any:
    """A net of full size; its weights do not matter for time and memory, but must not differ between processes."""
    torch.manual_seed(0)
    return timm.create_model(net)


def speeds(net: str, rounds: int) -> list[dict[str, str]]:
    """Seconds an image, dense and with 50 crops."""
    photos = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    model, lines = untrained(net), []
    for scale in SCALES:
        runs = {
            protocol: partial(vgg_zoo.DenseEvaluator(model, [scale], protocol=protocol), photos)
            for protocol in ("dense", "multi_crop")
        }
        seconds = {name: value / len(photos) for name, value in medians(runs, rounds).items()}
        lines.append(
            {
                "net": net,
                "Q": str(scale),
                "dense (s)": f"{seconds['dense']:.3f}",
                "50 crops (s)": f"{seconds['multi_crop']:.3f}",
                "50 crops ÷ dense": f"{seconds['multi_crop'] / seconds['dense']:.1f}",
            }
        )
        print(*lines[-1].values(), flush=True)
    return lines


def one_photo(width: int, height: int, most_pixels: int, file: str) -> None:
    """Save net E's class score map of one photo, and print what it took."""
    photo = np.asarray(Image.fromarray(load_sample_image("china.jpg")).resize((width, height)))
    model = untrained("vgg_e")
    evaluator = vgg_zoo.DenseEvaluator(model, [height], flip=False, most_pixels=most_pixels)
    start = time.perf_counter()
    scores = evaluator.class_score_map(photo, height)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak": peak_memory()}))
    torch.save(scores, file)


def measured(size: tuple[int, int], most_pixels: int, folder: Path) -> tuple[float, float, torch.Tensor]:
    """Peak in GB, seconds and the map, from a process of its own."""
    file = folder / f"{size[0]}_{most_pixels}.pt"
    found = in_own_process("benchmarks.evaluation", "--photo", *map(str, (*size, most_pixels, file)))
    return found["peak"], found["seconds"], torch.load(file, weights_only=True)


def memory() -> list[dict[str, str]]:
    """Peak memory and time, in tiles and in one piece."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            pixels = size[0] * size[1]
            peak, seconds, tiled = measured(size, 2**20, Path(folder))
            line = {
                "photo": f"{size[0]} × {size[1]}",
                "tiles: peak (GB)": f"{peak:.2f}",
                "time (s)": f"{seconds:.1f}",
                "time a megapixel (s)": f"{seconds / pixels * 1e6:.2f}",
            }
            whole = ["–"] * 3
            if pixels <= PIECE:
                peak, seconds, piece = measured(size, 10**12, Path(folder))
                difference = ((tiled - piece).abs().max() / piece.abs().max()).item()
                whole = [f"{peak:.2f}", f"{seconds:.1f}", f"{difference:.0e}"]
            keys = ("one piece: peak (GB)", "one piece: time (s)", "largest relative difference")
            lines.append(line | dict(zip(keys, whole, strict=True)))
            print(*lines[-1].values(), flush=True)
    return lines


def main() -> None:
    """Both tables."""
    parser = benchmark_parser(__doc__, "evaluation", 5)
    parser.add_argument("--net", default="vgg_d", help="of the first table")
    parser.add_argument("--photo", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.photo:
        width, height, most_pixels = map(int, args.photo[:3])
        one_photo(width, height, most_pixels, args.photo[3])
        return
    save(args.output, speeds(args.net, args.rounds), f"Medians of {args.rounds} on: {machine()}.")
    save(args.output.with_name(f"{args.output.name}_memory"), memory(), f"Net E on: {machine()}.")


if __name__ == "__main__":
    main()
