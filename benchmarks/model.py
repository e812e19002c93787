"""The nets' forward and training step on this machine's CPU, beside timm's and torchvision's, in one process.

    python -m benchmarks.model [--nets D E] [--rounds 9] [--output benchmarks/results/model]

Every round runs each implementation once, in turn, so that a slow spell of the machine falls on all of them; the table
gives medians, and ratios of them (other ÷ ours: above 1 means that ours is faster).
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import timm
import torch
import torchvision
from torch import Tensor, nn

import vgg_zoo  # noqa: F401 (registers the nets)
from benchmarks.nets import PEERS
from benchmarks.timing import machine, markdown, medians, save

FORWARD = ((1, 224), (8, 224), (1, 256), (1, 384), (1, 512))
TRAINING = ((8, 224),)


def implementations(net: str) -> dict[str, nn.Module]:
    """The same net three times, with the same weights; dropout is off so that training steps do the same work."""
    ours_name, other_name = PEERS[net]
    ours = timm.create_model(ours_name, drop_rate=0.0)
    timms = timm.create_model(other_name)
    timms.load_state_dict(ours.state_dict())
    return {"ours": ours, "timm": timms, "torchvision": torchvision.models.get_model(other_name, dropout=0.0)}


def forward(model: nn.Module, images: Tensor) -> Callable[[], object]:
    """One forward pass in eval mode."""

    @torch.inference_mode()
    def run() -> object:
        return model.eval()(images)

    return run


def training_step(model: nn.Module, images: Tensor) -> Callable[[], object]:
    """Forward, backward and an SGD step with momentum."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)
    labels = torch.zeros(len(images), dtype=torch.long)

    def run() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model.train()(images), labels).backward()
        optimizer.step()

    return run


def rows(net: str, rounds: int) -> list[dict[str, str]]:
    """The table's lines of one net."""
    models = implementations(net)
    lines = []
    for what, make, shapes in (("forward", forward, FORWARD), ("training step", training_step, TRAINING)):
        for batch, side in shapes:
            images = torch.randn(batch, 3, side, side)
            # torchvision pools the trunk's map to 7 × 7 above 224 and so computes something else there.
            chosen = {name: model for name, model in models.items() if side == 224 or name != "torchvision"}
            taken = medians({name: make(model, images) for name, model in chosen.items()}, rounds)
            line = {"net": net, "what": what, "batch": str(batch), "image": str(side)}
            line |= {f"{name} (s)": f"{taken[name]:.3f}" if name in taken else "–" for name in models}
            line |= {
                f"{name} ÷ ours": f"{taken[name] / taken['ours']:.2f}" if name in taken else "–"
                for name in ("timm", "torchvision")
            }
            lines.append(line)
            print(markdown([line]).splitlines()[-1], flush=True)
    return lines


def main() -> None:
    """Measure, print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=sorted(PEERS), default=["E"])
    parser.add_argument("--rounds", type=int, default=9, help="timed runs of each implementation")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/model"), help=".md and .csv are added")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    lines = [line for net in args.nets for line in rows(net, args.rounds)]
    save(args.output, lines, f"Medians of {args.rounds} on: {machine()}.")


if __name__ == "__main__":
    main()
