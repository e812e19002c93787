"""Options that several commands share; parsing them imports no heavy library."""

import argparse
import json
from pathlib import Path

from command_line.parser import Parser
from command_line.values import check_new, whole
from recipes.names import DEVICES, PRECISIONS
from recipes.recipe_checks.fields import LEAST_SIDE
from recipes.runtime.values import net


def add_model(parser: argparse._ActionsContainer) -> None:
    """The option that names the net."""
    parser.add_argument(
        "--model",
        type=net,
        required=True,
        metavar="NAME",
        help="a name that timm loads with weights, or a run's folder",
    )


def add_scales(parser: argparse._ActionsContainer, text: str, name: str = "--scales") -> None:
    """The option that says Q, the smallest sides that images are rescaled to."""
    parser.add_argument(name, type=whole(LEAST_SIDE), nargs="+", metavar="Q", help=text)


def add_submission(parser: argparse._ActionsContainer) -> None:
    """The option for ILSVRC's test server."""
    parser.add_argument(
        "--submission",
        type=Path,
        metavar="FILE",
        help="write ILSVRC's test-server lines: top 5, from 1; default: none are written",
    )


def check_submission(args: argparse.Namespace) -> None:
    """A test replaces no file but the one that the same test wrote before, as its results.json says.

    Commands call it twice: while they parse, if `is_known_here()`, and before the work, where the file is written.

    Raises:
        ValueError: The file is there, or there is no folder for it.
    """
    file: Path | None = args.submission
    if file is None:
        return
    if not file.parent.is_dir() and file.parent.resolve() != args.output.resolve():
        raise ValueError(f"--submission {file}: there is no folder {file.parent}")
    if not _wrote(args.output, file):
        check_new([file], args.overwrite)


def _wrote(output: Path, file: Path) -> bool:
    try:
        words = json.loads((output / "results.json").read_text())["command"]
        return any(Path(word.removeprefix("--submission=")) == file for word in words)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # not finished, or damaged: it is read again by its command
        return False


def add_report(parser: argparse._ActionsContainer, *files: str) -> None:
    """The options --output and --overwrite of a command that writes some files once, and whose work is short."""
    group = parser.add_argument_group("output")
    group.add_argument("--output", type=Path, help=f"folder for {' and '.join(files)}; default: none are written")
    group.add_argument("--overwrite", action="store_true", help="replace those that OUTPUT holds")


def check_report(parser: Parser, args: argparse.Namespace, *files: str) -> None:
    """End the process where `add_report`'s options name files that are there."""
    if args.output is not None:
        with parser.typed_wrong():
            check_new([args.output / name for name in files], args.overwrite)


def add_testing_options(parser: argparse.ArgumentParser, strict: str | None = "decoded") -> argparse._ArgumentGroup:
    """Options of every command that tests a net; none of them changes a result beyond the precision's rounding.

    Args:
        parser: The command's parser.
        strict: What --strict requires of every image, "decoded" or "used"; None leaves the option out.

    Returns:
        The group, for further options.
    """
    group = parser.add_argument_group("hardware and files; changes no result beyond the precision's rounding")
    add_device(group)
    add_workers(group)
    group.add_argument(
        "--most-pixels",
        type=whole(LEAST_SIDE**2),
        help="pixels that go through a net at once; larger images use tiles. Default: 2**20 on a CPU; on a GPU one for "
        "each 4 kB of its memory, at most 2**24",
    )
    add_precision(group)
    group.add_argument(
        "--exact", action="store_true", help="the net itself on a CPU, not its fast copy; bf16 is autocast's then"
    )
    group.add_argument("--deterministic", action="store_true", help="bit-identical on a GPU in every run; slower")
    if strict is not None:
        group.add_argument("--strict", action="store_true", help=f"stop at the first image that cannot be {strict}")
    return group


def add_device(parser: argparse._ActionsContainer) -> None:
    """The option that says where the net runs."""
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default=DEVICES[0],
        help="where the net runs; auto takes a GPU where there is one, and the CPU where the launcher says so",
    )


def add_workers(parser: argparse._ActionsContainer) -> None:
    """The option for the number of processes that load images."""
    parser.add_argument(
        "--workers",
        type=whole(0),
        help="processes that load images, for each process; default: its share of the cores with a GPU, else 0",
    )


def add_precision(parser: argparse._ActionsContainer) -> None:
    """The option for the precision."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of the arithmetic; default: that of accelerate launch, else fp32 (IEEE). bf16 and tf32 keep fp32 weights",
    )


def add_hardware_options(parser: argparse.ArgumentParser) -> None:
    """Options for the hardware."""
    group = parser.add_argument_group("hardware; does not change what is learned")
    add_device(group)
    add_workers(group)
    group.add_argument(
        "--device-batch",
        type=whole(),
        help="most images at once on a device; more are accumulated. Default: all of a process's share of the batch",
    )
    add_precision(group)
    group.add_argument("--channels-last", action="store_true", help="NHWC layout, faster on recent GPUs")
    group.add_argument("--compile", action="store_true", help="torch.compile the net")
    group.add_argument("--gradient-checkpointing", action="store_true", help="recompute activations to save memory")
    group.add_argument("--bf16-gradients", action="store_true", help="DDP sends gradients between processes as bf16")
    group.add_argument("--deterministic", action="store_true", help="bit-identical on a GPU in every run; slower")


def add_set_option(parser: argparse._ActionsContainer) -> None:
    """The option --set; its words are in `args.changes`."""
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        dest="changes",
        metavar="NAME=VALUE",
        help="change fields of the recipe: epochs=20 train_scales=256,512 milestones=none model_args.drop_rate=0.2; "
        "what is learned is written in run.json, whole. Default: nothing is changed",
    )
