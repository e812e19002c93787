"""`DenseEvaluator` beside the same by a loop over photos in ONNX Runtime and OpenVINO, at their defaults.

    python -m benchmarks.dense [--net vgg_d] [--rounds 5] [--output benchmarks/results/dense]

scikit-learn's two photos, 427 × 640 pixels, at one scale and with their mirror images (Sect. 3.2). The loop rescales a
photo as the evaluator does, runs the dense net's ONNX file on it and its mirror image, and averages: over the map, the
soft-max, and both. Posteriors are compared before anything is timed. Each alone in a process of its own, warm.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from sklearn.datasets import load_sample_image

import vgg_zoo
from benchmarks.bound import Rates, work_of
from benchmarks.cpu_measurement import machine_and_runtimes
from benchmarks.timing import benchmark_parser, in_own_process, interleaved, save
from vgg_zoo.devices import bf16_of_cpu
from vgg_zoo.fast.net import fast_inference
from vgg_zoo.images.preprocessing import rescale

SCALES = (256, 384, 512)
GOALS = {"ours": ("ONNX Runtime", 2.0), "ours, bf16": ("OpenVINO", 1.2)}
"""The peer, and how many times its photos a second ours should at least be."""

PRECISIONS = {"ours": "fp32", "ours, bf16": "bf16"}

Run = Callable[[], np.ndarray]
"""Posteriors of all photos, (N, classes)."""


def by_evaluator(net: Any, scale: int, precision: str) -> Run:
    """`vgg_zoo.DenseEvaluator`."""
    evaluator = vgg_zoo.DenseEvaluator(net, [scale], precision=precision)
    return lambda: evaluator(photos()).numpy()


def by_loop(posteriors_of: Callable[[np.ndarray], np.ndarray], scale: int) -> Run:
    """Photo after photo through a function from images, (2, 3, h, w) in 0–255, to a map (2, classes, h', w')."""

    def run() -> np.ndarray:
        found = []
        for photo in photos():
            image = rescale(photo, scale).float()
            scores = posteriors_of(torch.stack([image, image.flip(-1)]).numpy()).mean((2, 3))
            found.append(torch.from_numpy(scores).softmax(1).mean(0).numpy())
        return np.stack(found)

    return run


def photos() -> list[np.ndarray]:
    """(427, 640, 3), RGB."""
    return [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]


def onnx_runtime(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Its defaults."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["class_score_map"], {"images": images})[0]


def openvino(file: Path, images: Sequence[int]) -> Callable[[np.ndarray], np.ndarray]:
    """Its defaults, which take bfloat16 where the CPU has it; compiled for images of this shape, as photos have one."""
    import openvino as runtime

    model = runtime.Core().read_model(file)
    model.reshape(list(images))
    compiled = runtime.Core().compile_model(model, "CPU")
    return lambda images: compiled([images])["class_score_map"]


def implementation(name: str, net: Any, scale: int, file: Path) -> Run:
    """By its name in the table."""
    if name in PRECISIONS:
        return by_evaluator(net, scale, PRECISIONS[name])
    height, width = rescale(photos()[0], scale).shape[-2:]
    return by_loop(onnx_runtime(file) if name == "ONNX Runtime" else openvino(file, (2, 3, height, width)), scale)


def untrained(net: str) -> Any:
    """The same weights in each process."""
    torch.manual_seed(0)
    return timm.create_model(net).eval()


def time_alone(args: argparse.Namespace) -> None:
    """Print one implementation's seconds for all photos, by scale."""
    name, folder = args.time_alone
    net, found = untrained(args.net), {}
    for scale in SCALES:
        run = implementation(name, net, scale, Path(folder) / "dense.onnx")
        expected = torch.load(Path(folder) / f"{scale}.pt")
        difference = float((torch.from_numpy(run()) - expected).abs().max() / expected.max())
        if not difference < 0.1:
            raise RuntimeError(f"{name} computes something else at Q = {scale}: it differs by {difference}")
        found[scale] = statistics.median(interleaved({name: run}, args.rounds)[name])
    print(json.dumps(found))


def references(net: Any, folder: Path) -> None:
    """The file that other runtimes read, and the posteriors by the net itself."""
    from hub.repository.dense_onnx import write_dense_onnx

    write_dense_onnx(net, folder / "dense.onnx")
    for scale in SCALES:
        torch.save(vgg_zoo.DenseEvaluator(net, [scale], exact=True)(photos()), folder / f"{scale}.pt")


def measured(args: argparse.Namespace) -> list[dict[str, str]]:
    """A line for each scale: photos a second."""
    net, names = untrained(args.net), ["ours", *(["ours, bf16"] if bf16_of_cpu() else []), "ONNX Runtime", "OpenVINO"]
    with tempfile.TemporaryDirectory() as folder:
        references(net, Path(folder))
        options = ["--net", args.net, "--rounds", str(args.rounds), "--threads", str(args.threads)]
        seconds = {name: in_own_process("benchmarks.dense", *options, "--time-alone", name, folder) for name in names}
    lines, least = [], least_seconds(net, [name for name in names if name in GOALS])
    for scale in map(str, SCALES):
        rate = {name: len(photos()) / found[scale] for name, found in seconds.items()}
        goals = [
            f"{name} ≥ {times:g} × {peer}: {'met' if rate[name] >= times * rate[peer] else 'not met'}"
            for name, (peer, times) in GOALS.items()
            if name in rate
        ]
        line = {"net": args.net, "Q": scale} | {f"{name} (photos/s)": f"{value:.2f}" for name, value in rate.items()}
        bound = {
            f"{name}, of the bound": f"{least[name, scale] / seconds[name][scale]:.2f}"
            for name in GOALS
            if name in rate
        }
        lines.append(line | bound | {"goal": "; ".join(goals)})
    return lines


def least_seconds(net: Any, names: Sequence[str]) -> dict[tuple[str, str], float]:
    """By implementation of ours and scale: what the photos and their mirror images take at this machine's rates."""
    rates, found = Rates.measured(), dict[tuple[str, str], float]()
    for name in names:
        fast: Any = fast_inference(net, precision=PRECISIONS[name])
        for scale in SCALES:
            shapes = [rescale(photo, scale).shape[1:] for photo in photos()]
            found[name, str(scale)] = sum(
                work_of(fast, height, width, 2).least_seconds(rates) for height, width in shapes
            )
    return found


def main() -> None:
    """The table."""
    parser = benchmark_parser(__doc__, "dense", 5)
    parser.add_argument("--net", default="vgg_d")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch; the other runtimes take their defaults")
    parser.add_argument("--time-alone", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.time_alone:
        time_alone(args)
        return
    note = f"Medians of {args.rounds}, each implementation alone in its process, on: {machine_and_runtimes()}."
    save(args.output, measured(args), note)


if __name__ == "__main__":
    main()
