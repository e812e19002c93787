"""What every command has: options that several share, and one line in place of a traceback."""

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from accelerate import Accelerator

from recipes.runtime.hardware import PRECISIONS, loading_processes, precision_of
from recipes.runtime.launchers import stop_launcher
from recipes.runtime.lifeline import let_go
from recipes.runtime.lock import release
from recipes.runtime.output_folder import OutputFolder
from recipes.runtime.processes import (
    from_main,
    is_said_elsewhere,
    make_accelerator,
    only_main_speaks,
    outside_cause,
)
from recipes.runtime.signals import STOP, StoppedError, end_process
from vgg_zoo.devices import bf16_of_cpu
from vgg_zoo.weights.files import full_disk


def command(
    run: Callable[[argparse.Namespace], int | None], parse: Callable[[Sequence[str] | None], argparse.Namespace]
) -> Callable[..., int]:
    """The `main` of a command: where its user can correct what is wrong, it prints one line in place of a traceback.

    That is a ValueError, of what was asked for, or an OSError, where weights cannot be fetched or results not written;
    another process that is gone; and a signal that asked the command to stop.

    Args:
        run: Does the work; returns an exit code, or None for 0.
        parse: Reads the command line; argparse ends the process itself where that is wrong.

    Returns:
        From the command line, which results.json records (None takes that of the process), to the exit code: 1 after
        an error, 143 or 130 after a signal.
    """

    def main(arguments: Sequence[str] | None = None) -> int:
        typed, ended_well = sys.argv, False
        if arguments is not None:
            sys.argv = [str(sys.modules[run.__module__].__file__), *arguments]
        heeded = ExitStack()
        heeded.enter_context(STOP.heeded())  # until the last word is said
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd metadata in a data set's images
                code = run(parse(arguments)) or 0
            ended_well = True
            return code
        except (ValueError, OSError) as error:
            if is_said_elsewhere(error):
                return 1
            full = full_disk(error) is not None  # what other libraries write, whose files are not known here
            way_out = "; free some space, and give the same command again: a run resumes" if full else ""
            print(f"error: {error}{way_out}", file=sys.stderr)
            return 1
        except RuntimeError as error:
            if (cause := outside_cause(error)) is None:
                raise
            print(f"error: {cause}", file=sys.stderr)
            return 1
        except StoppedError as stopped:
            print(stopped, file=sys.stderr)
            release()
            stop_launcher(stopped.code)
            return stopped.code
        finally:
            let_go(ended_well)
            release()
            sys.argv = typed
            heeded.close()
            if arguments is None:
                end_process()

    return main


def command_parser(description: str | None, output: str | None = None) -> argparse.ArgumentParser:
    """A parser whose help begins with a command's docstring, as it is written.

    Args:
        description: The docstring.
        output: What the folder --output holds; None leaves this option and --overwrite out.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if output is not None:
        parser.add_argument("--output", type=Path, required=True, help=f"folder of {output}")
        parser.add_argument("--overwrite", action="store_true", help="delete what OUTPUT holds, and start again")
    return parser


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


def begin_test(args: argparse.Namespace) -> tuple[OutputFolder, Accelerator]:
    """What every command that tests a net begins with.

    Args:
        args: Its command line, with --output and the options of `add_testing_options`. It gets `copy_precision`, the
            `precision` of the nets' evaluators and descriptors, besides what `begin_processes` settles.

    Returns:
        The folder, checked; and the processes.

    Raises:
        ValueError: The folder holds something else, or the CPU has no bf16.
    """
    folder = OutputFolder(args.output)
    accelerator = begin_processes(args)
    args.copy_precision = copy_precision(args.precision, accelerator.device, args.exact)
    from_main(accelerator, lambda: folder.check(args.overwrite))
    return folder, accelerator


def copy_precision(precision: str, device: torch.device, exact: bool) -> str | None:
    """The `precision` of evaluators and descriptors: "bf16" of copies on a CPU; None elsewhere, where autocast does it.

    Args:
        precision: Of the command, one of `recipes.runtime.hardware.PRECISIONS`.
        device: Of the nets.
        exact: They run themselves, not their copies.

    Raises:
        ValueError: The CPU has neither AMX nor AVX512-BF16.
    """
    if precision != "bf16" or device.type != "cpu" or exact:
        return None
    if bf16_of_cpu() is None:
        raise ValueError(
            "--precision bf16 needs a CPU with AMX or AVX512-BF16, and this one has neither; take --precision fp32, or "
            "--exact for PyTorch's own autocast, which is slower here"
        )
    return "bf16"


def begin_processes(args: argparse.Namespace, folder: Path | None = None) -> Accelerator:
    """The processes of a command, whose --precision and --workers are settled: what was not given depends on them.

    Args:
        args: The command line, with the options of `add_testing_options` or `add_hardware_options`.
        folder: Where trackers write; without one there are none.

    Raises:
        ValueError: What the launcher asks for, or the device, does not fit.
    """
    bf16_gradients, trackers = getattr(args, "bf16_gradients", False), args.trackers if folder else ()
    accelerator = make_accelerator(folder, args.precision, args.deterministic, bf16_gradients, trackers)
    args.precision = precision_of(args.precision, accelerator)
    args.workers = loading_processes(args.workers, accelerator.device)
    only_main_speaks(accelerator)
    return accelerator


def weights_dtype(precision: str) -> torch.dtype:
    """The type that weights are held in: float64 at the precision "fp64", float32 at any other."""
    return torch.float64 if precision == "fp64" else torch.float32
