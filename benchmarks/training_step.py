"""A training step on this machine's CPU, beside timm's and torchvision's nets with the same weights, in one process.

    python -m benchmarks.training_step [--nets D E] [--rounds 9] [--output benchmarks/results/training_step]

Forward, backward and SGD with momentum on a batch of eight training crops. Every round runs each implementation once,
in turn, so that a slow spell of the machine falls on all of them; the table gives medians, and ratios of them (other ÷
ours: above 1 means that ours is faster). `benchmarks.cpu` is the forward pass.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.implementations import timms_net, torchvisions_net, zoos_net
from benchmarks.nets import PEERS
from benchmarks.timing import benchmark_parser, machine, markdown, medians, save

BATCH, SIDE = 8, 224


def training_step(model: nn.Module, images: Tensor) -> Callable[[], object]:
    """Forward, backward and an SGD step with momentum."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)
    labels = torch.zeros(len(images), dtype=torch.long)

    def run() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model.train()(images), labels).backward()
        optimizer.step()

    return run


def row(net: str, rounds: int) -> dict[str, str]:
    """The table's line of one net; dropout is off, so that all do the same work."""
    ours = zoos_net(net, drop_rate=0.0)
    models = {"ours": ours, "timm": timms_net(net, ours), "torchvision": torchvisions_net(net, ours, dropout=0.0)}
    images = torch.randn(BATCH, 3, SIDE, SIDE)
    taken = medians({name: training_step(model, images) for name, model in models.items()}, rounds)
    line = {"net": net, "batch": str(BATCH), "image": str(SIDE)}
    line |= {f"{name} (s)": f"{seconds:.3f}" for name, seconds in taken.items()}
    line |= {f"{name} ÷ ours": f"{taken[name] / taken['ours']:.2f}" for name in ("timm", "torchvision")}
    print(markdown([line]).splitlines()[-1], flush=True)
    return line


def main() -> None:
    """Measure, print and save the table."""
    parser = benchmark_parser(__doc__, "training_step", 9, "timed runs of each implementation")
    parser.add_argument("--nets", nargs="+", choices=sorted(PEERS), default=["E"])
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    lines = [row(net, args.rounds) for net in args.nets]
    save(args.output, lines, f"Medians of {args.rounds} on: {machine()}.")


if __name__ == "__main__":
    main()
