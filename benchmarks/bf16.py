"""A net's fast copy in bf16 beside the one in float32: seconds, layer by layer and whole, and accuracy.

    python -m benchmarks.bf16 [--rounds 40] [--part speed|accuracy] [--digits runs/digits]

Seconds are the least of rounds that all ways take in turn: a busy machine seldom grants all cores at once. "bf16, AMX's
rule" is what a CPU with AMX computes, at this one's rate. Accuracy is of Oxford's own convolutions of net D on 128
crops of two photos, with FC layers of random weights, as there are no others here; and of a net of digits that
`recipes/train.py --recipe digits_vgg_a` has trained.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import timm
import torch
import torch.nn.functional as F
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

import vgg_zoo
from benchmarks.timing import benchmark_parser, interleaved, machine, save
from recipes.data.splits import load_splits
from tests.vgg_zoo.weights.formats import caffe
from tests.vgg_zoo.weights.oxford_trunk import convolutions_of, fetched_model
from vgg_zoo.dense import class_score_map
from vgg_zoo.devices import bf16_of_cpu
from vgg_zoo.fast import bf16
from vgg_zoo.fast.layers import FastConv, FastFullyConnected, FastLinear
from vgg_zoo.images.inputs import net_input
from vgg_zoo.layers import layer_maps, layer_of
from vgg_zoo.weights.read import read_weights

Rows = list[dict[str, str]]
CONVS = ((64, 64, 224), (128, 128, 112), (256, 256, 56), (512, 512, 28), (512, 512, 14), (512, 512, 7))
NETS = (("vgg_e", 1, 224), ("vgg_e", 8, 224), ("vgg_e", 1, 512), ("vgg_a", 1, 512), ("vgg_c", 1, 224))


@contextmanager
def rule_of(cpu: str) -> Iterator[None]:
    """What a CPU of this kind computes, "amx" or "avx512"."""
    with patch.object(bf16, "bf16_of_cpu", lambda: cpu):
        yield


def ruled(cpu: str, run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function that runs by the rule of a kind of CPU."""

    def by_the_rule(x: Any) -> Any:
        with rule_of(cpu):
            return run(x)

    return by_the_rule


def copies_of(net: nn.Module) -> dict[str, Any]:
    """The net's copies: in float32, and in bf16 by this CPU's rule and by AMX's."""
    with rule_of("amx"):
        amx = vgg_zoo.fast_inference(net, precision="bf16")
    return {
        "fp32": vgg_zoo.fast_inference(net),
        "bf16": vgg_zoo.fast_inference(net, precision="bf16"),
        "bf16, AMX's rule": amx,
    }


def least(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each run, the least of the rounds, after one to warm up; no longer than half a minute."""
    interleaved(runs, 1)
    return {name: min(seconds) for name, seconds in interleaved(runs, rounds, most_seconds=30).items()}


def row_of(seconds: Mapping[str, float], **about: str) -> dict[str, str]:
    """A line of a table, in milliseconds."""
    return {**about, **{f"{name} (ms)": f"{1000 * value:.2f}" for name, value in seconds.items()}}


def conv_times(rounds: int) -> Rows:
    """A 3 × 3 convolution with its ReLU: Winograd in float32, direct, and in bf16 with a packed weight and without."""
    rows = []
    for channels, outputs, side in CONVS:
        conv = nn.Conv2d(channels, outputs, 3, padding=1)
        weight, bias = conv.weight.detach(), conv.bias.detach()  # type: ignore[union-attr]  # it has one
        x = torch.randn(1, channels, side, side).contiguous(memory_format=torch.channels_last)
        half, of_half = x.bfloat16(), weight.bfloat16().contiguous(memory_format=torch.channels_last)
        fast = FastConv(conv, weight, bias, "compiled")
        packed = bf16.Bf16Conv(conv, weight, bias, "compiled", torch.bfloat16)
        found = least(
            {
                "fp32, Winograd": partial(fast, x, relu=True),
                "fp32, direct": partial(direct, x, weight, bias),
                "bf16, packed": partial(packed, half, relu=True),
                "bf16, conv2d": partial(direct, half, of_half, bias.bfloat16()),
            },
            rounds,
        )
        rows.append(row_of(found, layer=f"{channels} → {outputs}, {side} × {side}"))
    return rows


def direct(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3 × 3 convolution with its ReLU, by PyTorch."""
    return F.relu_(F.conv2d(x, weight, bias, padding=1))


def fc_times(rounds: int) -> Rows:
    """fc6 and fc7 in float32 and in bf16, by the compiled kernel and by oneDNN; and fc8, which stays float32."""
    rows = []
    for name, kernel, channels in (("fc6", 7, 512), ("fc7", 1, 4096)):
        weight, bias = torch.randn(4096, channels, kernel, kernel), torch.randn(4096)
        fast = FastFullyConnected(weight, bias, "compiled")
        half, onednn = (bf16.Bf16FullyConnected(weight, bias, each) for each in ("compiled", "torch"))
        for images, side in ((1, 1), (8, 1), (1, 4), (1, 10)):
            x = torch.randn(images, channels, side + kernel - 1, side + kernel - 1)
            x = x.contiguous(memory_format=torch.channels_last)
            runs = {"fp32": fast, "bf16": half, "bf16, oneDNN": onednn}
            found = least({way: partial(run, x, relu=True) for way, run in runs.items()}, rounds)
            rows.append(row_of(found, layer=name, windows=f"{images} × {side * side}"))
    fc8 = FastLinear(torch.randn(1000, 4096), torch.randn(1000), "compiled")
    x = torch.randn(1, 4096)
    rows.append(row_of(least({"fp32": partial(fc8, x)}, rounds), layer="fc8", windows="1 × 1") | {"bf16 (ms)": "–"})
    return [{key: row.get(key, "–") for key in rows[0]} for row in rows]


def net_times(rounds: int) -> Rows:
    """Whole nets; autocast is PyTorch's around the net itself."""
    rows = []
    for name, batch, side in NETS:
        net, x = timm.create_model(name).eval(), torch.randn(batch, 3, side, side)
        copies = copies_of(net)
        copies["bf16, AMX's rule"] = ruled("amx", copies["bf16, AMX's rule"])
        runs = {way: partial(run, x) for way, run in copies.items()} | {"autocast": partial(autocast, net, x)}
        found = least(runs, rounds)
        rows.append(row_of(found, net=name, images=f"{batch} of {side} × {side}"))
    return rows


def autocast(net: nn.Module, x: Tensor) -> Tensor:
    """The net's outputs under autocast."""
    with torch.autocast("cpu", torch.bfloat16):
        return net(x)


def crops(side: int = 224, count: int = 64) -> Tensor:
    """(2 · count, 3, side, side) of uint8, on a grid over each of scikit-learn's photos."""
    found = []
    for name in ("china.jpg", "flower.jpg"):
        photo = torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1)
        steps = int(count**0.5)
        for y in np.linspace(0, photo.shape[1] - side, steps).astype(int):
            found += [
                photo[:, y : y + side, x : x + side] for x in np.linspace(0, photo.shape[2] - side, steps, dtype=int)
            ]
    return torch.stack(found)


def oxfords_net() -> Any:
    """Net D with Oxford's trunk and FC layers of random weights."""
    torch.manual_seed(0)
    net: Any = timm.create_model("vgg_d.oxford_in1k")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trunk.caffemodel"
        file.write_bytes(caffe(convolutions_of(fetched_model())))
        net.load_state_dict(read_weights(file)[0], strict=False)
    return net.eval()


def likeliest(scores: Tensor, top: int) -> list[set[int]]:
    """Of each row, in any order."""
    return [set(row) for row in scores.topk(top).indices.tolist()]


def photo_accuracy() -> Rows:
    """Oxford's trunk on photos: errors of each map and of the outputs, and how often the likeliest classes agree."""
    net, rows = oxfords_net(), []
    copies, images = copies_of(net), net_input(net, crops())
    layers = [layer_of(net, name) for name in ("pool5", "fc7")]

    def found_by(run: Any) -> tuple[list[Tensor], Tensor]:
        parts = [(layer_maps(run, part, layers), class_score_map(run, part)) for part in images.split(8)]
        maps = [torch.cat([found[layer.name].mean((2, 3)) for found, _ in parts]) for layer in layers]
        return maps, torch.cat([scores.mean((2, 3)) for _, scores in parts])

    maps, scores = found_by(net)
    for way, run in copies.items():
        with rule_of("amx" if "AMX" in way else str(bf16_of_cpu())):
            other, outputs = found_by(run)
        row = {"copy": way, "outputs' error": f"{(outputs - scores).norm() / scores.norm():.1e}"}
        for layer, one, two in zip(layers, maps, other, strict=True):
            row[f"least cosine of {layer.name}"] = f"{torch.cosine_similarity(one, two).min():.6f}"
        for top in (1, 5):
            same = [a == b for a, b in zip(likeliest(outputs, top), likeliest(scores, top), strict=True)]
            row[f"same {top} likeliest"] = f"{sum(same)} of {len(same)}"
        rows.append(row)
    return rows


def digits_accuracy(folder: Path) -> Rows:
    """Error rates of a net of digits on the fifth that its training held out."""
    split, rows = load_splits("digits")[1], []
    images, labels = [split.pixels(place) for place in range(len(split))], [split.label(n) for n in range(len(split))]
    reference = vgg_zoo.DenseEvaluator(f"local-dir:{folder}", exact=True)
    posteriors = reference(images)
    for way in ("fp32", "bf16", "bf16, AMX's rule"):
        net = copies_of(reference.model)[way]
        with rule_of("amx" if "AMX" in way else str(bf16_of_cpu())):
            found = vgg_zoo.DenseEvaluator(net, **reference.settings)(images)
        wrong = int((found.argmax(1) != torch.tensor(labels)).sum())
        row = {"copy": way, "wrong": f"{wrong} of {len(labels)}", "error": f"{wrong / len(labels):.2%}"}
        row["same likeliest"] = f"{int((found.argmax(1) == posteriors.argmax(1)).sum())} of {len(labels)}"
        rows.append(row | {"posteriors differ by at most": f"{(found - posteriors).abs().max():.1e}"})
    return rows


@torch.inference_mode()
def main() -> int:
    """Measure, print and write."""
    parser = benchmark_parser(__doc__, "bf16", rounds=40)
    parser.add_argument("--part", choices=("speed", "accuracy"), help="default: both")
    parser.add_argument("--digits", type=Path, help="folder of a net of digits that is trained")
    args = parser.parse_args()
    if bf16_of_cpu() is None:
        print("this CPU has neither AMX nor AVX512-BF16", file=sys.stderr)
        return 1
    tables: dict[str, Callable[[], Rows]] = {}
    if args.part != "accuracy":
        tables |= {"convs": lambda: conv_times(args.rounds), "fc": lambda: fc_times(args.rounds)}
        tables["nets"] = lambda: net_times(args.rounds)
    if args.part != "speed":
        tables["photos"] = photo_accuracy
        if args.digits:
            tables["digits"] = lambda: digits_accuracy(args.digits)
    for name, measure in tables.items():
        save(args.output.with_name(f"{args.output.name}_{name}"), measure(), f"{machine()}; bf16 by {bf16_of_cpu()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
