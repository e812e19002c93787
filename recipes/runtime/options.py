"""Options that several commands share; reading them imports nothing that computes."""

import argparse
from pathlib import Path

from recipes.names import PRECISIONS


def add_model(parser: argparse._ActionsContainer) -> None:
    """The option that names the net."""
    parser.add_argument("--model", required=True, help="a name that timm loads with weights, or a folder of a run")


def add_submission(parser: argparse._ActionsContainer) -> None:
    """The option for ILSVRC's test server."""
    parser.add_argument(
        "--submission", type=Path, metavar="FILE", help="write ILSVRC's test-server lines: top 5, from 1"
    )


def add_testing_options(parser: argparse.ArgumentParser, strict: str | None = "decoded") -> argparse._ArgumentGroup:
    """Options of every command that tests a net; none of them changes a result beyond the precision's rounding.

    Args:
        parser: Of the command.
        strict: What --strict asks of every image, "decoded" or "used"; None leaves the option out.

    Returns:
        The group, for further options.
    """
    group = parser.add_argument_group("hardware and files; changes no result beyond the precision's rounding")
    add_workers(group)
    group.add_argument(
        "--most-pixels",
        type=int,
        help="that go through a net at once; tiles beyond. Default: 2**20 on a CPU; on a GPU one for each 4 kB of its "
        "memory, at most 2**24",
    )
    add_precision(group)
    group.add_argument(
        "--exact", action="store_true", help="the net itself on a CPU, not its fast copy; bf16 is autocast's then"
    )
    group.add_argument("--deterministic", action="store_true", help="bit-identical on a GPU in every run; slower")
    if strict is not None:
        group.add_argument("--strict", action="store_true", help=f"stop at the first image that cannot be {strict}")
    return group


def add_workers(parser: argparse._ActionsContainer) -> None:
    """The option that says how many processes load images."""
    parser.add_argument(
        "--workers",
        type=int,
        help="processes that load images, for each process; default: its share of the cores with a GPU, else 0",
    )


def add_precision(parser: argparse._ActionsContainer) -> None:
    """The option that says how numbers are held."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of the arithmetic; default as accelerate launch says, else fp32, IEEE's. bf16 and tf32 keep fp32 weights",
    )


def add_hardware_options(parser: argparse.ArgumentParser) -> None:
    """Options that say on what hardware."""
    group = parser.add_argument_group("hardware; changes nothing of what is learned")
    add_workers(group)
    group.add_argument("--device-batch", type=int, help="most images at once on a device; more are accumulated")
    add_precision(group)
    group.add_argument("--channels-last", action="store_true", help="NHWC layout, faster on recent GPUs")
    group.add_argument("--compile", action="store_true", help="torch.compile the net")
    group.add_argument("--gradient-checkpointing", action="store_true", help="recompute activations to save memory")
    group.add_argument("--bf16-gradients", action="store_true", help="DDP sends gradients between processes as bf16")
    group.add_argument("--deterministic", action="store_true", help="bit-identical on a GPU in every run; slower")


def add_set_option(parser: argparse.ArgumentParser) -> None:
    """The option --set, whose words are `args.changes`."""
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        dest="changes",
        metavar="NAME=VALUE",
        help="change fields of the recipe: epochs=20 train_scales=256,512 milestones=none model_args.drop_rate=0.2; "
        "what is learned is written in run.json, whole",
    )
